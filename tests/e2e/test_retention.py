"""The retention options: until they can be sent, each use is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]

OPTIONS = {
    "--retention": ("--retention", "compliance"),
    "--retain-until": ("--retain-until", "2030-12-31"),
    "--legal-hold": ("--legal-hold",),
}
LINES = {
    "file": "upload bigfile bucket/key",
    "parts": "upload bigfile bucket/key --parts 5",
    "dry run": "upload bigfile bucket/key --dry-run",
    "many files": "upload bigfile other bucket/folder/",
    "command": "upload --from-command bucket/key -- cat bigfile",
    "init": "init bigfile bucket/key",
    "init without source": "init bucket/key",
}
OTHER_LINES = sorted(LINES.keys() - {"file", "many files"})


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "line", ["file", "many files", *(pytest.param(line, marks=pytest.mark.slow) for line in OTHER_LINES)]
)
def test_retention_option_is_refused(
    line: str, option: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Exit 2 with the three lines of an error; the next command, without the option, succeeds."""
    make_file(1_000_000)
    make_file(1000, "other")
    arguments = LINES[line].split()
    outcome = shell.run(arguments[0], *OPTIONS[option], *arguments[1:])
    assert outcome.code == 2, outcome.err
    assert f"{option} is not supported yet" in outcome.err
    assert "Why:   This version of obsup cannot send it to any provider." in outcome.err
    assert sandbox.requests == []
    assert [path.name for path in sorted(shell.folder.iterdir())] == ["bigfile", "other"]
    assert outcome.err.splitlines()[2] == f"Next:  Run: obsup {LINES[line]}"


@pytest.mark.parametrize("source", ["environment", "configuration"])
def test_retention_setting_is_refused(
    source: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile, home: Path
) -> None:
    """A setting must not be ignored, wherever it comes from."""
    make_file(1000)
    config = home / ".config" / "obsup" / "config.toml"
    config.parent.mkdir(parents=True)
    environment = {"OBSUP_LEGAL_HOLD": "1"} if source == "environment" else {}
    if source == "configuration":
        config.write_text("[defaults]\nlegal_hold = true\n")
    outcome = shell.run("upload", "bigfile", "bucket/key", **environment)
    assert (outcome.code, sandbox.requests) == (2, []), outcome.err


def test_mode_must_be_known(shell: Shell, make_file: MakeFile) -> None:
    """There are two modes."""
    make_file(1000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--retention", "forever")
    assert outcome.code == 2
    assert "governance" in outcome.err
