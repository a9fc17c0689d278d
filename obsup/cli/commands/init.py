"""``obsup init``: begin an upload, and send nothing yet."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import conflicts, options
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command(short_help="Initiate an upload, and print its upload id.")
@source_target_argument
@options.plan_options
@options.checkpoint_options
@options.restart_options
@options.running_options
@options.token_options
@options.retry_options
@options.object_options
@options.encryption_options
@options.connection_options
@options.report_options
def init(place: SourceTarget, **values: Any) -> int:
    """Initiate an upload to TARGET and print its upload id, alone.

    \b
    id=$(obsup init bucket/key)
    obsup init bigfile bucket/key --parts 5

    With SOURCE the checkpoint is written too, so that part, upload and complete need no upload id; an upload that
    was begun before is found again. Without, its parts can be sent from anywhere with --upload-id.
    """
    from obsup.cli.actions.steps import run_init
    from obsup.cli.run.requests import options_from

    source, target = place
    if source is None and (values["parts"] is not None or values["part_size"] is not None):
        raise click.UsageError("--parts and --part-size split a SOURCE; give them to part instead.")
    if source is None:
        conflicts.check_source(values, ["checkpoint", "checkpoint_dir", "restart", "if_running"])
    conflicts.check_together(values)
    return run_init(source, target, options_from(values))
