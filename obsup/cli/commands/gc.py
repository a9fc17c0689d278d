"""``obsup gc``: abort stale uploads."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import types
from obsup.cli.arguments.command import command


@command("gc")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=types.PREFIX)
def gc(prefix: str, **values: Any) -> int:
    """Abort the stale uploads of a bucket, and print each: key, upload id, and when it was initiated.

    \b
    obsup gc bucket --older-than 7d --dry-run
    obsup gc bucket/2026/ --older-than 7d

    Never aborts an upload that an obsup on this machine is running, nor one that made the object in place and is still
    listed, nor, without --foreign, one that another machine initiated.
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
