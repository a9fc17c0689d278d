"""Splits a command line that is being typed as Click would, without loading Click. A test compares both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from obsup.cli.arguments.command_names import CONFIG_COMMANDS, SHORT_HELPS
from obsup.options.kinds import FLAG
from obsup.options.row import OptionRow
from obsup.options.table import rows_of

# The commands of each group, with their helps.
GROUPS: Mapping[str, Mapping[str, str]] = {"": SHORT_HELPS, "config": CONFIG_COMMANDS}
# Click's own options.
_HELP = OptionRow("-h --help", FLAG, "Show this message and exit.")
_VERSION = OptionRow("-V --version", FLAG, "Show the version and exit.")


class CommandLine(NamedTuple):
    """The words before the cursor.

    ``command`` is empty for obsup itself, and ``config-init`` for ``obsup config init``. ``given`` are the options, by
    long name, with their values. ``open_option`` is the option whose value is at the cursor. ``has_end``: no options
    follow, because of ``--``.
    """

    command: str
    given: Mapping[str, str]
    open_option: OptionRow | None
    arguments: Sequence[str]
    has_end: bool


def options_of(command: str) -> list[OptionRow]:
    """Return the options of *command*, in the order of --help."""
    return [*(row for _, row in rows_of(command)), *([] if command else [_VERSION]), _HELP]


def names_of(row: OptionRow) -> list[str]:
    """Return each name of an option, also that of its opposite."""
    return [name for spelling in row.spellings for name in spelling.split("/")]


def read_line(words: Sequence[str]) -> CommandLine | None:
    """Return the command line that the *words* after ``obsup`` are. Return None if a command does not exist."""
    command = ""
    while True:
        line = _read(command, words)
        if command not in GROUPS or not line.arguments:
            return line
        name, *words = line.arguments
        if name not in GROUPS[command]:
            return None
        command = f"{command}-{name}" if command else name


def _read(command: str, words: Sequence[str]) -> CommandLine:
    by_name = {name: row for row in options_of(command) for name in names_of(row)}
    given: dict[str, str] = {}
    arguments: list[str] = []
    open_option, has_end, rest = None, False, list(words)
    while rest:
        word = rest.pop(0)
        if has_end or not word.startswith("-") or word == "-":
            arguments.append(word)
            if command in GROUPS or command == "sandbox":  # all other words belong to the other command
                return CommandLine(command, given, None, [*arguments, *rest], has_end)
        elif word == "--":
            has_end = True
        else:
            for row, value in _split(word, by_name):
                if value is None and rest:
                    value = rest.pop(0)
                open_option = row if value is None else None
                given[row.option] = value or ""
    return CommandLine(command, given, open_option, arguments, has_end)


def _split(word: str, by_name: Mapping[str, OptionRow]) -> Iterator[tuple[OptionRow, str | None]]:
    """Yield the options in *word*, each with its value; None if that is the next word."""
    name, separator, text = word.partition("=")
    found: list[tuple[str, str | None]] = [(name, text if separator else None)]
    if not word.startswith("--") and (len(name) == 2 or name not in by_name):
        found = [(f"-{letter}", word[at:] or None) for at, letter in enumerate(word[1:], 2)]
    for name, value in found:
        row = by_name.get(name)
        if row is None:
            return
        if row.kind.name != "flag":
            yield row, value
            return
        yield row, ""
