"""Uploads of many files: each object is identical to its file, or the file is reported with a reason."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.small_disk import OWN_MOUNTS
from tests.support.batch import (
    LARGE_SIZE,
    assert_stored,
    count_operations,
    json_results,
    make_files,
    stored_keys,
)
from tests.support.matrix import mostly_slow
from tests.support.shell import Outcome, Shell


def test_a_directory_with_small_and_large_files(shell: Shell, sandbox: Sandbox) -> None:
    """Keys are the relative paths; nothing is printed, and no state is left beside the files."""
    names = ["tree/a", "tree/sub/b", "tree/sub/deep/ü & ö", "tree/empty"]
    make_files(shell, *names)
    (shell.folder / "tree/empty").write_bytes(b"")
    make_files(shell, "tree/large", size=LARGE_SIZE)
    outcome = shell.run("upload", "-r", "tree", "bucket/2026/")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert_stored(shell, sandbox, "2026/", [*names, "tree/large"])
    assert stored_keys(sandbox) == sorted(f"2026/{name}" for name in [*names, "tree/large"])
    assert count_operations(sandbox) == {
        "list": 1,
        "put": 4,
        "uploads": 1,
        "initiate": 1,
        "part": 2,
        "complete": 1,
    }
    assert sandbox.uploads() == []
    assert sorted(path.name for path in shell.folder.rglob("*.obsup.json")) == []


def test_a_small_part_size_applies_to_every_larger_file(shell: Shell, sandbox: Sandbox) -> None:
    """As --dry-run says."""
    make_files(shell, "tree/a", size=250_000)
    make_files(shell, "tree/b", size=1000)
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "--part-size", "100K").code == 0
    assert count_operations(sandbox) == {
        "list": 1,
        "uploads": 1,
        "initiate": 1,
        "part": 3,
        "complete": 1,
        "put": 1,
    }
    assert_stored(Shell(shell.folder / "tree"), sandbox, "p/", ["a", "b"])


@pytest.mark.parametrize(
    ("source", "expected"), [("tree", ["p/tree/a"]), ("tree/", ["p/a"]), (".", ["p/tree/a"])]
)
def test_a_trailing_slash_uploads_the_contents_of_the_directory(
    source: str, expected: list[str], shell: Shell, sandbox: Sandbox
) -> None:
    """As in rsync."""
    make_files(shell, "tree/a")
    assert shell.run("upload", "-r", source, "bucket/p/").code == 0
    assert stored_keys(sandbox) == expected


def test_several_sources(shell: Shell, sandbox: Sandbox) -> None:
    """Files and directories can be combined; TARGET can be the bucket itself."""
    make_files(shell, "a", "b", "tree/c")
    assert shell.run("upload", "-r", "a", "b", "tree", "obs://bucket/").code == 0
    assert stored_keys(sandbox) == ["a", "b", "tree/c"]


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_an_invalid_command_line_is_rejected_before_anything_is_sent(
    arguments: list[str], message: str, shell: Shell, sandbox: Sandbox
) -> None:
    """Exit 2, without a request that writes."""
    make_files(shell, "a", "b", "same", "tree/same", "tree/other")
    outcome = shell.run("upload", *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert set(count_operations(sandbox)) <= {"list"}


def test_a_list_from_standard_input(shell: Shell, sandbox: Sandbox) -> None:
    """The output of find -print0, with line breaks in names; a file listed twice is sent once."""
    make_files(shell, "tree/a", "tree/two\nlines", "tree/sub/b", "tree/c.tmp")
    arguments = [sys.executable, "-m", "obsup", "upload", "--from-list", "-", "-0", "bucket/p/", "--json"]
    done = subprocess.run(
        [*arguments, "--exclude", "*.tmp"],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        input=b"tree/a\0./tree/a\0tree/two\nlines\0tree/c.tmp\0tree/./sub/b\0gone\0",
        capture_output=True,
    )
    assert done.returncode == 66
    assert stored_keys(sandbox) == ["p/sub/b", "p/tree/a", "p/tree/two%0Alines"]
    files, batch = json_results(Outcome(66, done.stdout.decode(), ""))
    assert files["gone"]["reason"] == "source"
    assert (batch["files"], batch["sent"], batch["failed"]) == (4, 3, 1)


def test_a_failed_file_does_not_stop_the_others(shell: Shell, sandbox: Sandbox) -> None:
    """Its reason is reported, the command exits with its code, and --failed-list can be used as --from-list."""
    names = [f"tree/{number:03}" for number in range(60)]
    make_files(shell, *names)
    sandbox.add_fault("error=403:AccessDenied,op=put,key=p/01*,times=always")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--failed-list", "failed", "--json")
    files, batch = json_results(outcome)
    assert outcome.code == 77
    assert len(stored_keys(sandbox)) == 50
    assert (batch["status"], batch["sent"], batch["failed"], batch["reasons"]) == (
        "incomplete",
        50,
        10,
        {"credentials": 10},
    )
    assert {name for name, result in files.items() if result["status"] != "completed"} == set(names[10:20])
    assert len(re.findall(r"Failed: 01\d: .*403 AccessDenied", outcome.err)) == 10
    assert "10 of 60 files" in outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    again = shell.run("upload", "--from-list", "failed", "bucket/p/", "--failed-list", "failed")
    assert (again.code, again.err) == (0, "")
    assert count_operations(sandbox, before) == {"list": 1, "put": 10}
    assert stored_keys(sandbox) == [f"p/{number:03}" for number in range(60)]
    assert (shell.folder / "failed").read_bytes() == b""


def test_the_exit_status_is_that_of_the_worst_failure(shell: Shell, sandbox: Sandbox) -> None:
    """75 (run again) only if no failure is permanent."""
    make_files(shell, "tree/a", "tree/b", "tree/c")
    arguments = ("upload", "-r", "tree/", "bucket/p/", "--retry-for", "0s", "--json")
    sandbox.add_fault("error=503:ServiceUnavailable,op=put,key=p/a,times=always")
    outcome = shell.run(*arguments)
    _, batch = json_results(outcome)
    assert (outcome.code, batch["status"], batch["retryable"]) == (75, "incomplete", True)
    assert "Run the same command again" in outcome.err
    assert batch["resumeCommand"] == "obsup upload -r tree/ bucket/p/ --retry-for 0s --json"
    sandbox.add_fault("error=400:InvalidRequest,op=put,key=p/b,times=always")
    (shell.folder / "tree/b").write_bytes(b"changed")
    outcome = shell.run(*arguments)
    assert outcome.code == 69
    assert json_results(outcome)[1]["reasons"] == {"throttled": 1, "refused": 1}


def test_fail_fast(shell: Shell, sandbox: Sandbox) -> None:
    """The first failure stops the batch; the command exits with its code."""
    make_files(shell, *(f"tree/{number:03}" for number in range(200)))
    sandbox.add_fault("error=400:InvalidStorageClass,op=put,times=1")
    sandbox.add_fault("delay=0.05,op=put,times=always")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--fail-fast", "-j", "2", "--json")
    assert outcome.code == 69
    assert len(stored_keys(sandbox)) < 100
    assert "--fail-fast" in outcome.err
    assert shell.run("upload", "-r", "tree/", "bucket/p/").code == 0
    assert len(stored_keys(sandbox)) == 200


def test_running_the_same_command_again_sends_nothing_and_makes_no_request_per_file(
    shell: Shell, sandbox: Sandbox
) -> None:
    """One list request covers a thousand files; files that changed or are missing in the store are sent."""
    names = [f"tree/{number:03}" for number in range(50)]
    make_files(shell, *names)
    make_files(shell, "tree/large", size=LARGE_SIZE)
    arguments = ("upload", "-r", "tree/", "bucket/p/", "--json")
    assert shell.run(*arguments).code == 0
    before = len(sandbox.requests)
    files, batch = json_results(shell.run(*arguments))
    assert count_operations(sandbox, before) == {"list": 1}
    assert (batch["sent"], batch["skipped"], batch["sentBytes"]) == (0, 51, 0)
    assert {result["status"] for result in files.values()} == {"skipped"}
    make_files(shell, names[3], seed=1)
    (shell.folder / names[4]).touch()
    make_files(shell, "tree/new")
    sandbox.object_path("bucket", "p/005").unlink()
    sandbox.object_path("bucket", "p/006").write_bytes(b"foreign")
    before = len(sandbox.requests)
    files, batch = json_results(shell.run(*arguments))
    assert (batch["sent"], batch["skipped"]) == (4, 48)
    assert count_operations(sandbox, before)["put"] == 4
    check = [*names, "tree/new"]
    assert [name for name in check if (shell.folder / name).read_bytes() != stored(sandbox, name)] == []


def stored(sandbox: Sandbox, name: str) -> bytes:
    """Return the content of the object of a file below tree/."""
    return sandbox.object_path("bucket", f"p/{name.removeprefix('tree/')}").read_bytes()


@pytest.mark.parametrize("damage", mostly_slow(["lost", "zeros", "none kept"], "lost"))
def test_without_its_journal_a_batch_compares_the_objects_in_the_store(
    damage: str, shell: Shell, sandbox: Sandbox, home: Path
) -> None:
    """Identical objects are not sent again, and the journal is rebuilt."""
    make_files(shell, *(f"tree/{number:03}" for number in range(20)))
    make_files(shell, "tree/large", size=LARGE_SIZE)
    arguments = ["upload", "-r", "tree/", "bucket/p/"]
    assert shell.run(*arguments).code == 0
    (journal,) = home.rglob("*.obsup.journal")
    if damage == "zeros":
        journal.write_bytes(bytes(4096))
    elif damage == "lost":
        journal.unlink()
    before = len(sandbox.requests)
    outcome = shell.run(*arguments, *(["--no-checkpoint"] if damage == "none kept" else []))
    assert outcome.code == 0
    assert ("is not a journal" in outcome.err) == (damage == "zeros")
    assert count_operations(sandbox, before) == {"list": 1, "head": 21}
    assert count_operations(sandbox, before) == {"list": 1, "head": 21}
    before = len(sandbox.requests)
    assert shell.run(*arguments).code == 0
    assert count_operations(sandbox, before) == {"list": 1}


def test_files_are_sent_again_with_other_object_options(shell: Shell, sandbox: Sandbox) -> None:
    """The existing object has other options. --restart sends again, too."""
    make_files(shell, "tree/a", "tree/b")
    assert shell.run("upload", "-r", "tree/", "bucket/p/").code == 0
    for arguments in (["--storage-class", "WARM"], ["--storage-class", "WARM", "--restart"], ["--restart"]):
        before = len(sandbox.requests)
        assert shell.run("upload", "-r", "tree/", "bucket/p/", *arguments).code == 0
        assert count_operations(sandbox, before)["put"] == 2
    before = len(sandbox.requests)
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "--storage-class", "WARM").code == 0
    assert count_operations(sandbox, before)["put"] == 2  # --restart has sent them without


def test_names_that_are_not_valid_keys(shell: Shell, sandbox: Sandbox) -> None:
    """Each is reported as a failed file, with a readable name; the others are sent."""
    make_files(shell, "tree/good", os.fsdecode(b"tree/caf\xe9"))
    deep = "/".join(["tree", *["d" * 250] * 5, "x"])
    make_files(shell, deep)
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--failed-list", "failed")
    assert outcome.code == 66
    assert stored_keys(sandbox) == ["p/good"]
    assert "not valid UTF-8" in outcome.err
    assert "accepts 1024 characters" in outcome.err
    assert len((shell.folder / "failed").read_bytes().splitlines()) == 2


def test_entries_that_are_not_regular_files_are_reported(shell: Shell, sandbox: Sandbox) -> None:
    """They are not a failure; -q suppresses the message."""
    make_files(shell, "tree/a")
    os.mkfifo(shell.folder / "tree/pipe")
    (shell.folder / "tree/link").symlink_to("a")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--links", "skip")
    assert outcome.code == 0
    assert "Skipped: pipe: a named pipe" in outcome.err
    assert "Skipped: link: a symbolic link" in outcome.err
    assert stored_keys(sandbox) == ["p/a"]
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "-q").err == ""
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "--links", "refuse").code == 66


def test_json_has_one_object_per_file_and_one_for_the_batch(shell: Shell, sandbox: Sandbox) -> None:
    """They have the documented keys; those of a file are the same as for a single upload."""
    make_files(shell, "tree/a")
    make_files(shell, "single")
    files, batch = json_results(shell.run("upload", "-r", "tree", "bucket/p/", "--json"))
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
    """The last line of --progress json counts all files."""
    make_files(shell, *(f"tree/{number}" for number in range(30)))
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--progress", "json")
    last = json.loads(outcome.err.splitlines()[-1])
    assert (last["filesDone"], last["files"], last["counted"]) == (30, 30, True)
    assert last["transferred"] == last["total"] > 0


def test_a_named_pipe_as_a_source_is_an_error(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 66: a pipe that the user names must not be skipped. The other files are sent."""
    (shell.folder / "file").write_bytes(b"content")
    os.mkfifo(shell.folder / "pipe")
    (shell.folder / "list").write_text("file\npipe\n")
    for arguments in (("file", "pipe"), ("--from-list", "list")):
        outcome = shell.run("upload", *arguments, "bucket/p/")
        assert outcome.code == 66
        assert "pipe is a named pipe" in outcome.err
    assert sandbox.object_path("bucket", "p/file").read_bytes() == b"content"
    assert not sandbox.object_path("bucket", "p/pipe").exists()


@pytest.mark.slow
def test_a_folder_that_is_mounted_into_itself_is_an_error(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 66: its files are not sent, and no symbolic link explains that. A file server may number folders alike."""
    make_files(shell, "tree/file", "tree/sub/other")
    mount = 'mount --bind tree tree/sub && exec "$@"'
    script = shlex.join([*OWN_MOUNTS, "sh", "-c", mount, "sh", "obsup", "upload", "-r", "tree/", "bucket/p/"])
    outcome = shell.run_script(script)
    assert outcome.code == 66
    assert "It has the device and inode number of a parent folder" in outcome.err
    assert sandbox.object_path("bucket", "p/file").exists()
