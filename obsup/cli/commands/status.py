"""``obsup status``: what this machine knows of the uploads of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from obsup.cli.arguments import completed_words, options
from obsup.cli.arguments.command import command


@command(short_help="What the checkpoint knows; asks no server.")
@click.argument("source", type=options.FILE)
@click.argument("target", required=False, type=completed_words.TARGET)
@options.checkpoint_options
@options.report_options
def status(source: Path, target: str | None, **values: Any) -> int:
    """Show how far the uploads of SOURCE are, by their checkpoints; no server is asked.

    \b
    obsup status bigfile
    obsup status bigfile bucket/key --json

    Of a file that no upload is under way of nothing is printed.
    """
    from obsup.cli.actions.listings import run_status
    from obsup.cli.run.requests import options_from

    return run_status(source, target, options_from(values))
