"""``obsup uploads``: list the open uploads of a bucket."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import completed_words
from obsup.cli.arguments.command import command


@command("uploads", short_help="List the open uploads of a bucket.")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=completed_words.PREFIX)
def uploads(prefix: str, **values: Any) -> int:
    """List the open uploads of a bucket: key, upload id, and when it was initiated.

    \b
    obsup uploads bucket
    obsup uploads bucket/2026/ --long

    Prints one upload per line, separated by tabs. With --long, an upload is own if this machine initiated it, and live
    while an obsup on this machine is working on its key.
    """
    from obsup.cli.actions.listings import run_uploads
    from obsup.cli.run.requests import options_from

    return run_uploads(prefix, options_from(values), long=values["long"])
