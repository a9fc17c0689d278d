"""``obsup uploads``: list the open uploads of a bucket."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import types
from obsup.cli.arguments.command import command


@command("uploads")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=types.PREFIX)
def uploads(prefix: str, **values: Any) -> int:
    """List the open uploads of a bucket: key, upload id, and when it was initiated.

    \b
    obsup uploads bucket
    obsup uploads bucket/2026/ --long
    obsup uploads bucket --delimiter / --max-uploads 100

    Prints one upload per line, separated by tabs. With --long, an upload is own if this machine initiated it, and live
    while an obsup on this machine is working on its key. A line with only a key that ends in --delimiter stands for
    all uploads whose keys begin with it. If --max-uploads leaves uploads out, a note has the options that continue the
    list.
    """
    if values["upload_id_marker"] and not values["key_marker"]:
        raise click.UsageError("--upload-id-marker needs --key-marker.")
    from obsup.cli.actions.listings import run_uploads
    from obsup.cli.run.requests import options_from
    from obsup.model import ListWindow

    window = ListWindow(
        values["delimiter"] or "",
        values["key_marker"] or "",
        values["upload_id_marker"] or "",
        values["max_uploads"],
    )
    return run_uploads(prefix, options_from(values), window, long=values["long"])
