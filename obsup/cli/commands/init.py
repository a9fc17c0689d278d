"""``obsup init``: initiate an upload without sending data."""

from __future__ import annotations

from typing import Any

from obsup.cli.arguments import conflicts
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command("init")
@source_target_argument
def init(source_target: SourceTarget, **values: Any) -> int:
    """Initiate an upload to TARGET, and print its upload id.

    \b
    id=$(obsup init bucket/key)
    obsup init bigfile bucket/key --parts 5

    With SOURCE it also writes the checkpoint, so that part, upload and complete need no upload id; an existing upload
    is found again. Without SOURCE the parts can be sent from any machine with --upload-id.
    """
    from obsup.cli.actions.steps import run_init
    from obsup.cli.run.requests import options_from

    source, target = source_target
    if source is None:
        conflicts.leave_out(values, ("parts", "part_size"), "needs SOURCE. Without it, add it to obsup part")
        conflicts.leave_out(values, ["checkpoint", "checkpoint_dir", "restart", "if_running"], "needs SOURCE")
    given = [f"--{name.replace('_', '-')}" for name in values if conflicts.is_given(values, name)]
    return run_init(source, target, options_from(values), given=given)
