"""``obsup uploads``: the open uploads of a bucket."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import completed_words, options
from obsup.cli.arguments.command import command, option


@command(short_help="List the open uploads of a bucket.")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=completed_words.PREFIX)
@option(
    "-l",
    "--long",
    is_flag=True,
    help="Also own or foreign, live or not, age in seconds, parts, bytes and checkpoint: a list for each upload.",
)
@options.retry_options
@options.connection_options
@options.request_options
@options.report_options
def uploads(prefix: str, **values: Any) -> int:
    """List the uploads that are open in a bucket: key, upload id and when it was initiated, an upload a line.

    \b
    obsup uploads bucket
    obsup uploads bucket/2026/ --long

    An upload is own where it was begun on this machine, and live while an obsup on this machine works on its key.
    """
    from obsup.cli.actions.listings import run_uploads
    from obsup.cli.run.requests import options_from

    return run_uploads(prefix, options_from(values), long=values["long"])
