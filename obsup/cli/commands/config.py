"""``obsup config``: begin a configuration file, and show what is in force and where each value comes from."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments import options
from obsup.cli.arguments.command import Command, Subcommands, option, together
from obsup.cli.arguments.completed_words import PROFILE

_place = option(
    "--config",
    "config_path",
    type=options.FILE,
    help="The configuration file. Default ~/.config/obsup/config.toml.",
)
place_options = together("Connection", _place)
profile_options = together(
    "Connection",
    _place,
    option("--profile", metavar="NAME", type=PROFILE, help="A profile of the configuration file."),
)


@click.group(cls=Subcommands, short_help="Begin a configuration file; show what is in force.")
def config() -> None:
    """Begin a configuration file, or show what is in force.

    \b
    obsup config init
    obsup config show --profile nightly

    Nearest wins: option, environment, profile, [defaults], built-in.
    """


@config.command(cls=Command, short_help="Write a configuration file with every key explained.")
@place_options
@click.pass_context
def init(ctx: click.Context, config_path: Path | None) -> int:
    """Write a configuration file in which every key stands explained, and print its path, alone.

    \b
    obsup config init
    obsup config init --config ./obsup.toml

    Its mode is 0600. A file that is there is left as it is.
    """
    from obsup.cli.actions.config import run_init

    return run_init(config_path, _upload(ctx))


@config.command(cls=Command, short_help="Show every setting and where it comes from.")
@profile_options
@together("Output", options.json_option)
@click.pass_context
def show(ctx: click.Context, config_path: Path | None, profile: str | None, *, as_json: bool) -> int:
    """Show every setting of upload that is in force here, and where each comes from; secrets are masked.

    \b
    obsup config show
    OBSUP_REGION=eu-de obsup config show --profile nightly

    Each line is the setting, its value and its origin, tab-separated.
    """
    from obsup.cli.actions.config import run_show

    return run_show(config_path, profile, _upload(ctx), as_json=as_json)


def _upload(ctx: click.Context) -> Command:
    """Return the upload command: its options are the keys of the file."""
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    upload = root.get_command(ctx, "upload")
    assert isinstance(upload, Command)
    return upload
