"""A TAB is answered without Click, and like Click: for every command, every option and every argument."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from obsup.cli.arguments.command import Command, Commands
from obsup.cli.arguments.options import Option
from obsup.cli.arguments.types import WORD, Word
from obsup.cli.completion.answers import ARGUMENTS, Answer, answers
from obsup.cli.main import cli


def walk(group: Commands, *words: str) -> Iterator[tuple[list[str], Command | Commands]]:
    """Yield every command with the words that call it."""
    yield list(words), group
    for name, one in group.commands.items():
        if isinstance(one, Commands):
            yield from walk(one, *words, name)
        else:
            assert isinstance(one, Command)
            yield [*words, name], one


assert isinstance(cli, Commands)
COMMANDS = list(walk(cli))
EVERY_COMMAND = pytest.mark.parametrize(("words", "command"), COMMANDS, ids=lambda one: str(one)[:40])


def by_click(words: list[str], begun: str) -> list[Answer]:
    """Return what Click itself answers."""
    found = ShellComplete(cli, {}, "obsup", "_").get_completions(list(words), begun)
    return [Answer(one.type, one.value, one.help or "") for one in found]


def options_of(command: click.Command) -> list[Option]:
    """Return the options of *command* that take a value."""
    return [one for one in command.params if isinstance(one, Option) and not one.is_flag]


@EVERY_COMMAND
def test_the_names_are_those_of_click(words: list[str], command: Command | Commands) -> None:
    """Commands and options, each with its help, in the same order; also those that begin with some letters."""
    named = [name for one in command.params for name in [*one.opts, *one.secondary_opts]]
    for begun in {"", "-", "--", "--help", *(name[: len(name) // 2 + 1] for name in named)}:
        if begun.startswith("-") or isinstance(command, Commands):
            assert answers(words, begun) == by_click(words, begun)


@EVERY_COMMAND
def test_a_given_option_is_offered_as_by_click(words: list[str], command: Command | Commands) -> None:
    """Again only if it is repeatable."""
    for one in command.params:
        if isinstance(one, click.Option):
            for name in [*one.opts, *one.secondary_opts]:
                line = [*words, name] if one.is_flag else [*words, name, "1"]
                assert answers(line, "--") == by_click(line, "--")


@EVERY_COMMAND
def test_the_values_are_those_of_click(words: list[str], command: Command | Commands, home: Path) -> None:
    """Choices, files and folders. Where Click knows only a word, the table has suggestions or the kind of word."""
    for one in options_of(command):
        found = answers([*words, one.opts[0]], "")
        assert found == answers(words, f"{one.opts[-1]}=")
        if one.type is not WORD:
            assert found == by_click([*words, one.opts[0]], "")
        elif one.row.kind.suggestions:
            assert [item.value for item in found] == list(one.row.kind.suggestions)
        else:
            assert one.row.kind.name in ("profile", "upload-id")


@EVERY_COMMAND
def test_the_arguments_are_those_of_click(words: list[str], command: Command | Commands) -> None:
    """In the same order. The one that takes any number also completes all further words."""
    kinds = []
    for one in command.params:
        if isinstance(one, click.Argument):
            kinds.append(kind_of(one))
            if one.nargs == -1:
                break
    else:
        kinds.append("")
    if not isinstance(command, Commands):
        assert ARGUMENTS.get("-".join(words), ("",)) == tuple(kinds)


def kind_of(argument: click.Argument) -> str:
    """Return what completes *argument*."""
    if isinstance(argument.type, Word):
        return argument.type.completion
    if argument.type is click.UNPROCESSED:
        return ""
    return "file" if isinstance(argument.type, click.Path) else str(argument.name)


@pytest.mark.parametrize(
    "line",
    [
        "upload -j8 f",
        "upload -j 8 -q f",
        "upload -qj8 f",
        "upload -qj 8 f",
        "upload -ps 16M f",
        "upload -ps=16M --jobs=8",
        "upload --jobs= f",
        "upload - b/k",
        "upload --meta a=b --meta c=d f",
        "-h upload",
        "-h",
        "config show --json",
        "config",
        "status f",
        "status f b/k",
        "completion",
        "completion bash",
        "sandbox -- sh",
    ],
)
@pytest.mark.parametrize("begun", ["", "-", "--", "z", "--digest=m"])
def test_a_line_is_split_as_by_click(line: str, begun: str, home: Path) -> None:
    """Options with and without their values, in every spelling. Sources are words for Click."""
    found = [one for one in answers(line.split(), begun) if not (is_source(line) and one.kind == "file")]
    assert found == by_click(line.split(), begun)


def test_nothing_is_an_option_after_two_dashes(home: Path) -> None:
    """Click offers there the values of an option that has an equals sign."""
    for begun in ("-", "--digest=m"):
        assert [one for one in answers(["upload", "f", "--"], begun) if one.kind == "plain"] == []
    assert answers(["status", "--", "--json"], "--") == []


def is_source(line: str) -> bool:
    """Return whether the next argument of *line* is a source."""
    return "upload" in line
