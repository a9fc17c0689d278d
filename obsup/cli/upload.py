"""``obsup upload``: from options to one engine call, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from obsup.cli import options
from obsup.cli.help import command


@command(short_help="Upload a file, or go on with an upload.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target")
@options.plan_options
@options.transfer_options
@options.resume_options
@options.object_options
@options.encryption_options
@options.connection_options
@options.output_options
def upload(source: Path, target: str, **values: Any) -> int:
    """Upload SOURCE to TARGET (BUCKET/KEY), whole and proved, or go on where an earlier run was cut off.

    \b
    obsup upload bigfile bucket/key --parts 5
    obsup upload db.dump obs://backups/2026/ --part-size 64M -j 8

    The same command run again sends only what is missing.
    """
    from obsup.cli.transfer import run_upload

    return run_upload(source, target, values)
