"""``obsup part``: send one part, or copy it inside the store."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import conflicts
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command("part", short_help="Send one part, and print its ETag.")
@source_target_argument
def part(source_target: SourceTarget, **values: Any) -> int:
    """Send one part of SOURCE to the upload of TARGET, record it, and print its ETag.

    \b
    seq 5 | xargs -P 5 -I {} obsup part bigfile bucket/key --part-number {}
    obsup part bigfile bucket/key --upload-id "$id" --parts 5 --part-number 3
    obsup part bucket/key --upload-id "$id" --part-number 2 --copy-source bucket/old

    Without --upload-id, the checkpoint names the upload and the window of the part. With --upload-id, the window comes
    from --parts or --part-size, as in upload, or from --offset and --part-size. Any number of parts can be sent at the
    same time, from any number of machines.
    """
    source, target = source_target
    if values["copy_source"] is None:
        if source is None:
            raise click.UsageError("Missing argument 'SOURCE', or --copy-source.")
        if values["copy_range"] is not None:
            raise click.UsageError("--copy-range needs --copy-source.")
    else:
        conflicts.check_copy(values)
    from obsup.cli.actions.steps import run_copy, run_part
    from obsup.cli.run.requests import options_from

    command_options = options_from(values)
    number = values["part_number"]
    if source is not None and not values["copy_source"]:
        return run_part(source, target, command_options, part_number=number, offset=values["offset"])
    return run_copy(
        source,
        target,
        command_options,
        part_number=number,
        copy_source=values["copy_source"],
        copy_range=values["copy_range"],
    )
