"""--help: one sentence, two examples first, options in groups with their environment variables."""

from __future__ import annotations

import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.core import ParameterSource
from click.testing import CliRunner

from obsup.cli.actions.version import LIBRARIES
from obsup.cli.arguments.command import (
    OWN_GROUP,
    Command,
    Commands,
    group_of,
    read_help_text,
    similar_options,
)
from obsup.cli.arguments.command_names import OTHER_NAMES, OTHER_OPTIONS
from obsup.cli.arguments.options import Option
from obsup.cli.main import cli
from obsup.exit_status import EXIT_STATUSES
from obsup.options.table import GROUPS as TABLE

GROUPS = {
    *("Transfer", "Many files", "Stream", "Resume", "Object", "Retention", "Encryption", "Connection"),
    "Output",
}
# Options that an environment variable cannot set: they define what the words after them are.
WITHOUT_VARIABLE = {"--from-command"}
# The width of the help column at 80 columns: Click reserves 2 on the right, 32 for the names, and 2 between.
HELP_COLUMNS = 44


def walk(group: Commands, *words: str) -> Iterator[tuple[tuple[str, ...], Command | Commands]]:
    """Yield every visible command with the words that call it."""
    for name, one in group.commands.items():
        assert isinstance(one, Command | Commands), f"{name} must be made by obsup.cli.arguments.command"
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
    """Return what --help prints on a wide terminal."""
    result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=100, prog_name="obsup")
    assert result.exit_code == 0
    return result.output


def options_of(words: tuple[str, ...]) -> list[click.Option]:
    """Return the visible options of a command."""
    return [one for one in COMMANDS[words].params if isinstance(one, click.Option) and not one.hidden]


@EVERY
def test_sentence_and_examples_come_first(words: tuple[str, ...]) -> None:
    """One sentence, at least two examples, then the rest."""
    text = COMMANDS[words].help_text
    assert text.sentence.endswith(".")
    assert len(text.examples) >= 2
    lines = [line.strip() for line in help_of(words).splitlines() if line.strip()]
    assert lines[0].startswith(f"Usage: obsup {' '.join(words)}")
    assert lines[lines.index("Examples:") + 1 :][: len(text.examples)] == list(text.examples)
    printed = help_of(words)
    assert printed.index("Examples:") < printed.index("--help")


@LEAVES
def test_every_example_parses(words: tuple[str, ...], home: Path) -> None:
    """obsup accepts the examples of the help."""
    config_path = home / ".config" / "obsup" / "config.toml"
    config_path.parent.mkdir(parents=True)
    config_path.write_text("[profiles.nightly]\n")
    for example in COMMANDS[words].help_text.examples:
        for line in obsup_lines(example):
            name, *rest = line
            parse(cli, name, rest)


def parse(group: Commands, name: str, rest: list[str]) -> None:
    """Let Click parse a command line; raises if it is invalid."""
    one = group.commands[name]
    if isinstance(one, Commands):
        parse(one, rest[0], rest[1:])
    else:
        one.make_context(name, list(rest))


def obsup_lines(text: str) -> list[list[str]]:
    """Return the words of every call of obsup in a shell line."""
    found = []
    for piece in re.split(r"\s(?:\|\||&&|\||;)\s|\$\(|\)$", text):
        words = shlex.split(piece.partition(" > ")[0].replace("{}", "1"), comments=True)
        if "obsup" in words:
            found.append(words[words.index("obsup") + 1 :])
    return found


@LEAVES
def test_every_option_is_in_the_table(words: tuple[str, ...]) -> None:
    """No command declares an option of its own."""
    assert all(isinstance(one, Option) for one in options_of(words))


@LEAVES
def test_every_option_has_help_and_its_environment_variable(words: tuple[str, ...]) -> None:
    """--help prints the variable: OBSUP_ and the longest name."""
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


def test_every_help_text_fits_on_two_lines() -> None:
    """At 80 columns, without the variable and the default. It starts with a capital and ends with a full stop."""
    rows = [row for _, rows in TABLE for row in rows]
    assert [row.option for row in rows if len(textwrap.wrap(row.help, HELP_COLUMNS)) > 2] == []
    assert [row.option for row in rows if not re.fullmatch(r"[A-Z].*[.…]", row.help)] == []


@LEAVES
def test_option_names_are_unique_per_command(words: tuple[str, ...]) -> None:
    """This applies to long and short names."""
    names = [
        name for one in COMMANDS[words].params for name in (*one.opts, *one.secondary_opts) if name[0] == "-"
    ]
    assert len(names) == len(set(names))


def test_help_of_obsup_names_the_exit_status_table() -> None:
    """The table itself is printed by that command."""
    assert "'obsup help exit-status'" in help_of(())
    text = " ".join(CliRunner().invoke(cli, ["help", "exit-status"]).output.split())
    for row in EXIT_STATUSES:
        assert f"{row.codes} {row.meaning}. To do: {row.action}." in text


@EVERY
def test_help_of_a_command_is_what_its_option_prints(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["help", *words], prog_name="obsup")
    assert result.exit_code == 0
    assert result.output == CliRunner().invoke(cli, [*words, "--help"], prog_name="obsup").output


@pytest.mark.parametrize(
    "words", [["help", "nonsense"], ["help", "upload", "nonsense"], ["help", "config", "x"]]
)
def test_help_of_an_unknown_command_is_wrong_usage(words: list[str]) -> None:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert words[-1] in result.output or "has no commands" in result.output


@pytest.mark.parametrize(("name", "meant"), OTHER_NAMES.items())
def test_name_that_another_tool_uses_suggests_the_command(name: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [name, "f", "b/k"])
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.output
    assert tuple(meant.split()) in COMMANDS


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["get", "b/k", "f"], "No such command 'get': obsup uploads; other tools of the store download."),
        (["upload", "f", "b/k", "--threads", "9"], "No such option '--threads'. Did you mean '--jobs'?"),
        (["-v"], "Did you mean '--version'?"),
        (
            ["--endpoint", "x", "upload", "f", "b/k"],
            "'--endpoint': the options of a command follow its name.",
        ),
        (
            ["upload", "f", "b/k", "--secret-key", "x"],
            "set AccessKeyID and SecretAccessKey, or use a profile.",
        ),
        (["upload", "-dash", "b/k"], "No such option '-d'. For the file, write ./-dash."),
        (["upload", "file"], "Missing argument TARGET."),
        (["upload", "bucket/key"], "Missing argument SOURCE or TARGET."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_obsup_has_elsewhere_or_not_at_all_is_explained(
    words: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, and one sentence that leads on."""
    monkeypatch.chdir(tmp_path)
    for name in ("-dash", "file"):
        (tmp_path / name).touch()
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert hint in " ".join(result.output.split())


@pytest.mark.parametrize("name", OTHER_OPTIONS)
def test_options_of_other_tools_lead_to_an_option_that_exists(name: str) -> None:
    """And obsup does not call it so itself."""
    known = {one for command in COMMANDS.values() for option in command.params for one in option.opts}
    assert OTHER_OPTIONS[name] in {*known, "--version"}
    assert name not in known or name == "-v"


def test_version_names_every_dependency() -> None:
    """Those of this system; the version of obsup also in one letter, as curl and rsync have it."""
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    required = project["dependencies"]
    assert "truststore>=0.10; sys_platform != 'linux'" in required
    assert "truststore" in LIBRARIES
    named = [re.match(r"[a-z]+[0-9]?[a-z]*", one) for one in required if "sys_platform" not in one]
    text = CliRunner().invoke(cli, ["version"]).output
    lines = dict(line.split(" ", 1) for line in text.splitlines())
    assert {"obsup", "python", "openssl", "platform", *(one[0] for one in named if one)} <= lines.keys()
    assert CliRunner().invoke(cli, ["-V"]).output == f"obsup {lines['obsup']}\n"


def test_every_option_of_upload_is_in_a_group() -> None:
    """The groups are those of cli.md."""
    assert {group_of(one) for one in options_of(("upload",))} == GROUPS


def test_obsup_alone_lists_the_main_commands_first() -> None:
    """The five commands of every day come before all others."""
    text = CliRunner().invoke(cli, [], prog_name="obsup").output
    section = text.partition("Every day:\n")[2].partition("\n\n")[0]
    names = [line.split()[0] for line in section.splitlines()]
    assert names == ["upload", "status", "verify", "gc", "doctor"]
    titles = ("Every day:", "Step by step:", "Other:", "Options:")
    assert sorted(titles, key=text.index) == list(titles)


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
def test_misspelled_word_suggests_the_right_one(words: list[str], meant: str) -> None:
    """Exit 2, with a suggestion."""
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    if hasattr(click.exceptions, "NoSuchCommand"):
        assert "Did you mean" in result.output
        assert meant in result.output.partition("Did you mean")[2]
    elif words[0] in cli.commands:  # older versions of Click suggest options only
        assert meant in result.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--parts-si", ["--part-size", "--parts"]),
        ("--part", ["--parts", "--part-size"]),
        ("--parst", ["--parts"]),
        ("--chekpoint", ["--checkpoint", "--checkpoint-dir", "--no-checkpoint"]),
        ("--frobnicate", []),
    ],
)
def test_only_related_options_are_suggested(typed: str, meant: list[str]) -> None:
    """Those that begin with what was typed; otherwise those spelled alike."""
    assert sorted(similar_options(typed, cli.commands["upload"].params)) == sorted(meant)
    with pytest.raises(click.NoSuchOption) as caught:
        cli.commands["upload"].make_context("upload", [typed, "5", "f", "b/k"])
    assert sorted(caught.value.possibilities or []) == sorted(meant)


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
def test_short_names_of_obsutil_work(words: list[str], name: str, value: int) -> None:
    """obsutil has -p for jobs and -ps for the part size."""
    ctx = cli.commands["upload"].make_context("upload", ["f", "b/k", *words])
    assert ctx.params[name] == value


def test_help_text_is_split_into_sentence_examples_and_details() -> None:
    """The details are left unchanged."""
    text = read_help_text(
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
    assert text.sentence == "Do this and that."
    assert text.examples == ("obsup a", "obsup b")
    assert text.details == ("Then more.", "\b\nas it\nis")


def test_help_text_may_have_no_examples() -> None:
    """An ordinary paragraph is not an example."""
    text = read_help_text("Do this.\n\nThen more.")
    assert (text.examples, text.details) == ((), ("Then more.",))


def test_option_without_a_group_is_under_options() -> None:
    """Click's own options have no group."""
    assert group_of(click.Option(["--x"])) == OWN_GROUP


def test_an_empty_value_is_an_error_that_names_the_option() -> None:
    """For every option that takes a value, unless an empty text means something. An empty variable is not set."""
    checked = set()
    for words, command in COMMANDS.items():
        for option in command.params:
            if (
                not isinstance(option, Option)
                or option.row.kind.name == "flag"
                or option.row.kind.may_be_empty
            ):
                continue
            ctx = click.Context(command, info_name=" ".join(words))
            with pytest.raises(click.BadParameter) as caught:
                option.process_value(ctx, ("",) if option.multiple else "")
            assert option.row.option in caught.value.format_message()
            checked.add(option.row.option)
    assert {
        "--acl",
        "--storage-class",
        "--content-type",
        "--cache-control",
        "--access-key",
        "--metadata",
    } <= checked


def test_an_empty_environment_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every option."""
    command = cli.commands["upload"]
    for option in command.params:
        if isinstance(option, Option) and option.row.environment:
            monkeypatch.setenv(option.row.environment, "")
    ctx = command.make_context("upload", ["a", "bucket/key"])
    given = [
        one.row.option for one in command.params if isinstance(one, Option) and is_set_by_variable(ctx, one)
    ]
    assert given == []


def is_set_by_variable(ctx: click.Context, option: Option) -> bool:
    """Return whether the option has the value of its environment variable."""
    return ctx.get_parameter_source(option.row.parameter) is ParameterSource.ENVIRONMENT
