"""--failed-list has every file that a stopped batch did not send, so that no name is lost if it is the --from-list."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from obsup.cli.report.batch import FailedList
from obsup.engine.batch.outcome import FileOutcome
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import make_files, stored_keys, wait_for_requests
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

RUN = ("upload", "--from-list", "list", "bucket/p/", "--failed-list", "list")


def _make_list(shell: Shell, count: int) -> list[str]:
    names = [f"{number:04}" for number in range(count)]
    make_files(shell, *names)
    (shell.folder / "list").write_text("\n".join([*names, ""]))
    return names


def _listed(shell: Shell) -> set[str]:
    return {line.removeprefix("./") for line in (shell.folder / "list").read_text().splitlines()}


def _assert_completed_by_the_same_command(
    shell: Shell, sandbox: Sandbox, names: list[str], *more: str
) -> None:
    stored = {key.removeprefix("p/") for key in stored_keys(sandbox)}
    assert stored | _listed(shell) == set(names)
    sandbox.clear_faults()
    assert shell.run(*RUN, *more).code == 0
    assert stored_keys(sandbox) == [f"p/{name}" for name in names]
    assert _listed(shell) == set()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal(jobs: str, shell: Shell, sandbox: Sandbox) -> None:
    """Also with more files than the walk reads ahead."""
    names = _make_list(shell, 300)
    sandbox.add_fault("delay=0.3,op=put,after=10,times=always")
    with shell.begin(*RUN, "-j", jobs) as process:
        wait_for_requests(sandbox, "put", 10)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert 0 < len(stored_keys(sandbox)) < 300
    _assert_completed_by_the_same_command(shell, sandbox, names)


def test_a_time_limit(shell: Shell, sandbox: Sandbox) -> None:
    """The list is the --failed-list of another command, too."""
    names = _make_list(shell, 60)
    sandbox.add_fault("delay=0.3,op=put,times=always")
    arguments = ("upload", *names, "bucket/p/", "--failed-list", "list", "-j", "1", "--max-time", "2s")
    assert shell.run(*arguments).code == 75
    assert 0 < len(_listed(shell)) < 60
    _assert_completed_by_the_same_command(shell, sandbox, names)


def test_a_group_of_another_process(shell: Shell, sandbox: Sandbox) -> None:
    """Its files that were not started are in the list."""
    names = _make_list(shell, 1500)
    sandbox.add_fault("delay=0.3,op=put,after=700,times=always")
    with shell.begin(*RUN) as process:
        wait_for_requests(sandbox, "put", 710)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert len(stored_keys(sandbox)) < 1500
    _assert_completed_by_the_same_command(shell, sandbox, names)


def test_fail_fast(shell: Shell, sandbox: Sandbox) -> None:
    """A name behind the failed one is in the list, even if its file is missing, too."""
    names = _make_list(shell, 40)
    for name in (names[3], names[30]):
        (shell.folder / name).unlink()
    assert shell.run(*RUN, "--fail-fast", "-j", "1").code == 66
    make_files(shell, names[3], names[30])
    _assert_completed_by_the_same_command(shell, sandbox, names, "--fail-fast")


def test_a_bucket_that_does_not_exist(shell: Shell, sandbox: Sandbox) -> None:
    """After 64 failures in a row."""
    names = _make_list(shell, 200)
    sandbox.add_fault("error=404:NoSuchBucket,op=put,times=always")
    assert shell.run(*RUN).code == 69
    assert stored_keys(sandbox) == []
    _assert_completed_by_the_same_command(shell, sandbox, names)


def test_a_list_that_cannot_be_read_to_its_end_stays(shell: Shell) -> None:
    """The names behind the damage are not known."""
    make_files(shell, "a")
    content = b"a\n" + bytes(2_000_000)
    (shell.folder / "list").write_bytes(content)
    assert shell.run(*RUN).code == 66
    assert (shell.folder / "list").read_bytes() == content


def test_a_list_that_would_lack_names_does_not_replace_the_earlier_one(tmp_path: Path) -> None:
    """The batch ended before the walk over the sources did."""
    path = tmp_path / "list"
    path.write_text("earlier\n")
    failed = FailedList(path, b"\n")
    failed.add(FileOutcome("a", "a", is_started=False))
    note = failed.close(has_all=False)
    assert note == f"{path} was not written: the batch was stopped before all files were found"
    assert [one.name for one in tmp_path.iterdir()] == ["list"]
    assert path.read_text() == "earlier\n"


def test_one_of_several_shares_does_not_replace_the_list(shell: Shell) -> None:
    """The names of the other shares would be lost."""
    names = _make_list(shell, 4)
    outcome = shell.run(*RUN, "--shard", "1/2")
    assert outcome.code == 2
    assert "--failed-list list is the same file as --from-list" in outcome.err
    assert _listed(shell) == set(names)


def test_names_with_line_breaks(shell: Shell, sandbox: Sandbox) -> None:
    """A list by lines cannot have them, so it does not replace the list that had their folder."""
    make_files(shell, "tree/two\nlines", "tree/a")
    (shell.folder / "list").write_text("tree\n")
    sandbox.add_fault("error=403:AccessDenied,op=put,times=always")
    outcome = shell.run(*RUN, "-r")
    assert outcome.code == 77
    assert (
        "Note:  list stays as it is: names with line breaks cannot be in it; use -0 for them." in outcome.err
    )
    assert _listed(shell) == {"tree"}


def test_a_list_with_nul_that_is_cut_off(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 65, and nothing is sent."""
    make_files(shell, "ab", "abcd")
    (shell.folder / "list").write_bytes(b"abcd\0ab")
    outcome = shell.run("upload", "--from-list", "list", "-0", "bucket/p/")
    assert outcome.code == 65
    assert "the list of files is cut off" in outcome.err
    assert stored_keys(sandbox) == []
