"""``obsup abort``: give an upload up."""

from __future__ import annotations

from typing import Any

from obsup.cli import fitting, options, places
from obsup.cli.help import command, option
from obsup.cli.place import Place, place_argument


@command(short_help="Give an upload up, with its parts.")
@place_argument
@option("--upload-id", metavar="ID", type=places.UPLOAD_ID, help="The upload, where no checkpoint tells.")
@options.checkpoint_options
@options.running_options
@options.retry_options
@options.connection_options
@options.request_options
@options.report_options
def abort(place: Place, **values: Any) -> int:
    """Give the upload of TARGET up: its parts are deleted, and so is its checkpoint.

    \b
    obsup abort bigfile bucket/key
    obsup abort bucket/key --upload-id "$id"

    Parts that land late are waited for. To abort again what is aborted is success.
    """
    from obsup.cli.steps import run_abort

    source, target = place
    if source is None:
        fitting.check_source(values, ["checkpoint_dir"])
    fitting.check_together(values)
    return run_abort(source, target, values)
