"""``obsup abort``: discard an upload."""

from __future__ import annotations

from typing import Any

from obsup.cli.arguments import conflicts
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command("abort")
@source_target_argument
def abort(source_target: SourceTarget, **values: Any) -> int:
    """Discard the upload of TARGET: delete its stored parts and its checkpoint.

    \b
    obsup abort bigfile bucket/key
    obsup abort bucket/key --upload-id "$id"

    Waits for parts that are still in flight and deletes them, too. Aborting an aborted upload again succeeds.
    """
    from obsup.cli.actions.steps import run_abort
    from obsup.cli.run.requests import options_from

    source, target = source_target
    if source is None:
        conflicts.leave_out(values, ["checkpoint_dir"], "needs SOURCE")
    return run_abort(source, target, options_from(values))
