"""``upload --dry-run`` of many files: a line or an object for each, and their sum; not one request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from obsup import events
from obsup.cli.actions.batch import check_usage, order_of
from obsup.cli.report import output
from obsup.cli.report.fields import failure_fields
from obsup.cli.run.requests import connect_options_from
from obsup.engine.batch.dry_run import PlannedFile, plan_batch
from obsup.engine.job.target_settings import resolve_prefix
from obsup.errors import ObsupError
from obsup.exit_status import worst_code
from obsup.model import Target
from obsup.text import quoted
from obsup.units import format_size


def run_dry_batch(sources: Sequence[str], target: str, values: dict[str, Any]) -> int:
    """Print what ``upload`` would do with each file; return 0, or the gravest code of those that it would refuse.

    Raises UsageError.
    """
    check_usage(sources, target, values)
    counts: Counter[str] = Counter()
    codes: list[int] = []
    try:
        place, settings = resolve_prefix(target, connect_options_from(values))
        for planned in plan_batch(order_of(sources, place, values), settings.dialect, _say_notes):
            counts[planned.what] += 1
            counts[f"{planned.what} bytes"] += planned.size
            if planned.error is not None:
                codes.append(planned.error.exit_code)
            _tell(planned, place, values)
    except ObsupError as exc:
        output.print_message(output.error_lines(exc, resume=None))
        if values["as_json"]:
            output.print_failure(failure_fields(exc, command="upload", resume=None))
        return exc.exit_code
    code = worst_code(codes)
    if values["as_json"]:
        output.print_json(_sum(counts, place, code))
    else:
        output.print_result(
            f"{counts['send']:,} files to send ({format_size(counts['send bytes'])}), {counts['skip']:,} to skip, "
            f"{counts['refuse']:,} refused"
        )
    return code


def _say_notes(event: events.Event) -> None:
    if isinstance(event, events.Noted):
        output.print_message(f"Note:  {event.text}.")


def _tell(planned: PlannedFile, place: Target, values: dict[str, Any]) -> None:
    if planned.error is not None and not values["as_json"]:
        output.print_message(f"Refused: {quoted(planned.name)}: {planned.error}")
    elif values["as_json"]:
        output.print_json(_fields(planned, place))
    else:
        output.print_result(_line(planned, place))


def _line(planned: PlannedFile, place: Target) -> str:
    key = quoted(f"{place.bucket}/{place.key}{planned.name}")
    if planned.what == "skip":
        return f"skip {quoted(planned.path)}: {planned.why}"
    how = "one request" if planned.parts <= 1 else f"{planned.parts} parts of {planned.part_size} bytes"
    unless = f", {planned.why}" if planned.why else ""
    return f"send {quoted(planned.path)} → {key}: {planned.size} bytes in {how}{unless}"


def _fields(planned: PlannedFile, place: Target) -> dict[str, Any]:
    fields: dict[str, Any] = {"source": planned.path, "command": "upload"}
    if planned.error is not None:
        fields |= failure_fields(planned.error, command="upload", resume=None)
    else:
        fields |= {"status": "skipped" if planned.what == "skip" else "planned", "size": planned.size}
        fields |= {"reason": planned.why} if planned.why else {}
    if planned.what == "send":
        fields |= {"partSize": planned.part_size, "parts": planned.parts}
    where = {"provider": place.provider, "bucket": place.bucket, "key": place.key + planned.name}
    return fields | where


def _sum(counts: Counter[str], place: Target, code: int) -> dict[str, Any]:
    return {
        "command": "upload",
        "status": "planned",
        "provider": place.provider,
        "bucket": place.bucket,
        "files": counts["send"] + counts["skip"] + counts["refuse"],
        "planned": counts["send"],
        "plannedBytes": counts["send bytes"],
        "skipped": counts["skip"],
        "failed": counts["refuse"],
        "exitCode": code,
    }
