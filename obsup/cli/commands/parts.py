"""``obsup parts``: what the store holds of an upload."""

from __future__ import annotations

from typing import Any

from obsup.cli.arguments import completed_words, conflicts, options
from obsup.cli.arguments.command import command, option
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command(short_help="List the stored parts of an upload.")
@source_target_argument
@option(
    "--upload-id", metavar="ID", type=completed_words.UPLOAD_ID, help="The upload, where no checkpoint tells."
)
@options.checkpoint_options
@options.retry_options
@options.connection_options
@options.request_options
@options.report_options
def parts(place: SourceTarget, **values: Any) -> int:
    """List what the store holds of the upload of TARGET: number, size, ETag and time, tab-separated, a part a line.

    \b
    obsup parts bigfile bucket/key
    obsup parts bucket/key --upload-id "$id" | cut -f 1
    """
    from obsup.cli.actions.listings import run_parts
    from obsup.cli.run.requests import options_from

    source, target = place
    if source is None:
        conflicts.check_source(values, ["checkpoint_dir"])
    conflicts.check_together(values)
    return run_parts(source, target, options_from(values))
