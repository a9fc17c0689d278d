"""The commands: their help, their groups of options, and the resolution of their settings."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import click

from obsup.cli.arguments.command_names import (
    NOT_OFFERED,
    OTHER_NAMES,
    OTHER_OPTIONS,
    SECTIONS,
    SHORT_HELPS,
)
from obsup.errors import ObsupError

F = TypeVar("F", bound=Callable[..., Any])

OWN_GROUP = "Options"


class HelpText(NamedTuple):
    """The docstring of a command: its first sentence, the lines of its examples, and the other paragraphs."""

    sentence: str
    examples: tuple[str, ...]
    details: tuple[str, ...]


def read_help_text(text: str) -> HelpText:
    """Split the help *text* of a command: its first paragraph, a ``\\b`` paragraph of examples, and the rest."""
    paragraphs = [one.strip("\n") for one in inspect.cleandoc(text).split("\f")[0].split("\n\n")]
    sentence = " ".join(paragraphs[0].split())
    examples: tuple[str, ...] = ()
    rest = [one for one in paragraphs[1:] if one.strip()]
    if rest and rest[0].startswith("\b"):
        examples = tuple(line.strip() for line in rest.pop(0).splitlines()[1:])
    return HelpText(sentence, examples, tuple(rest))


def similar_options(name: str, parameters: Iterable[click.Parameter]) -> list[str]:
    """Return the long options that may be meant by *name*.

    That is the option that another tool calls so, or those that begin with *name*, or those that are spelled alike.
    """
    from difflib import get_close_matches

    known = [one for parameter in parameters for one in parameter.opts if one.startswith("--")]
    if OTHER_OPTIONS.get(name) in known:
        return [OTHER_OPTIONS[name]]
    return [one for one in known if one.startswith(name)] or get_close_matches(name, known, cutoff=0.75)


def command(options: str, **settings: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return Click's decorator for a command with the options that the table has for *options*."""
    short_help = SHORT_HELPS[options]
    return click.command(cls=Command, params=options_of(options), short_help=short_help, **settings)


def options_of(command: str) -> list[click.Parameter]:
    """Return the options of *command*, and what applies the configuration file to them if it has a store."""
    # Imported here because --version needs no options.
    from obsup.cli.arguments.options import Option
    from obsup.options.row import STORE
    from obsup.options.table import rows_of

    options: list[click.Parameter] = [Option(row, title) for title, row in rows_of(command)]
    if command in (*STORE, "config-show"):
        options.append(_read_config_option())
    return options


def _read_config_option() -> click.Option:
    """Return a hidden option that Click processes after --profile and --config, and before all others."""
    return click.Option(
        ["--read-config"],
        hidden=True,
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_read_config,
    )


def _read_config(ctx: click.Context, _param: click.Parameter, _value: object) -> None:
    from obsup.cli.arguments.settings import apply_config

    if not ctx.resilient_parsing:
        apply_config(ctx)


def group_of(parameter: click.Parameter) -> str:
    """Return the title of the group of *parameter*."""
    return str(getattr(parameter, "group", OWN_GROUP))


class _Documented(click.Command):
    """The help of commands and groups of commands."""

    _help_option_of_command: click.Option | None = None

    @property
    def help_text(self) -> HelpText:
        """The docstring, split."""
        return read_help_text(self.help or "")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; suggest only related options for one that does not exist."""
        words = list(args)  # the parser removes them
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            similar = similar_options(name, self.params)
            hint = f": {NOT_OFFERED[name]}." if name in NOT_OFFERED else ""
            if OTHER_OPTIONS.get(name) in similar:
                hint = f". Did you mean {similar[0]!r}?"
            elif named := [one for one in words if one.startswith(name) and os.path.exists(one)]:  # noqa: PTH110
                hint = f". For the file, write ./{named[0]}."
            elif isinstance(self, click.Group) and not similar:
                hint = ": the options of a command follow its name."
            if hint:  # NoSuchOption takes only names that are spelled alike
                raise click.UsageError(f"No such option {name!r}{hint}", error.ctx) from None
            raise click.NoSuchOption(name, possibilities=similar, ctx=error.ctx) from None

    def get_help_option_names(self, _ctx: click.Context) -> list[str]:
        """Return the names, in the order that Click before 8.5 does not keep."""
        return ["-h", "--help"]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return always the same option: Click before 8.1.8 makes a new one and then does not process it first."""
        if self._help_option_of_command is None:
            self._help_option_of_command = super().get_help_option(ctx)
        return self._help_option_of_command

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence, the examples, and the rest of the help text."""
        text = self.help_text
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text.sentence)
        if text.examples:
            with formatter.section("Examples"):
                # Not wrapped: a command line that is wrapped cannot be copied.
                for line in text.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        for paragraph in text.details:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(paragraph)


class Command(_Documented):
    """A command whose help shows the examples first and its options in groups."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; of settings that exclude each other, keep the nearest; refuse what would harm the source."""
        try:
            return self._parse(ctx, args)
        except Exception as exc:
            ctx.close()  # Click leaves files open that options have opened
            if isinstance(exc, click.BadParameter) and (error := _setting_error(exc, ctx)):
                raise error from exc
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. An error names the variable or the key that has the wrong value."""
        try:
            return super().invoke(ctx)
        except ObsupError as exc:
            from obsup.cli.arguments.settings import at_its_place

            raise at_its_place(exc) from exc

    def _parse(self, ctx: click.Context, args: list[str]) -> list[str]:
        from obsup.cli.arguments.path_checks import check_order, check_output_files
        from obsup.cli.arguments.settings import keep_nearest

        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            keep_nearest(ctx)
            check_order(ctx)
            check_output_files(ctx)
        return rest

    def groups(self) -> dict[str, list[click.Option]]:
        """Return the visible options by the title of their group, in their order."""
        found: dict[str, list[click.Option]] = {}
        for parameter in self.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                found.setdefault(group_of(parameter), []).append(parameter)
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group of options; ``--help`` itself comes last."""
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


class Commands(_Documented, click.Group):
    """A group of commands, listed by section."""

    command_class = Command
    table: ClassVar[Mapping[str, Mapping[str, str]]] = SECTIONS

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises UsageError, which names the command if another tool calls it so."""
        if args[0] in OTHER_NAMES and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}. (Did you mean {OTHER_NAMES[args[0]]!r}?)")
        if args[0] in NOT_OFFERED and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}: {NOT_OFFERED[args[0]]}.")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, section by section."""
        return [name for _title, names in self.sections() for name in names]

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the sections of the list of commands; commands without a section are in the last one."""
        named = [name for names in self.table.values() for name in names]
        others = [name for name in self.commands if name not in named]
        last = list(self.table)[-1]
        for title, names in self.table.items():
            existing = [name for name in names if name in self.commands]
            yield title, existing + (others if title == last else [])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line per command, section by section."""
        for title, names in self.sections():
            texts = self.table[title]
            rows = [
                (name, texts.get(name) or self.commands[name].get_short_help_str(limit=80)) for name in names
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the group's own options."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write where to read on, in ``obsup --help`` only."""
        if ctx.parent is None:
            formatter.write_paragraph()
            formatter.write_text(
                "'obsup help COMMAND' explains a command, 'obsup help exit-status' the exit codes."
            )


class Subcommands(Commands):
    """A group within the group."""

    table: ClassVar[Mapping[str, Mapping[str, str]]] = {"Commands": {}}


def _setting_error(exc: click.BadParameter, ctx: click.Context) -> ObsupError | None:
    from obsup.cli.arguments.settings import invalid_setting

    return invalid_setting(exc, ctx)
