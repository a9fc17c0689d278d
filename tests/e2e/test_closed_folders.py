"""Paths in a folder that the user may not enter: the exit code of what the path is for, never a bug in obsup."""

from __future__ import annotations

import pytest

from tests.support.batch import make_files
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

CASES = {
    "upload FILE bigfile bucket/p/": 66,
    "init FILE bucket/key": 66,
    "part FILE bucket/key --upload-id x --part-number 1": 66,
    "upload bigfile bucket/key --receipt FILE": 74,
    "upload bigfile bucket/key --metrics FILE": 74,
    "upload bigfile bucket/key --log-file FILE": 78,
    "upload -r tree bucket/p/ --failed-list FILE": 74,
    "upload bigfile bucket/key --provider s3 --sse-c-key-file FILE": 78,
    "config init --config FILE": 74,
    "upload bigfile bucket/key --config FILE": 78,
    # The upload itself needs no checkpoint.
    "upload bigfile bucket/key --checkpoint FILE": 0,
}


@pytest.mark.parametrize("words", mostly_slow(CASES))
def test_a_path_in_a_folder_that_may_not_be_entered(shell: Shell, words: str) -> None:
    """SOURCE, and the files of the options. Only root without its rights over files is like other users."""
    make_files(shell, "closed/file", "tree/a", "bigfile")
    (shell.folder / "closed").chmod(0)
    try:
        command = words.replace("FILE", "closed/file")
        outcome = shell.run_script(f"setpriv --bounding-set=-dac_override,-dac_read_search obsup {command}")
    finally:
        (shell.folder / "closed").chmod(0o700)
    assert outcome.code == CASES[words], outcome.err
    assert not outcome.code or "closed/file" in outcome.err


@pytest.mark.parametrize(
    "words", mostly_slow(["verify", "part --upload-id x --part-number 1", "upload"], "verify")
)
def test_a_source_that_may_not_be_read(shell: Shell, words: str) -> None:
    """66 from every command."""
    make_files(shell, "bigfile")
    (shell.folder / "bigfile").chmod(0)
    name, _, options = words.partition(" ")
    outcome = shell.run_script(
        f"setpriv --bounding-set=-dac_override,-dac_read_search obsup {name} bigfile bucket/key {options}"
    )
    assert outcome.code == 66, outcome.err
