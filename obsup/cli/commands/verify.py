"""``obsup verify``: check that objects match local files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from obsup.cli.arguments import conflicts, types
from obsup.cli.arguments.command import command


@command("verify")
@click.argument("sources", nargs=-1, metavar="SOURCE…", type=types.SOURCES)
@click.argument("target", type=types.TARGET)
def verify(sources: tuple[str, ...], target: str, **values: Any) -> int:
    """Check that the object TARGET matches the file SOURCE by comparing digests, without downloading it unless asked.

    \b
    obsup verify bigfile bucket/key && rm bigfile
    obsup verify db.dump backups/db.dump --receipt db.receipt.json
    obsup verify secret.iso bucket/secret.iso --download
    obsup verify -r photos bucket/2026/
    obsup verify -r photos bucket/2026/ --shard 1/4

    Exits 0 if they match, 65 if they differ or the object does not exist, and 1 if the store returns no digest to
    compare with, as for encrypted objects. With --download, it reads such an object and compares every byte.

    Without --part-size, --parts or --receipt, it tries the likely part sizes that result in the number of parts of the
    object. The file is read once.

    With -r, --from-list or several SOURCEs, it compares each file with the object that upload would make of it: one
    request per file. Objects without a file do not matter. A file that differs does not stop the others; --failed-list
    collects their names for upload --from-list. All shards together cover all files.
    """
    from obsup.cli.run.batch_options import batch_options_from
    from obsup.cli.run.requests import options_from

    if len(sources) > 1 or values["recursive"] or values["from_list"]:
        from obsup.cli.actions.batch import run_batch

        conflicts.check_many(values)
        return run_batch(sources, target, options_from(values), batch_options_from(values), command="verify")
    if not sources:
        raise click.UsageError("Missing argument 'SOURCE' or 'TARGET'.")
    from obsup.cli.actions.verify import run_verify

    conflicts.leave_out_many(values)
    if values["receipt"] is not None:
        conflicts.leave_out(values, ["parts", "part_size"], "is recorded in --receipt")
    ctx = click.get_current_context()
    is_plan_given = any(
        ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("parts", "part_size")
    )
    return run_verify(Path(sources[0]), target, options_from(values), is_plan_given=is_plan_given)
