"""``obsup part``: send one part, or copy it inside the store."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import completed_words, conflicts, options, types
from obsup.cli.arguments.command import command, option, together
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument

part_options = together(
    "Part",
    option("--part-number", type=int, required=True, metavar="N", help="Which part: from 1."),
    option(
        "--upload-id",
        metavar="ID",
        type=completed_words.UPLOAD_ID,
        help="The upload, where no checkpoint tells.",
    ),
    option("--offset", type=types.SIZE, help="Where the part begins, with --part-size as its length."),
    option("--copy-source", metavar="BUCKET/KEY", help="Copy the part from this object in the store."),
    option(
        "--copy-range",
        type=types.RANGE,
        help="Of --copy-source, its first and last byte: 0-1048575.",
    ),
)


@command(short_help="Send one part, and print its ETag.")
@source_target_argument
@part_options
@options.plan_options
@options.checkpoint_options
@options.running_options
@options.sending_options
@options.customer_key_options
@options.connection_options
@options.request_options
@options.progress_option
@options.report_options
def part(place: SourceTarget, **values: Any) -> int:
    """Send one part of SOURCE to the upload of TARGET, record it, and print its ETag, alone.

    \b
    seq 5 | xargs -P 5 -I {} obsup part bigfile bucket/key --part-number {}
    obsup part bigfile bucket/key --upload-id "$id" --parts 5 --part-number 3
    obsup part bucket/key --upload-id "$id" --part-number 2 --copy-source bucket/old

    The upload is that of the checkpoint, or of --upload-id: then the part is the window that --parts or
    --part-size make of SOURCE, as upload would, or --offset with --part-size. Many parts may be sent at once, from
    as many machines as there are.
    """
    source, target = place
    if values["copy_source"] is None:
        if source is None:
            raise click.UsageError("Missing argument 'SOURCE', or --copy-source.")
        if values["copy_range"] is not None:
            raise click.UsageError("--copy-range needs --copy-source.")
    else:
        conflicts.check_copy(values)
    conflicts.check_together(values)
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
