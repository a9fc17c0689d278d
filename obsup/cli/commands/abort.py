"""``obsup abort``: give an upload up."""

from __future__ import annotations

from typing import Any

from obsup.cli.arguments import completed_words, conflicts, options
from obsup.cli.arguments.command import command, option
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command(short_help="Give an upload up, with its parts.")
@source_target_argument
@option(
    "--upload-id", metavar="ID", type=completed_words.UPLOAD_ID, help="The upload, where no checkpoint tells."
)
@options.checkpoint_options
@options.running_options
@options.retry_options
@options.connection_options
@options.request_options
@options.report_options
def abort(place: SourceTarget, **values: Any) -> int:
    """Give the upload of TARGET up: its parts are deleted, and so is its checkpoint.

    \b
    obsup abort bigfile bucket/key
    obsup abort bucket/key --upload-id "$id"

    Parts that land late are waited for. To abort again what is aborted is success.
    """
    from obsup.cli.actions.steps import run_abort
    from obsup.cli.run.requests import options_from

    source, target = place
    if source is None:
        conflicts.check_source(values, ["checkpoint_dir"])
    conflicts.check_together(values)
    return run_abort(source, target, options_from(values))
