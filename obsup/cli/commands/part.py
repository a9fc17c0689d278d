"""``obsup part``: send one part, or copy it inside the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from obsup.cli.arguments import conflicts
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, is_piped, source_target_argument


@command("part")
@source_target_argument
def part(source_target: SourceTarget, **values: Any) -> int:
    """Send one part of SOURCE to the upload of TARGET, record it, and print its ETag.

    \b
    seq 5 | xargs -P 5 -I {} obsup part bigfile bucket/key --part-number {}
    obsup part bigfile bucket/key --upload-id "$id" --parts 5 --part-number 3
    obsup part bucket/key --upload-id "$id" --part-number 2 --copy-source bucket/old
    producer | obsup part - bucket/key --upload-id "$id" --part-number 1

    Without --upload-id, the checkpoint names the upload and the window of the part. With --upload-id, the window comes
    from --parts or --part-size, as in upload, or from --offset, with --part-size or to the end of SOURCE. Any number of
    different parts can be sent at the same time, from any number of machines.

    If SOURCE is -, the part is the next --part-size bytes of standard input, or all of it; it is held in memory.

    --copy-source copies every part from the version of the object from which this machine copied the first one. Exits
    65 and changes nothing if the object has changed since.
    """
    source, target = source_target
    _check(source, values)
    from obsup.cli.actions.steps import run_copy, run_part
    from obsup.cli.run.requests import options_from

    command_options, number = options_from(values), values["part_number"]
    if source is not None and not values["copy_source"]:
        return run_part(
            source, target, command_options, part_number=number, offset=values["offset"], md5=values["md5"]
        )
    return run_copy(
        source,
        target,
        command_options,
        part_number=number,
        copy_source=values["copy_source"],
        copy_range=values["copy_range"],
    )


def _check(source: Path | None, values: dict[str, Any]) -> None:
    """Raise UsageError for options that do not apply to this kind of part."""
    if values["copy_source"] is not None:
        names = ["parts", "part_size", "offset", "md5", "content_md5", "digest", "limit_rate"]
        conflicts.leave_out(values, names, "has no effect on --copy-source: nothing is sent from here")
        return
    if source is None:
        raise click.UsageError("Missing argument 'SOURCE', or --copy-source.")
    conflicts.leave_out(values, ("copy_range", "copy_source_sse_c_key_file"), "needs --copy-source")
    if is_piped(source) or values["offset"] is not None:
        conflicts.reset_defaults(values, ("parts", "part_size"))  # a default would cut off the part
    if is_piped(source):
        conflicts.leave_out(
            values, ("parts", "offset"), "applies to a file; standard input is read from where it is"
        )
        names = ["checkpoint", "checkpoint_dir"]
        conflicts.leave_out(values, names, "applies to a file; name the upload with --upload-id")
        if values["upload_id"] is None:
            raise click.UsageError("A part from standard input needs --upload-id.")
