"""``obsup complete``: check the list of parts and assemble the object."""

from __future__ import annotations

from typing import Any

from obsup.cli.arguments import conflicts
from obsup.cli.arguments.command import command
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument


@command("complete")
@source_target_argument
def complete(source_target: SourceTarget, **values: Any) -> int:
    """Check the parts of the upload of TARGET, assemble the object, and print its ETag.

    \b
    obsup complete bigfile bucket/key
    obsup complete bigfile bucket/key --upload-id "$id" --parts 5
    obsup complete bucket/key --upload-id "$id" --parts 5 --expect-size 48000000

    With SOURCE, every stored part is compared with its bytes of SOURCE, whichever machine sent it. Without SOURCE, the
    store's list of parts is used: give --parts, --expect-size or the list of ETags to check it.

    Exits 65, names the parts and changes nothing if a part is missing, differs from SOURCE or has the wrong size, if
    their number is not --parts, if their total size is not that of SOURCE or --expect-size, or if an ETag differs from
    the confirmed one. Exits 1 if the object is complete, but nothing shows that it is SOURCE (encrypted objects whose
    parts other machines sent): give the list of ETags, or leave out SOURCE.

    Completing an upload again succeeds if its object can be identified and passes the same checks.
    """
    source, target = source_target
    if source is None:
        conflicts.leave_out(values, ["checkpoint_dir", "verify_source"], "needs SOURCE")
    from obsup.cli.actions.steps import run_complete
    from obsup.cli.run.requests import options_from

    return run_complete(
        source,
        target,
        options_from(values),
        etags=values["etags"],
        etags_from=values["etags_from"],
        is_acl_given=conflicts.is_given(values, "acl"),
    )
