"""``upload --dry-run``: the plan, without a word to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from obsup.cli.report import output
from obsup.cli.report.fields import failure_fields
from obsup.cli.run.requests import connect_options_from, request_from
from obsup.dialects.object_headers import object_headers
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_settings import resolve_target
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, Plan, make_plan
from obsup.engine.plan.stream_plan import make_stream_sizes
from obsup.errors import ObsupError
from obsup.local.source.file import check_readable, stat_source
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path
from obsup.model import Target
from obsup.text import quoted
from obsup.units import format_size
from obsup.value import Value


class Planned(Value):
    """What an upload would do. Sizes are bytes; ``size``, ``parts`` and ``recorded`` are None for a stream."""

    source: str
    target: Target
    size: int | None
    part_size: int
    parts: int | None
    recorded: int | None = None


def run_dry(source: Path | None, target: str, values: dict[str, Any]) -> int:
    """Print what ``upload`` would do; *source* is None for a stream. Return the exit code."""
    try:
        planned = _plan(source, target, values)
    except ObsupError as exc:
        output.print_message(output.error_lines(exc, resume=None))
        if values["as_json"]:
            output.print_failure(failure_fields(exc, command="upload", resume=None))
        return exc.exit_code
    if values["as_json"]:
        output.print_json(_fields(planned))
    else:
        output.print_result("\n".join(_lines(planned)))
    return 0


def _plan(source: Path | None, target: str, values: dict[str, Any]) -> Planned:
    """Return the plan. Raises ObsupError for what ``upload`` would refuse before it sends anything."""
    named, settings = resolve_target(
        target, connect_options_from(values), file_name=source.name if source is not None else None
    )
    order = request_from(source or Path("-"), named, values)
    object_headers(settings.dialect, order.options, "initiate", key=named.key)
    if source is None:
        sizes = make_stream_sizes(
            settings.dialect.limits, part_size=order.part_size, expected=values["expect_size"]
        )
        return Planned("a stream", named, values["expect_size"], sizes.size_of(1), None)
    stat = stat_source(source)
    check_readable(source)
    plan = make_plan(stat.size, settings.dialect.limits, parts=order.parts, part_size=order.part_size)
    return Planned(quoted(source), named, stat.size, plan.part_size, plan.count, _recorded(order, plan))


def _recorded(order: UploadRequest, plan: Plan) -> int | None:
    """Return how many parts the checkpoint has recorded, None where there is none."""
    if not order.keep_checkpoint or (plan.count == 1 and plan.size <= DEFAULT_PART_SIZE):
        return None
    try:
        found = checkpoints.load(order.checkpoint or checkpoint_path.default_path(order.source, order.target))
    except checkpoints.CheckpointDamaged:
        return None
    return len(found.receipts) if found is not None else None


def _lines(planned: Planned) -> list[str]:
    target = planned.target
    lines = [f"{planned.source} → {target} ({target.provider}, {target.endpoint})"]
    if planned.parts is None:
        lines.append(f"parts of {format_size(planned.part_size)} at first, as many as it takes")
    else:
        size = planned.size or 0
        lines.append(f"{size} bytes in {planned.parts} parts of {planned.part_size} bytes")
    if planned.recorded is not None:
        lines.append(
            f"{planned.recorded} parts are recorded in the checkpoint; the store is asked which it holds"
        )
    return lines


def _fields(planned: Planned) -> dict[str, Any]:
    return {
        "command": "upload",
        "status": "planned",
        "provider": planned.target.provider,
        "bucket": planned.target.bucket,
        "key": planned.target.key,
        "size": planned.size,
        "partSize": planned.part_size,
        "parts": planned.parts,
        "recordedParts": planned.recorded,
    }
