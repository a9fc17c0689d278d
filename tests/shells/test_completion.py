"""Completion with TAB in real shells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.terminal import Terminal

pytestmark = [pytest.mark.shells, pytest.mark.timeout(300)]

# The command of each shell, and the settings with which it finds the installed completions.
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "PS1='@@ '; source /usr/share/bash-completion/bash_completion; XDG_DATA_DIRS={prefix}/share",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "PS1='@@ '; setopt no_auto_menu; fpath=({prefix}/share/zsh/site-functions $fpath); autoload -U compinit; "
        "compinit -u -D",
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        "function fish_prompt; echo '@@ '; end; set -g fish_greeting; "
        "source {prefix}/share/fish/vendor_completions.d/obsup.fish",
    ),
}
EVERY = pytest.mark.parametrize("shell", SHELLS)


@contextmanager
def opened(shell: str, prefix: Path, machine: dict[str, str], folder: Path) -> Iterator[Terminal]:
    """A shell that is ready for input."""
    command, setting = SHELLS[shell]
    with Terminal(command, folder=folder, environment=machine, columns=120, rows=40) as terminal:
        terminal.type(setting.format(prefix=prefix) + "\n")
        # The echo of the input has quotes: "ready" appears only when the shell has executed its settings.
        terminal.type("echo rea''dy\n")
        terminal.wait_for(
            lambda: "ready" in terminal.lines()[-2:] or any(x == "ready" for x in terminal.lines())
        )
        terminal.type("clear\n")
        terminal.wait_for(lambda: [line.strip() for line in terminal.lines()] == ["@@"])
        yield terminal


def typed_line(terminal: Terminal) -> str:
    """Return the command line up to the cursor, without the prompt."""
    line: str = terminal.screen.display[terminal.screen.cursor.y]
    return line[: terminal.screen.cursor.x].rpartition("@@ ")[2]


@EVERY
@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("obsup doc\t", "obsup doctor "),
        ("obsup upload big\t", "obsup upload bigfile "),
        ("obsup upload my\t", r"obsup upload my\ dump.tar "),
        ("obsup upload bigfile bac\t", "obsup upload bigfile backups/"),
        ("obsup verify bigfile backups/2\t", r"obsup verify bigfile backups/2026/db\ dump "),
        ("obsup verify bigfile obs://backups/2\t", r"obsup verify bigfile obs://backups/2026/db\ dump "),
        ("obsup gc bac\t", "obsup gc backups "),
        ("obsup upload --part-n\b\b-s\t", "obsup upload --part-size "),
        ("obsup upload --digest md\t", "obsup upload --digest md5 "),
        ("obsup upload --digest=md\t", "obsup upload --digest=md5 "),
        ("obsup upload --profile nig\t", "obsup upload --profile nightly "),
        ("obsup parts backups/2026/ --upload-id \t", "obsup parts backups/2026/ --upload-id UPLOAD1 "),
        ("obsup upload --checkpoint-dir fol\t", "obsup upload --checkpoint-dir folder/"),
        ("obsup config in\t", "obsup config init "),
        ("true; obsup upload --if-running sk\t", "true; obsup upload --if-running skip "),
    ],
)
def test_a_tab_completes(
    shell: str, keys: str, line: str, prefix: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    """Commands, options, choices, files, known targets, upload ids and profiles."""
    with opened(shell, prefix, machine, tmp_path) as terminal:
        terminal.type(keys)
        terminal.wait_for(lambda: typed_line(terminal).rstrip() == line.rstrip())


def test_bash_leaves_out_a_target_that_it_would_not_quote(
    prefix: Path, machine: dict[str, str], home: Path, tmp_path: Path
) -> None:
    """The shell would replace the name of a variable in it by its value, and obsup would write another object."""
    known = home / "state" / "uploads" / "one.json"
    known.write_text(known.read_text().replace("2026/db dump", "m$HOME"))
    with opened("bash", prefix, machine, tmp_path) as terminal:
        terminal.type("obsup verify bigfile backups/m\t")
        terminal.type("; obsup upload --digest=md\t")
        terminal.wait_for(lambda: typed_line(terminal).rstrip().endswith("--digest=md5"))
        assert typed_line(terminal).startswith("obsup verify bigfile backups/m;")


@EVERY
def test_two_tabs_show_the_choices(shell: str, prefix: Path, machine: dict[str, str], tmp_path: Path) -> None:
    """They list the values of the option."""
    with opened(shell, prefix, machine, tmp_path) as terminal:
        terminal.type("obsup upload bigfile b/k --on-change \t\t")
        terminal.wait_for(lambda: {"fail", "resend"} <= set(re.findall(r"\w+", " ".join(terminal.lines()))))


@EVERY
def test_a_new_user_tabs_through_an_upload(
    shell: str, prefix: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    """Every argument, from the command to the last option, is completed."""
    with opened(shell, prefix, machine, tmp_path) as terminal:
        for keys, line in (
            ("obsup upl", "obsup upl"),
            ("oad bi\t", "obsup upload bigfile"),
            (" obs://bac\t", "obsup upload bigfile obs://backups/"),
            ("2\t", r"obsup upload bigfile obs://backups/2026/db\ dump"),
            (" --on-ch\t", r"obsup upload bigfile obs://backups/2026/db\ dump --on-change"),
            (" re\t", r"obsup upload bigfile obs://backups/2026/db\ dump --on-change resend"),
        ):
            terminal.type(keys.lstrip() if typed_line(terminal).endswith(" ") else keys)
            terminal.wait_for(lambda wanted=line: typed_line(terminal).rstrip() == wanted)  # type: ignore[misc]
