"""``--limit-rate`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]


@pytest.mark.parametrize("arguments", [["--parts", "4"], ["--parts", "4", "--content-md5"], []], ids=" ".join)
def test_all_parts_share_the_rate(
    arguments: list[str], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """600 kB at 1 MB/s take 0.6 s, less 0.15 s of initial credit; reading for Content-MD5 is not limited."""
    source = make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--limit-rate", "1MB", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.json["seconds"] >= 0.45
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_timetable_limits_now_and_the_plan_shows_it(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The last step lasts until the first one of the next day: this timetable is the same all day."""
    make_file(600_000)
    limit = ["--limit-rate", "00:00,1MB 12:00,1MB", "--json"]
    plan = shell.run("upload", "bigfile", "bucket/key", "--dry-run", *limit)
    assert plan.json["limitRate"] == "00:00,1000000 12:00,1000000"
    text = shell.run("upload", "bigfile", "bucket/key", "--dry-run", *limit[:2])
    assert "bandwidth limit 00:00,1000000 12:00,1000000 (now 976.6 KiB/s)" in text.out
    many = shell.run("upload", "-r", ".", "bucket/x/", "--dry-run", *limit[:2])
    assert "bandwidth limit 00:00,1000000 12:00,1000000 (now 976.6 KiB/s)" in many.out
    outcome = shell.run("upload", "bigfile", "bucket/key", *limit)
    assert outcome.code == 0, outcome.err
    assert outcome.json["seconds"] >= 0.45


@pytest.mark.parametrize("setting", ["1000000", '"1MB"', '"00:00,1MB"'])
def test_a_rate_of_the_configuration_file(
    setting: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """As a number and as text."""
    make_file(600_000)
    (shell.folder / "obsup.toml").write_text(f"[defaults]\nlimit_rate = {setting}\n")
    plan = shell.run("upload", "bigfile", "bucket/key", "--dry-run", "--json", "--config", "obsup.toml")
    assert plan.json["limitRate"] == "1000000"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit-rate", "0"], "a rate of 0 would send nothing"),
        (["--limit-rate", "fast"], "9M"),
        (["--limit-rate", "08:00,2M 8:00,off"], "invalid timetable"),
    ],
)
def test_an_invalid_rate(
    arguments: list[str], message: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """One clear error, exit 2, and no part is sent."""
    make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert not [record for record in sandbox.requests if record.operation == "part"]
