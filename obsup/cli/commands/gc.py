"""``obsup gc``: give up the uploads that nobody will end."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import completed_words, options, types
from obsup.cli.arguments.command import command, option


@command(short_help="Abort stale uploads.")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=completed_words.PREFIX)
@option("--older-than", type=types.DURATION, required=True, help="Only what was initiated before: 7d, 12h.")
@option("-n", "--dry-run", is_flag=True, help="Print what would be aborted, and abort nothing.")
@option("--foreign", is_flag=True, help="Also uploads that were not begun on this machine.")
@options.retry_options
@options.connection_options
@options.request_options
@options.report_options
def gc(prefix: str, **values: Any) -> int:
    """Abort the stale uploads of a bucket, and print each that went: key, upload id, initiated.

    \b
    obsup gc bucket --older-than 7d --dry-run
    obsup gc bucket/2026/ --older-than 7d

    Never one that an obsup on this machine works on, and never one that was begun elsewhere, unless --foreign.
    """
    from obsup.cli.actions.gc import run_gc
    from obsup.cli.run.requests import options_from

    return run_gc(
        prefix,
        options_from(values),
        older_than_s=values["older_than"],
        foreign=values["foreign"],
        dry_run=values["dry_run"],
    )
