"""``obsup verify``: is the object in the bucket this file?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from obsup.cli.arguments import completed_words, conflicts, options, types
from obsup.cli.arguments.command import command, option, together

plan_options = together(
    "Plan",
    option("--parts", type=int, metavar="N", help="The object was sent in N parts of equal size."),
    option("-ps", "--part-size", type=types.SIZE, help="Or in parts of this size."),
    option(
        "--receipt",
        type=options.FILE,
        help="Compare by the receipt that upload --receipt wrote: the one way for SSE-KMS and SSE-C.",
    ),
)


@command(short_help="Is the object in the bucket this file?")
@click.argument("source", type=options.FILE)
@click.argument("target", type=completed_words.TARGET)
@plan_options
@options.customer_key_options
@options.connection_options
@options.request_options
@options.report_options
def verify(source: Path, target: str, **values: Any) -> int:
    """Tell whether the object TARGET is the file SOURCE, by digests; nothing is downloaded.

    \b
    obsup verify bigfile bucket/key && rm bigfile
    obsup verify db.dump backups/db.dump --receipt db.receipt.json

    Exit 0: it is, and the digest that the store tells proves it. Exit 65: it is not, or there is no object. Exit 1:
    nobody can tell, because the store tells no digest of an encrypted object.

    Without --part-size, --parts or --receipt, the plans that give the object's number of parts are tried, the
    likeliest first. Each file is read once for the first of them.
    """
    from obsup.cli.actions.verify import run_verify
    from obsup.cli.run.requests import options_from

    if values["receipt"] is not None:
        conflicts.leave_out(values, ["parts", "part_size"], "is told by --receipt")
    ctx = click.get_current_context()
    is_plan_given = any(
        ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("parts", "part_size")
    )
    return run_verify(source, target, options_from(values), is_plan_given=is_plan_given)
