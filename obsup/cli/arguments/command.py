"""What ``--help`` shows, and the man pages and completions are made from: a command's story and its grouped options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from obsup.exit_status import EXIT_STATUSES

F = TypeVar("F", bound=Callable[..., Any])

OWN_GROUP = "Options"
# The main five first; then the single steps of an upload; then what is needed now and then.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Every day": ("upload", "status", "verify", "gc", "doctor"),
    "Step by step": ("init", "part", "complete", "abort", "parts", "uploads"),
    "Around it": ("config", "sandbox"),
}


# Each of these says what the other says.
EXCLUSIVE = (("parts", "part_size"), ("checkpoint", "checkpoint_dir"))
_NEAREST = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


class HelpText(NamedTuple):
    """What the docstring of a command tells: one sentence, the lines of its examples, and the paragraphs after."""

    sentence: str
    examples: tuple[str, ...]
    details: tuple[str, ...]


def read_help_text(text: str) -> HelpText:
    """Return the story in a command's help *text*: its first paragraph, then a ``\\b`` paragraph of examples."""
    paragraphs = [one.strip("\n") for one in inspect.cleandoc(text).split("\f")[0].split("\n\n")]
    sentence = " ".join(paragraphs[0].split())
    examples: tuple[str, ...] = ()
    rest = [one for one in paragraphs[1:] if one.strip()]
    if rest and rest[0].startswith("\b"):
        examples = tuple(line.strip() for line in rest.pop(0).splitlines()[1:])
    return HelpText(sentence, examples, tuple(rest))


class Option(click.Option):
    """An option that knows its group."""

    group: str = OWN_GROUP


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return Click's option with its environment variable: OBSUP_PART_SIZE for --part-size."""
    longest = next(name for name in names if name.startswith("--")).split("/")[0]
    settings.setdefault("envvar", "OBSUP_" + longest.removeprefix("--").upper().replace("-", "_"))
    settings.setdefault("show_envvar", True)
    return click.option(*names, cls=Option, **settings)


def command(**settings: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return Click's command decorator for a command of the house: story, groups, exit status."""
    return click.command(cls=Command, **settings)


def group_of(parameter: click.Parameter) -> str:
    """Return the title under which *parameter* is explained."""
    return parameter.group if isinstance(parameter, Option) else OWN_GROUP


def together(title: str, *decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator for a group of options, which keep their order in ``--help`` under *title*."""

    def apply(function: F) -> F:
        before = list(getattr(function, "__click_params__", ()))
        for decorator in reversed(decorators):
            function = decorator(function)
        for parameter in getattr(function, "__click_params__", ()):
            if isinstance(parameter, Option) and parameter not in before:
                parameter.group = title
        return function

    return apply


class _Told(click.Command):
    """What a command and a group of commands have in common: a story, and the exit status table."""

    @property
    def story(self) -> HelpText:
        """What its docstring tells."""
        return read_help_text(self.help or "")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sentence, the examples, and the rest of the story."""
        story = self.story
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(story.sentence)
        if story.examples:
            with formatter.section("Examples"):
                _write_lines(formatter, story.examples)
        for paragraph in story.details:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(paragraph)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit status table."""
        with formatter.section("Exit status"):
            formatter.write_dl([(row.codes, row.meaning) for row in EXIT_STATUSES])


class Command(_Told):
    """A command whose help has the examples first, its options in groups, and the exit status table."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and of options that exclude each other keep the nearest: --parts over a file's part_size."""
        rest = super().parse_args(ctx, args)
        for pair in EXCLUSIVE:
            distance = {name: _distance(ctx, name) for name in pair if ctx.params.get(name) is not None}
            for name in distance:
                if distance[name] > min(distance.values()):
                    ctx.params[name] = None
        return rest

    def groups(self) -> dict[str, list[click.Option]]:
        """Return the options that are shown, by their group, in the order in which they were written."""
        found: dict[str, list[click.Option]] = {}
        for parameter in self.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                found.setdefault(group_of(parameter), []).append(parameter)
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group of options; ``--help`` itself is the last of all."""
        records = {
            title: [record for one in options if (record := one.get_help_record(ctx)) is not None]
            for title, options in self.groups().items()
        }
        own_help = self.get_help_option(ctx)
        record = own_help.get_help_record(ctx) if own_help is not None else None
        if record is not None:
            records.setdefault(list(records)[-1] if records else OWN_GROUP, []).append(record)
        for title, rows in records.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class Commands(_Told, click.Group):
    """The group: its commands in the order in which they are needed, the main five first."""

    command_class = Command
    table: ClassVar[Mapping[str, tuple[str, ...]]] = SECTIONS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, section by section."""
        return [name for _title, names in self.sections() for name in names]

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the sections of the list of commands; what has none of its own comes last."""
        named = [name for names in self.table.values() for name in names]
        others = [name for name in self.commands if name not in named]
        last = list(self.table)[-1]
        for title, names in self.table.items():
            there = [name for name in names if name in self.commands]
            yield title, there + (others if title == last else [])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line a command, section by section."""
        for title, names in self.sections():
            rows = [
                (name, self.commands[name].get_short_help_str(limit=80))
                for name in names
                if not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands before the group's own options: they are what is looked for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)


class Subcommands(Commands):
    """A group inside the group, whose commands need no order."""

    table: ClassVar[Mapping[str, tuple[str, ...]]] = {"Commands": ()}


def _distance(ctx: click.Context, name: str) -> int:
    """Return how far from the command line the value of the parameter *name* comes from."""
    source = ctx.get_parameter_source(name)
    return _NEAREST.index(source) if source in _NEAREST else len(_NEAREST)


def _write_lines(formatter: click.HelpFormatter, lines: tuple[str, ...]) -> None:
    """Write *lines* as they are: a command line that is wrapped cannot be copied."""
    for line in lines:
        formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
