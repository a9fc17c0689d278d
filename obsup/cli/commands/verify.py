"""``obsup verify``: check that an object matches a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from obsup.cli.arguments import completed_words, conflicts, types
from obsup.cli.arguments.command import command


@command("verify", short_help="Check that an object matches a local file, without downloading it.")
@click.argument("source", type=types.FILE)
@click.argument("target", type=completed_words.TARGET)
def verify(source: Path, target: str, **values: Any) -> int:
    """Check that the object TARGET matches the file SOURCE by comparing digests, without downloading it.

    \b
    obsup verify bigfile bucket/key && rm bigfile
    obsup verify db.dump backups/db.dump --receipt db.receipt.json

    Exits 0 if they match, 65 if they differ or the object does not exist, and 1 if the store returns no digest to
    compare with, as for encrypted objects.

    Without --part-size, --parts or --receipt, it tries the likely part sizes that result in the number of parts of the
    object. The file is read once.
    """
    from obsup.cli.actions.verify import run_verify
    from obsup.cli.run.requests import options_from

    if values["receipt"] is not None:
        conflicts.leave_out(values, ["parts", "part_size"], "is recorded in --receipt")
    ctx = click.get_current_context()
    is_plan_given = any(
        ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("parts", "part_size")
    )
    return run_verify(source, target, options_from(values), is_plan_given=is_plan_given)
