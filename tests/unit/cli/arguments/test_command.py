"""--help: one sentence, two examples first, options in groups with their environment variables, exit status."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from obsup.cli.arguments.command import OWN_GROUP, Command, Commands, group_of, read_help_text
from obsup.cli.main import cli
from obsup.exit_status import EXIT_STATUSES

GROUPS = {"Transfer", "Many files", "Stream", "Resume", "Object", "Encryption", "Connection", "Output"}
# Options that no environment variable could mean: they say what the words after them are.
WITHOUT_VARIABLE = {"--from-command"}


def walk(group: Commands, *words: str) -> Iterator[tuple[tuple[str, ...], Command | Commands]]:
    """Yield every command that is shown, with the words that call it."""
    for name, one in group.commands.items():
        assert isinstance(one, Command | Commands), (
            f"{name} is made by click.command: use obsup.cli.help.command"
        )
        if one.hidden:
            continue
        yield (*words, name), one
        if isinstance(one, Commands):
            yield from walk(one, *words, name)


assert isinstance(cli, Commands)
COMMANDS = dict(walk(cli))
EVERY = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
LEAVES = pytest.mark.parametrize(
    "words", [words for words, one in COMMANDS.items() if isinstance(one, Command)], ids=" ".join
)


def help_of(words: tuple[str, ...]) -> str:
    """What --help prints, on a wide terminal."""
    result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=100, prog_name="obsup")
    assert result.exit_code == 0
    return result.output


def options_of(words: tuple[str, ...]) -> list[click.Option]:
    """The options that are shown."""
    return [one for one in COMMANDS[words].params if isinstance(one, click.Option) and not one.hidden]


@EVERY
def test_the_sentence_and_the_examples_come_first(words: tuple[str, ...]) -> None:
    """One sentence, at least two examples, then the rest."""
    story = COMMANDS[words].story
    assert story.sentence.endswith(".")
    assert len(story.examples) >= 2
    lines = [line.strip() for line in help_of(words).splitlines() if line.strip()]
    assert lines[0].startswith(f"Usage: obsup {' '.join(words)}")
    assert lines[lines.index("Examples:") + 1 :][: len(story.examples)] == list(story.examples)
    shown = help_of(words)
    assert shown.index("Examples:") < shown.index("--help")


@LEAVES
def test_every_example_parses(words: tuple[str, ...], home: Path) -> None:
    """What the help shows is what obsup takes."""
    place = home / ".config" / "obsup" / "config.toml"
    place.parent.mkdir(parents=True)
    place.write_text("[profiles.nightly]\n")
    for example in COMMANDS[words].story.examples:
        for line in obsup_lines(example):
            name, *rest = line
            parse(cli, name, rest)


def parse(group: Commands, name: str, rest: list[str]) -> None:
    """Have Click parse a command line; raises where it refuses it."""
    one = group.commands[name]
    if isinstance(one, Commands):
        parse(one, rest[0], rest[1:])
    else:
        one.make_context(name, list(rest))


def obsup_lines(text: str) -> list[list[str]]:
    """Return the words of every call of obsup in a line of shell."""
    found = []
    for piece in re.split(r"\s(?:\|\||&&|\||;)\s|\$\(|\)$", text):
        words = shlex.split(piece.replace("{}", "1"), comments=True)
        if "obsup" in words:
            found.append(words[words.index("obsup") + 1 :])
    return found


@LEAVES
def test_every_option_has_help_and_its_environment_variable(words: tuple[str, ...]) -> None:
    """--help names it: OBSUP_ and the longest name."""
    text = " ".join(help_of(words).split())
    for one in options_of(words):
        assert one.help, one.opts
        if set(one.opts) & WITHOUT_VARIABLE:
            continue
        assert one.envvar, one.opts
        prefix = "OBSUP_SANDBOX_" if words == ("sandbox",) else "OBSUP_"
        longest = next(name for name in one.opts if name.startswith("--"))
        assert one.envvar == prefix + longest.removeprefix("--").upper().replace("-", "_")
        assert f"env var: {one.envvar}" in text


@LEAVES
def test_no_two_options_of_a_command_share_a_name(words: tuple[str, ...]) -> None:
    """Neither a long nor a short one."""
    names = [
        name for one in COMMANDS[words].params for name in (*one.opts, *one.secondary_opts) if name[0] == "-"
    ]
    assert len(names) == len(set(names))


@EVERY
def test_the_exit_status_table_is_whole(words: tuple[str, ...]) -> None:
    """Every command says what each code means."""
    text = " ".join(help_of(words).partition("Exit status:")[2].split())
    for row in EXIT_STATUSES:
        assert f"{row.codes} {row.meaning}" in text


def test_the_options_of_upload_stand_in_groups() -> None:
    """Transfer, resume, object, encryption, connection, output; none without a group."""
    assert {group_of(one) for one in options_of(("upload",))} == GROUPS


def test_obsup_alone_shows_the_main_commands_first() -> None:
    """The five of every day, before all others."""
    text = CliRunner().invoke(cli, [], prog_name="obsup").output
    section = text.partition("Every day:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in section.splitlines()] == [
        "upload",
        "status",
        "verify",
        "gc",
        "doctor",
    ]
    assert (
        text.index("Every day:")
        < text.index("Step by step:")
        < text.index("Around it:")
        < text.index("Options:")
    )


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["upload", "f", "b/k", "--part-sise", "5M"], "--part-size"),
        (["upload", "f", "b/k", "--chekpoint", "x"], "--checkpoint"),
        (["verify", "f", "b/k", "--recipt", "x"], "--receipt"),
        (["uplaod", "f", "b/k"], "upload"),
        (["sandbox", "--buket", "b"], "--bucket"),
    ],
)
def test_a_wrong_word_suggests_the_right_one(words: list[str], meant: str) -> None:
    """Exit 2, and what was probably meant."""
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "Did you mean" in result.output
    assert f"'{meant}'" in result.output


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-p", "7"], "jobs", 7),
        (["-j", "7"], "jobs", 7),
        (["-ps", "5M"], "part_size", 5 * 1024 * 1024),
        (["-ps=5M"], "part_size", 5 * 1024 * 1024),
        (["-p7"], "jobs", 7),
    ],
)
def test_the_names_that_users_of_other_tools_try(words: list[str], name: str, value: int) -> None:
    """obsutil has -p for jobs and -ps for the part size."""
    ctx = cli.commands["upload"].make_context("upload", ["f", "b/k", *words])
    assert ctx.params[name] == value


def test_a_story_is_read_from_a_docstring() -> None:
    """First paragraph, examples, and the rest, which is left as it is."""
    story = read_help_text(
        """Do this
        and that.

        \b
        obsup a
        obsup b

        Then more.

        \b
        as it
        is"""
    )
    assert story.sentence == "Do this and that."
    assert story.examples == ("obsup a", "obsup b")
    assert story.details == ("Then more.", "\b\nas it\nis")


def test_a_command_without_examples_is_all_story() -> None:
    """Nothing is taken for an example that is none."""
    story = read_help_text("Do this.\n\nThen more.")
    assert (story.examples, story.details) == ((), ("Then more.",))


def test_own_options_have_a_title_too() -> None:
    """What stands in no group is under Options."""
    assert group_of(click.Option(["--x"])) == OWN_GROUP
