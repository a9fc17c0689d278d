"""``obsup config``: create a configuration file, and show the effective settings with their sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from obsup.cli.arguments.command import Command, Subcommands, options_of
from obsup.cli.arguments.command_names import CONFIG_COMMANDS, SHORT_HELPS


@click.group(cls=Subcommands, short_help=SHORT_HELPS["config"])
def config() -> None:
    """Create a configuration file, or show the effective settings.

    \b
    obsup config init
    obsup config show --profile nightly

    The nearest setting wins: option, environment, profile, [defaults], built-in.
    """


@config.command(cls=Command, params=options_of("config-init"), short_help=CONFIG_COMMANDS["init"])
@click.pass_context
def init(ctx: click.Context, /, config_path: Path | None, **values: Any) -> int:
    """Create a configuration file that explains every setting, and print its path.

    \b
    obsup config init
    obsup config init --provider b2 --region us-west-004
    obsup config init --config ./obsup.toml

    With --provider, the file has a profile for that store, named by --profile; on a terminal obsup asks for what is
    missing, and offers to run doctor. A new file has the mode 0600, selects that profile, and has all other settings
    as comments. In an existing file, only the profile is added: use it with --profile.
    """
    from obsup.cli.actions.config import run_init

    # What the environment says need not be written.
    given = {
        name: str(value)
        for name, value in values.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }

    def examine(path: Path, profile: str, bucket: str) -> int:
        doctor = _root(ctx).commands["doctor"]
        words = [bucket, "--config", str(path), "--profile", profile]
        # Its messages name the command line to run.
        sys.argv[1:] = ["doctor", *words]
        with doctor.make_context("doctor", words, parent=ctx.find_root()) as context:
            return int(doctor.invoke(context))

    return run_init(config_path, _upload(ctx), given, examine)


@config.command(cls=Command, params=options_of("config-show"), short_help=CONFIG_COMMANDS["show"])
@click.pass_context
def show(ctx: click.Context, config_path: Path | None, profile: str | None, *, as_json: bool) -> int:
    """Show the settings that upload would use here, and the source of each; secrets are masked.

    \b
    obsup config show
    OBSUP_REGION=eu-de obsup config show --profile nightly

    Each line is a setting, its value and its source, separated by tabs.
    """
    from obsup.cli.actions.config import run_show

    words = []
    if ctx.get_parameter_source("config_path") is ParameterSource.COMMANDLINE:
        words += ["--config", str(config_path)]
    if ctx.get_parameter_source("profile") is ParameterSource.COMMANDLINE:
        words += ["--profile", str(profile)]
    # The upload command itself resolves the settings; SOURCE and TARGET are placeholders.
    return run_show(_upload(ctx).make_context("upload", [*words, "-", "bucket/key"], ctx), as_json=as_json)


def _upload(ctx: click.Context) -> Command:
    """Return the upload command: its options are the keys of the file."""
    upload = _root(ctx).commands["upload"]
    assert isinstance(upload, Command)
    return upload


def _root(ctx: click.Context) -> click.Group:
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    return root
