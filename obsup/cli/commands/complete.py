"""``obsup complete``: prove the list of parts whole, and assemble it."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import completed_words, conflicts, options, types
from obsup.cli.arguments.command import command, option, together
from obsup.cli.arguments.source_target import SourceTarget, source_target_argument

guard_options = together(
    "Guard",
    option(
        "--upload-id",
        metavar="ID",
        type=completed_words.UPLOAD_ID,
        help="The upload, where no checkpoint tells.",
    ),
    option("--parts", type=click.IntRange(1), metavar="N", help="Refuse any other number of parts."),
    option("--expect-size", type=types.SIZE, help="Refuse any other size of the whole."),
    option(
        "--etag",
        "etags",
        type=types.PART_ETAG,
        multiple=True,
        help="Part N has this ETag, and no part is there that is not named; repeatable.",
    ),
    option(
        "--etags-from",
        type=click.File("r"),
        metavar="FILE",
        help="The same from a file: N and ETag on each line, or what obsup parts prints; - is standard input.",
    ),
    option("--verify-source", is_flag=True, help="Compare every stored part with SOURCE."),
    option("--acl", metavar="NAME", help="Canned ACL, where the provider (OSS) sets it here."),
    option("--no-overwrite", is_flag=True, help="Never replace an object."),
)


@command(short_help="Prove the parts whole, assemble them, and print the object's ETag.")
@source_target_argument
@guard_options
@options.checkpoint_options
@options.running_options
@options.retry_options
@options.customer_key_options
@options.connection_options
@options.request_options
@options.report_options
def complete(place: SourceTarget, **values: Any) -> int:
    """Assemble the parts of the upload of TARGET, once they are proved whole, and print the object's ETag, alone.

    \b
    obsup complete bigfile bucket/key
    obsup complete bucket/key --upload-id "$id" --parts 5 --expect-size 48000000

    The ETags come from the store's list. A gap, a part of the wrong size, another number of parts than --parts, a
    sum other than that of SOURCE or --expect-size, or an ETag that is not the one that was confirmed: exit 65, the
    parts are named, and the upload stays as it is.

    To complete again what is completed is success, where the object shows that it is this upload's.
    """
    source, target = place
    if source is None:
        conflicts.check_source(values, ["checkpoint_dir", "verify_source"])
    conflicts.check_together(values)
    from obsup.cli.actions.steps import run_complete
    from obsup.cli.run.requests import options_from

    return run_complete(
        source, target, options_from(values), etags=values["etags"], etags_from=values["etags_from"]
    )
