"""``obsup parts``: list the stored parts of an upload."""

from __future__ import annotations

from typing import Any

from obsup.cli.arguments import conflicts
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command("parts")
@source_target_argument
def parts(source_target: SourceTarget, **values: Any) -> int:
    """List the stored parts of the upload of TARGET: number, size, ETag and time.

    \b
    obsup parts bigfile bucket/key
    obsup parts bucket/key --upload-id "$id" | cut -f 1

    Prints one part per line, separated by tabs. If --max-parts-listed leaves parts out, a note has the option that
    continues the list.
    """
    from obsup.cli.actions.listings import run_parts
    from obsup.cli.run.requests import options_from

    source, target = source_target
    if source is None:
        conflicts.leave_out(values, ["checkpoint_dir"], "needs SOURCE")
    after, most = values["part_number_marker"], values["max_parts_listed"]
    return run_parts(source, target, options_from(values), after=after, most=most)
