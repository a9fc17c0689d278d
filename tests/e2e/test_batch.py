"""Many files, as a user sends them: every one is there and is its source, or is named with why it is not."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell

LARGE = 10_000_000


def make(shell: Shell, *names: str, size: int = 0, seed: int = 0) -> None:
    """Make files in the shell's folder: each its own content, of *size* bytes or of its name."""
    for name in names:
        path = shell.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = random.Random(f"{name} {seed}").randbytes(size) if size else os.fsencode(f"{name} {seed}")
        path.write_bytes(content)


def keys(sandbox: Sandbox, bucket: str = "bucket") -> list[str]:
    """Return the keys of all objects, sorted."""
    folder = sandbox.object_path(bucket, "x").parent
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_stored(shell: Shell, sandbox: Sandbox, prefix: str, names: Iterable[str]) -> None:
    """Assert that each name's object below *prefix* is its file, byte for byte."""
    for name in names:
        stored = sandbox.object_path("bucket", prefix + name).read_bytes()
        assert stored == (shell.folder / name).read_bytes(), name


def operations(sandbox: Sandbox, since: int = 0) -> Counter[str]:
    """Return how often the sandbox was asked for what."""
    return Counter(record.operation for record in sandbox.requests[since:])


def objects(outcome: Outcome) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return what --json printed: of each file by its source, and of the batch."""
    *files, batch = [json.loads(line) for line in outcome.out.splitlines()]
    by_source = {one["source"]: one for one in files}
    assert len(by_source) == len(files)
    return by_source, batch


def test_a_folder_with_small_and_large_files(shell: Shell, sandbox: Sandbox) -> None:
    """Keys are the relative paths; silent, and nothing is left over beside the files."""
    names = ["tree/a", "tree/sub/b", "tree/sub/deep/ü & ö", "tree/empty"]
    make(shell, *names)
    (shell.folder / "tree/empty").write_bytes(b"")
    make(shell, "tree/large", size=LARGE)
    outcome = shell.run("upload", "-r", "tree", "bucket/2026/")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    check_stored(shell, sandbox, "2026/", [*names, "tree/large"])
    assert keys(sandbox) == sorted(f"2026/{name}" for name in [*names, "tree/large"])
    assert operations(sandbox) == {
        "list": 1,
        "put": 4,
        "uploads": 1,
        "initiate": 1,
        "part": 2,
        "complete": 1,
    }
    assert sandbox.uploads() == []
    assert sorted(path.name for path in shell.folder.rglob("*.obsup.json")) == []


@pytest.mark.parametrize(
    ("source", "expected"), [("tree", ["p/tree/a"]), ("tree/", ["p/a"]), (".", ["p/tree/a"])]
)
def test_a_slash_at_the_end_means_the_contents(
    source: str, expected: list[str], shell: Shell, sandbox: Sandbox
) -> None:
    """As with rsync; a prefix of none is the bucket itself."""
    make(shell, "tree/a")
    assert shell.run("upload", "-r", source, "bucket/p/").code == 0
    assert keys(sandbox) == expected


def test_several_sources(shell: Shell, sandbox: Sandbox) -> None:
    """Files and folders mingle; the bucket itself may be the TARGET."""
    make(shell, "a", "b", "tree/c")
    assert shell.run("upload", "-r", "a", "b", "tree", "obs://bucket/").code == 0
    assert keys(sandbox) == ["a", "b", "tree/c"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "b", "bucket/p"], "bucket/p/"),
        (["-r", "tree", "bucket/p"], "must end in /"),
        (["a", "-", "bucket/p/"], "--from-list -"),
        (["-r", "bucket/p/"], "SOURCE"),
        (["a", "b", "bucket/p/", "--parts", "3"], "--parts"),
        (["a", "b", "bucket/p/", "--expect-size", "3"], "--expect-size"),
        (["a", "b", "bucket/p/", "--exclude", "!"], "--exclude"),
        (["tree/same", "same", "bucket/p/"], "two sources for one key"),
        (["-r", "tree/", "same", "bucket/p/"], "two sources for one key"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(
    words: list[str], said: str, shell: Shell, sandbox: Sandbox
) -> None:
    """Exit 2, and not one request that writes."""
    make(shell, "a", "b", "same", "tree/same", "tree/other")
    outcome = shell.run("upload", *words)
    assert outcome.code == 2
    assert said in " ".join(outcome.err.split())
    assert set(operations(sandbox)) <= {"list"}


def test_a_list_from_standard_input(shell: Shell, sandbox: Sandbox) -> None:
    """As find prints it; names with line breaks between NULs; the same file twice counts once."""
    make(shell, "tree/a", "tree/two\nlines", "tree/sub/b", "tree/c.tmp")
    words = [sys.executable, "-m", "obsup", "upload", "--from-list", "-", "-0", "bucket/p/", "--json"]
    done = subprocess.run(
        [*words, "--exclude", "*.tmp"],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        input=b"tree/a\0./tree/a\0tree/two\nlines\0tree/c.tmp\0tree/./sub/b\0gone\0",
        capture_output=True,
    )
    assert done.returncode == 66
    assert keys(sandbox) == ["p/sub/b", "p/tree/a", "p/tree/two%0Alines"]
    files, batch = objects(Outcome(66, done.stdout.decode(), ""))
    assert files["gone"]["reason"] == "source"
    assert (batch["files"], batch["sent"], batch["failed"]) == (4, 3, 1)


def test_one_that_fails_does_not_stop_the_others(shell: Shell, sandbox: Sandbox) -> None:
    """It is named with its reason, its code is the command's, and the list of failures is fed back."""
    names = [f"tree/{number:03}" for number in range(60)]
    make(shell, *names)
    sandbox.add_fault("error=403:AccessDenied,op=put,key=p/01*,times=always")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--failed-list", "failed", "--json")
    files, batch = objects(outcome)
    assert outcome.code == 77
    assert len(keys(sandbox)) == 50
    assert (batch["status"], batch["sent"], batch["failed"], batch["reasons"]) == (
        "incomplete",
        50,
        10,
        {"credentials": 10},
    )
    assert {name for name, one in files.items() if one["status"] != "completed"} == set(names[10:20])
    assert len(re.findall(r"Failed: 01\d: .*403 AccessDenied", outcome.err)) == 10
    assert "10 of 60 files" in outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    again = shell.run("upload", "--from-list", "failed", "bucket/p/", "--failed-list", "failed")
    assert (again.code, again.err) == (0, "")
    assert operations(sandbox, before) == {"list": 1, "put": 10}
    assert keys(sandbox) == [f"p/{number:03}" for number in range(60)]
    assert (shell.folder / "failed").read_bytes() == b""


def test_the_gravest_code_counts(shell: Shell, sandbox: Sandbox) -> None:
    """What running again mends comes last, and alone it is 75."""
    make(shell, "tree/a", "tree/b", "tree/c")
    words = ("upload", "-r", "tree/", "bucket/p/", "--retry-for", "0s", "--json")
    sandbox.add_fault("error=503:ServiceUnavailable,op=put,key=p/a,times=always")
    outcome = shell.run(*words)
    _, batch = objects(outcome)
    assert (outcome.code, batch["status"], batch["retryable"]) == (75, "incomplete", True)
    assert "Run the same command again" in outcome.err
    assert batch["resumeCommand"] == "obsup upload -r tree/ bucket/p/ --retry-for 0s --json"
    sandbox.add_fault("error=400:InvalidRequest,op=put,key=p/b,times=always")
    (shell.folder / "tree/b").write_bytes(b"changed")
    outcome = shell.run(*words)
    assert outcome.code == 69
    assert objects(outcome)[1]["reasons"] == {"throttled": 1, "refused": 1}


def test_fail_fast(shell: Shell, sandbox: Sandbox) -> None:
    """The first failure stops the others; its code is the command's."""
    make(shell, *(f"tree/{number:03}" for number in range(200)))
    sandbox.add_fault("error=400:InvalidRequest,op=put,times=1")
    sandbox.add_fault("delay=0.05,op=put,times=always")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--fail-fast", "-j", "2", "--json")
    assert outcome.code == 69
    assert len(keys(sandbox)) < 100
    assert "--fail-fast" in outcome.err
    assert shell.run("upload", "-r", "tree/", "bucket/p/").code == 0
    assert len(keys(sandbox)) == 200


def test_the_same_command_again_sends_nothing_and_asks_for_no_file(shell: Shell, sandbox: Sandbox) -> None:
    """A page of the list tells of a thousand files; what changed, or is gone from the store, is sent."""
    names = [f"tree/{number:03}" for number in range(50)]
    make(shell, *names)
    make(shell, "tree/large", size=LARGE)
    words = ("upload", "-r", "tree/", "bucket/p/", "--json")
    assert shell.run(*words).code == 0
    before = len(sandbox.requests)
    files, batch = objects(shell.run(*words))
    assert operations(sandbox, before) == {"list": 1}
    assert (batch["sent"], batch["skipped"], batch["sentBytes"]) == (0, 51, 0)
    assert {one["status"] for one in files.values()} == {"skipped"}
    make(shell, names[3], seed=1)
    (shell.folder / names[4]).touch()
    make(shell, "tree/new")
    sandbox.object_path("bucket", "p/005").unlink()
    sandbox.object_path("bucket", "p/006").write_bytes(b"somebody else's")
    before = len(sandbox.requests)
    files, batch = objects(shell.run(*words))
    assert (batch["sent"], batch["skipped"]) == (4, 48)
    assert operations(sandbox, before)["put"] == 4
    check = [*names, "tree/new"]
    assert [one for one in check if (shell.folder / one).read_bytes() != stored(sandbox, one)] == []


def stored(sandbox: Sandbox, name: str) -> bytes:
    """Return the object of a file below tree/."""
    return sandbox.object_path("bucket", f"p/{name.removeprefix('tree/')}").read_bytes()


@pytest.mark.parametrize("damage", ["lost", "zeros", "none kept"])
def test_without_its_journal_a_batch_asks_the_store(
    damage: str, shell: Shell, sandbox: Sandbox, home: Path
) -> None:
    """What is there with the file's content is not sent again: the journal is rebuilt, with nothing sent twice."""
    make(shell, *(f"tree/{number:03}" for number in range(20)))
    make(shell, "tree/large", size=LARGE)
    words = ["upload", "-r", "tree/", "bucket/p/"]
    assert shell.run(*words).code == 0
    (journal,) = home.rglob("*.obsup.journal")
    if damage == "zeros":
        journal.write_bytes(bytes(4096))
    elif damage == "lost":
        journal.unlink()
    before = len(sandbox.requests)
    outcome = shell.run(*words, *(["--no-checkpoint"] if damage == "none kept" else []))
    assert outcome.code == 0
    assert ("is not a journal" in outcome.err) == (damage == "zeros")
    assert operations(sandbox, before) == {"list": 1, "head": 21}
    before = len(sandbox.requests)
    assert shell.run(*words).code == 0
    assert operations(sandbox, before) == {"list": 1}


def test_other_options_make_other_objects(shell: Shell, sandbox: Sandbox) -> None:
    """What is there was asked for otherwise: it is sent again. And so it is with --restart."""
    make(shell, "tree/a", "tree/b")
    assert shell.run("upload", "-r", "tree/", "bucket/p/").code == 0
    for words in (["--storage-class", "WARM"], ["--storage-class", "WARM", "--restart"], ["--restart"]):
        before = len(sandbox.requests)
        assert shell.run("upload", "-r", "tree/", "bucket/p/", *words).code == 0
        assert operations(sandbox, before)["put"] == 2
    before = len(sandbox.requests)
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "--storage-class", "WARM").code == 0
    assert operations(sandbox, before)["put"] == 2  # --restart has sent them without
    before = len(sandbox.requests)
    words = ["--storage-class", "COLD", "--skip-identical"]
    assert shell.run("upload", "-r", "tree/", "bucket/p/", *words).code == 0
    assert operations(sandbox, before)["put"] == 0


def test_names_that_can_be_no_key(shell: Shell, sandbox: Sandbox) -> None:
    """Each is an error of its own, named so that it can be read; the rest goes on."""
    make(shell, "tree/good", os.fsdecode(b"tree/caf\xe9"))
    deep = "/".join(["tree", *["d" * 250] * 5, "x"])
    make(shell, deep)
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--failed-list", "failed")
    assert outcome.code == 66
    assert keys(sandbox) == ["p/good"]
    assert "not valid UTF-8" in outcome.err
    assert "accepts 1024 bytes" in outcome.err
    assert len((shell.folder / "failed").read_bytes().splitlines()) == 2


def test_what_is_no_file_is_named(shell: Shell, sandbox: Sandbox) -> None:
    """And is no failure; with -q it is not even said."""
    make(shell, "tree/a")
    os.mkfifo(shell.folder / "tree/pipe")
    (shell.folder / "tree/link").symlink_to("a")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--links", "skip")
    assert outcome.code == 0
    assert "Skipped: pipe: a named pipe" in outcome.err
    assert "Skipped: link: a symbolic link" in outcome.err
    assert keys(sandbox) == ["p/a"]
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "-q").err == ""
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "--links", "refuse").code == 66


def test_an_object_a_file_and_one_for_the_batch(shell: Shell, sandbox: Sandbox) -> None:
    """With the documented keys; those of a file are those of a file of its own."""
    make(shell, "tree/a")
    make(shell, "single")
    files, batch = objects(shell.run("upload", "-r", "tree", "bucket/p/", "--json"))
    alone = shell.run("upload", "single", "bucket/p/", "--json").json
    assert files["tree/a"].keys() == {*alone.keys(), "source"}
    assert (files["tree/a"]["key"], files["tree/a"]["verified"]) == ("p/tree/a", "etag")
    assert batch.pop("seconds") > 0
    assert batch == {
        "format": 1,
        "command": "upload",
        "status": "completed",
        "files": 1,
        "sent": 1,
        "skipped": 0,
        "failed": 0,
        "size": 8,
        "sentParts": 1,
        "sentBytes": 8,
    }


def test_progress_counts_files(shell: Shell, sandbox: Sandbox) -> None:
    """As JSON lines: the last one tells of all."""
    make(shell, *(f"tree/{number}" for number in range(30)))
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--progress", "json")
    last = json.loads(outcome.err.splitlines()[-1])
    assert (last["filesDone"], last["files"], last["counted"]) == (30, 30, True)
    assert last["transferred"] == last["total"] > 0
