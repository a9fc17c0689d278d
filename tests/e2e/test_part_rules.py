"""Stores with fewer parts than their vendor allows (Scaleway), or with parts of equal size only (Cloudflare R2)."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.plan.stream_plan import make_stream_sizes
from obsup.sandbox.sandbox import Sandbox
from obsup.units import GIB, MIB
from tests.support.batch import count_operations
from tests.support.in_process import Inside
from tests.support.pipes import Bash
from tests.support.shell import Shell

R2 = f"https://{'0' * 32}.r2.cloudflarestorage.com"


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Inside, Sandbox]]:
    """Commands against a store with 1,000 parts per upload, and a sparse file that needs more in parts of 9 MiB."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10 * GIB)
    with Sandbox(limits={"parts": 1000}) as store:
        yield Inside(store, tmp_path, monkeypatch), store


def printed_command(text: str) -> list[str]:
    """Return the words of the command line after "Next:", without the program."""
    return shlex.split(text.rpartition(": ")[2])[1:]


def test_a_lower_part_limit_shows_before_anything_is_stored(few: tuple[Inside, Sandbox]) -> None:
    """The last part is sent first; the printed command has the limit that the store names."""
    inside, store = few
    outcome = inside.run("upload", "large", "bucket/key", "-j", "1")
    assert outcome.code == 69
    assert "accepts fewer parts" in outcome.err
    sent = [one.part_number for one in store.requests if one.operation == "part"]
    assert (sent[0], len(sent) <= 2) == (1138, True)
    words = printed_command(outcome.err)
    assert words[-3:] == ["--max-parts", "1000", "--restart"]
    plan = inside.run(*words, "--dry-run", "--json").json
    assert plan["parts"] <= 1000


def test_a_part_limit_given_later_asks_for_a_restart(few: tuple[Inside, Sandbox]) -> None:
    """The recorded upload has too many parts: it is not continued silently, and the printed command works."""
    inside, store = few
    assert inside.run("init", "large", "bucket/key").code == 0
    outcome = inside.run("init", "large", "bucket/key", "--max-parts", "1000")
    assert outcome.code == 2
    assert "has 1138 parts" in outcome.err
    assert inside.run(*printed_command(outcome.err)).code == 0
    assert count_operations(store)["abort"] == 1
    status = inside.run("status", "large", "--json")
    assert json.loads(status.out)["uploads"][0]["parts"] <= 1000


def test_hosts_with_their_own_rules() -> None:
    """They are compatible stores, whose other properties are not taken for granted."""
    for endpoint, parts, is_equal in (
        ("https://s3.fr-par.scw.cloud", 1000, False),
        (R2, 10_000, True),
        ("https://s3.eu-west-1.amazonaws.com", 10_000, False),
    ):
        _, settings = resolve_target("bucket/key", ConnectOptions(endpoint=endpoint))
        limits = settings.dialect.limits
        assert (settings.provider, limits.max_parts, limits.equal_parts) == ("s3", parts, is_equal)
        assert is_vendor_host(endpoint) == ("amazonaws" in endpoint)
    _, settings = resolve_target("bucket/key", ConnectOptions(endpoint=R2, max_parts=500))
    assert settings.region == "auto"
    sizes = make_stream_sizes(settings.dialect.limits)
    assert (sizes.growth, sizes.start, sizes.max_parts) == (None, 5 * GIB - 5 * MIB, 500)


def test_a_stream_that_the_store_rejects_for_its_part_sizes(
    shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An unknown store that requires equal parts: the printed command, with the same stream, succeeds."""
    size, bash = 28 * MIB, Bash.with_folder(shell, tmp_path / "bin")
    sandbox.add_fault("equal-parts")
    outcome = bash.run(f"head -c {size} /dev/zero | obsup upload - bucket/key --max-parts 110")
    assert outcome.code == 69, outcome.err
    assert "all parts but the last have the same size" in outcome.err
    pipe = outcome.err.rpartition(": ")[2].replace("… |", f"head -c {size} /dev/zero |")
    assert bash.run(pipe).code == 0, pipe
    assert sandbox.object_path("bucket", "key").stat().st_size == size
    assert sandbox.uploads()[0].upload_id in outcome.err  # the note with the command that aborts it


def test_a_stream_of_equal_parts_that_is_too_long_keeps_its_parts(
    shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The printed command, with the same stream, succeeds."""
    bash, size = Bash.with_folder(shell, tmp_path / "bin"), 28 * MIB
    options = "--provider r2 --max-parts 3 --part-size 9M --checkpoint progress"
    outcome = bash.run(f"head -c {size} /dev/zero | obsup upload - bucket/key {options}")
    assert outcome.code == 65, outcome.err
    assert "longer than 27.0 MiB" in outcome.err
    assert len(sandbox.uploads()[0].parts) == 2
    pipe = outcome.err.rpartition(": ")[2].replace("… |", f"head -c {size} /dev/zero |")
    assert "--part-size 18M --restart" in pipe
    assert bash.run(pipe).code == 0, pipe
    assert sandbox.object_path("bucket", "key").stat().st_size == size


@pytest.mark.parametrize("options", [("--expect-size", "6T"), ("--expect-size", "100G", "--part-size", "9M")])
def test_a_stream_that_cannot_fit_is_refused_before_its_first_byte(
    inside: Inside, sandbox: Sandbox, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read, and no request is sent."""
    reader, writer = os.pipe()
    os.write(writer, b"x")
    with os.fdopen(reader) as stdin, os.fdopen(writer):
        monkeypatch.setattr("sys.stdin", stdin)
        outcome = inside.run("upload", "-", "bucket/key", "--provider", "r2", *options)
        assert (outcome.code, sandbox.requests) == (2, []), outcome.err
        assert os.read(reader, 1) == b"x"


def test_a_stream_of_equal_parts_that_memory_cannot_hold(
    shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is refused before its first byte; the printed command, with the same stream, succeeds."""
    bash, size = Bash.with_folder(shell, tmp_path / "bin"), 20 * MIB
    start = "ulimit -v 1000000; "
    upload = "obsup upload - bucket/key --provider r2"
    outcome = bash.run(f"{start}head -c {size} /dev/zero | {upload}")
    assert (outcome.code, sandbox.requests) == (2, []), outcome.err
    assert "bucket/key needs 1.0 GiB of memory, and this process can have 976.6 MiB" in outcome.err
    planned = bash.run(f"{start}{upload} --dry-run")
    assert (planned.code, planned.err.partition("Next:")[0]) == (2, outcome.err.partition("Next:")[0])
    assert "--part-size 244M" in outcome.err
    pipe = outcome.err.rpartition(": ")[2].replace("… |", f"head -c {size} /dev/zero |")
    assert bash.run(f"{start}{pipe}").code == 0, pipe
    assert count_operations(sandbox)["put"] == 1
    expected = bash.run(f"{start}head -c {size} /dev/zero | {upload} --expect-size 4.9T")
    assert expected.code == 2
    assert "Write it to a file" in expected.err
