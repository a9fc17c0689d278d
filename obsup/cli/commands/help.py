"""``obsup help``: print the help of obsup or of a command, or the exit status table."""

from __future__ import annotations

import click

from obsup.cli.arguments.command import command
from obsup.cli.arguments.command_names import EXIT_STATUS
from obsup.exit_status import EXIT_STATUSES


@command("help")
@click.argument("topic", nargs=-1, metavar=f"[COMMAND | {EXIT_STATUS}]")
@click.pass_context
def help(ctx: click.Context, topic: tuple[str, ...]) -> None:  # noqa: A001 - the name of the command
    """Print the help of obsup, of COMMAND, or the exit status table.

    \b
    obsup help
    obsup help upload
    obsup help config show
    obsup help exit-status
    """
    from obsup.cli.report.output import print_result

    print_result(_exit_status(ctx) if topic == (EXIT_STATUS,) else _help_of(ctx.find_root(), topic))


def _exit_status(ctx: click.Context) -> str:
    """Return the exit status table: code, meaning, and what a cron job should do."""
    formatter = ctx.make_formatter()
    formatter.write_dl([(row.codes, f"{row.meaning}. To do: {row.action}.") for row in EXIT_STATUSES])
    return formatter.getvalue().rstrip("\n")


def _help_of(ctx: click.Context, names: tuple[str, ...]) -> str:
    """Return the help of the command *names*, without names that of *ctx*. Raises click.UsageError."""
    if not names:
        return ctx.command.get_help(ctx)
    if not isinstance(ctx.command, click.Group):
        raise click.UsageError(f"'{ctx.command_path}' has no commands.", ctx)
    name, found, _ = ctx.command.resolve_command(ctx, [names[0]])
    assert found is not None
    return _help_of(click.Context(found, ctx, info_name=name, **found.context_settings), names[1:])
