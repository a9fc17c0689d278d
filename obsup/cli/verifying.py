"""A comparison seen from the shell: options in, one engine call, and the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from obsup.cli import report
from obsup.cli.display import open_display
from obsup.cli.signals import stopping_on_signals
from obsup.cli.transfer import connecting_from
from obsup.engine.connect import connect
from obsup.engine.plan import make_plan
from obsup.engine.settings import settle_target
from obsup.engine.stop import StopSignal
from obsup.engine.verify import Comparison, Identical
from obsup.errors import ObsupError
from obsup.local import receipt_file
from obsup.local.source import check_readable, quoted, stat_source
from obsup.model import Target


def run_verify(source: Path, target: str, values: dict[str, Any], *, is_plan_given: bool) -> int:
    """Compare, report, and return the exit code.

    *is_plan_given*: the command line names the plan; what a configuration says of it is a hint.
    """
    resume = report.resume_command(sys.argv[1:])
    stop = StopSignal()

    def gate(size: int) -> int:
        stop.check()
        return size

    try:
        named, settings = settle_target(target, connecting_from(values), file_name=source.name)
        stat = stat_source(source)
        check_readable(source)
        kept = receipt_file.load(values["receipt"]) if values["receipt"] is not None else None
        parts, part_size = values["parts"], values["part_size"]
        plan = make_plan(stat.size, settings.dialect.limits, parts=parts, part_size=part_size)
        with open_display(values | {"progress": "none"}, source.name) as display, stopping_on_signals(stop):
            connection = connect(settings, observe=display.observe, sleep=stop.sleep)
            comparison = Comparison(
                named,
                source,
                stat,
                dialect=connection.store.dialect,
                gate=gate,
                encrypted_by_customer=values["sse_c_key_file"] is not None,
            )
            info = connection.store.head_object(named)
            if kept is not None:
                found = comparison.by_receipt(info, kept)
            else:
                found = comparison.by_object(info, plan if is_plan_given else None, hint=plan)
    except ObsupError as exc:
        return report.tell_failure(exc, values, command="verify", resume=resume)
    if values["as_json"]:
        report.answer_json(identical_fields(named, found))
    elif values["verbose"] or (sys.stderr.isatty() and not values["quiet"]):
        report.say(f"{named} is {quoted(source)}: {found.info.size} bytes, proved by {found.by}")
    return 0


def identical_fields(target: Target, found: Identical) -> dict[str, Any]:
    """Return the keys of a comparison that found no difference, for ``--json``."""
    info = found.info
    return {
        "command": "verify",
        "status": "identical",
        "provider": target.provider,
        "bucket": target.bucket,
        "key": target.key,
        "etag": info.etag,
        "versionId": info.version_id,
        "size": info.size,
        "partSize": found.part_size,
        "parts": found.parts,
        "verified": found.by,
        "requestId": info.request_id,
    }
