"""A comparison seen from the shell: options in, one engine call, and the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from obsup.cli.report import output
from obsup.cli.report.fields import target_fields
from obsup.cli.run.requests import connect_options_from
from obsup.cli.run.session import Session, run_step
from obsup.engine.job.target_settings import resolve_target
from obsup.engine.plan.file_plan import make_plan
from obsup.engine.verify.comparison import Comparison, Identical
from obsup.local.source.file import check_readable, stat_source
from obsup.local.state import receipt_file
from obsup.text import quoted


def run_verify(source: Path, target: str, values: dict[str, Any], *, is_plan_given: bool) -> int:
    """Compare, report, and return the exit code.

    *is_plan_given*: the command line names the plan; what a configuration says of it is a hint.
    """

    def work(session: Session) -> str:
        named, settings = resolve_target(target, connect_options_from(values), file_name=source.name)
        session.fields |= target_fields(named)
        stat = stat_source(source)
        check_readable(source)
        limits = settings.dialect.limits
        plan = make_plan(stat.size, limits, parts=values["parts"], part_size=values["part_size"])
        kept = receipt_file.load(values["receipt"]) if values["receipt"] is not None else None

        def gate(size: int) -> int:
            session.stop.check()
            return size

        store = session.connect(settings).store
        comparison = Comparison(
            named,
            source,
            stat,
            dialect=store.dialect,
            gate=gate,
            encrypted_by_customer=values["sse_c_key_file"] is not None,
        )
        info = store.head_object(named)
        if kept is not None:
            found = comparison.by_receipt(info, kept)
        else:
            found = comparison.by_object(info, plan if is_plan_given else None, hint=plan)
        session.fields |= _fields(found)
        if values["verbose"] or (sys.stderr.isatty() and not values["quiet"]):
            output.print_message(
                f"{named} is {quoted(source)}: {found.info.size} bytes, proved by {found.by}"
            )
        return "identical"

    return run_step("verify", values, work)


def _fields(found: Identical) -> dict[str, Any]:
    """Return the keys of a comparison that found no difference, for ``--json``."""
    info = found.info
    return {
        "etag": info.etag,
        "versionId": info.version_id,
        "size": info.size,
        "partSize": found.part_size,
        "parts": found.parts,
        "verified": found.by,
        "requestId": info.request_id,
    }
