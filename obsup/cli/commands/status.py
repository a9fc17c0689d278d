"""``obsup status``: show the local progress of uploads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from obsup.cli.arguments import types
from obsup.cli.arguments.command import command


@command("status")
@click.argument("source", type=types.FILE)
@click.argument("target", required=False, type=types.TARGET)
def status(source: Path, target: str | None, **values: Any) -> int:
    """Show the progress of the uploads of SOURCE as recorded in their checkpoints, without network access.

    \b
    obsup status bigfile
    obsup status bigfile bucket/key --json
    obsup status photos bucket/2026/

    Prints nothing if no upload of SOURCE is in progress. Exits 66 if SOURCE does not exist, after printing its
    records.

    For a directory that upload -r sends, it shows how many files the journals of this machine record as verified, for
    each TARGET and each shard. For a journal that --checkpoint names, it may be unknown whether an upload is running:
    its name does not contain the shard.
    """
    from obsup.cli.actions.listings import run_status
    from obsup.cli.run.requests import options_from

    return run_status(source, target, options_from(values))
