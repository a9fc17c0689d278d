"""Run ``obsup upload --dry-run`` for one source: print the plan, send no request."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from obsup.cli.arguments.source_target import check_no_folder
from obsup.cli.report.fields import target_fields
from obsup.cli.run.requests import NO_SOURCE, CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.dialects.objects.header_values import end_of_retention
from obsup.engine.job.job_limit import memory_size
from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.file_plan import make_plan, recorded_plan
from obsup.engine.plan.stream_plan import make_stream_sizes
from obsup.engine.stream.memory import check_memory
from obsup.local.source.identity import check_readable, stat_source
from obsup.local.source.rate_limit import local_minute
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import ObjectLock, Target
from obsup.text import quoted
from obsup.units import counted, format_size
from obsup.value import Value


class PlannedUpload(Value):
    """What an upload would do. Sizes are bytes; ``size``, ``parts`` and ``recorded`` may be None for a stream."""

    source: str
    target: Target
    size: int | None
    part_size: int
    parts: int | None
    recorded: int | None = None


def run_dry(source: Path | None, target: str, options: CommandOptions) -> int:
    """Print what ``upload`` would do and return the exit code. *source* is None for a stream."""

    def work(session: Session) -> str:
        planned = _plan(source, target, options)
        session.fields |= _fields(planned)
        for line in _lines(planned):
            session.print_text(line)
        show_limit(session)
        show_lock(session)
        return "planned"

    return run_step("upload", without_log(options), work)


def show_limit(session: Session) -> None:
    """Print the bandwidth limit, if there is one: --limit-rate, and how much that is now."""
    rate = session.options.limits.rate
    if rate is None:
        return
    now = rate.at(local_minute())
    effective = "no limit" if now is None else f"{format_size(now)}/s"
    session.fields["limitRate"] = str(rate)
    session.print_text(f"bandwidth limit {rate} (now {effective})")


def show_lock(session: Session) -> None:
    """Print the lock of the objects, if the options ask for one."""
    options = session.options.request.options
    until = end_of_retention(options.retain_until, time.time()) if options.retain_until else None
    lock = ObjectLock(options.retention, until, options.legal_hold)
    if lock == ObjectLock():
        return
    session.fields["lock"] = to_builtins(lock)
    retention = [f"{lock.retention} until {lock.retain_until}"] if lock.retention else []
    session.print_text(f"locked: {', '.join([*retention, *(['legal hold'] if lock.legal_hold else [])])}")


def without_log(options: CommandOptions) -> CommandOptions:
    """Return *options* for a run that writes no file and shows no progress."""
    return replace(options, display=replace(options.display, progress="none", log_file=None))


def _plan(source: Path | None, target: str, options: CommandOptions) -> PlannedUpload:
    """Return the plan. Raises ObsupError for what ``upload`` would reject before it sends anything."""
    if source is not None:
        check_no_folder(source, target)
    file_name = source.name if source is not None else None
    resolved, settings = options.resolve_target(target, file_name=file_name)
    request = options.request_for(source or NO_SOURCE, resolved)
    request.object_headers(settings.dialect, "initiate", key=resolved.key, since_s=time.time())
    limits = settings.dialect.limits
    if source is None:
        expected = request.expect.size
        sizes = make_stream_sizes(limits, part_size=request.part_size, expected=expected)
        check_memory(request, limits, sizes, memory_size())
        return PlannedUpload("a stream", resolved, expected, sizes.size_of(1), None)
    stat = stat_source(source)
    check_readable(source)
    plan = make_plan(stat.size, limits, parts=request.parts, part_size=request.part_size)
    checkpoint = _recorded(request)
    recorded = len(checkpoint.receipts) if checkpoint is not None else None
    if checkpoint is not None and checkpoint.stat.size == stat.size and not request.must_keep_split:
        plan = recorded_plan(checkpoint)
    return PlannedUpload(quoted(source), resolved, stat.size, plan.part_size, plan.count, recorded)


def _recorded(request: UploadRequest) -> Checkpoint | None:
    """Return the checkpoint that the upload would resume from, None without a usable one."""
    if not request.keep_checkpoint or request.restart:
        return None
    path = request.checkpoint or checkpoint_path.default_path(request.source, request.target)
    try:
        return checkpoints.load(path)
    except checkpoints.NotCheckpoint:
        raise
    except checkpoints.CheckpointDamaged:
        return None


def _lines(planned: PlannedUpload) -> list[str]:
    target = planned.target
    lines = [f"{planned.source} → {target} ({target.provider}, {target.endpoint})"]
    if planned.parts is None:
        lines.append(f"parts of {format_size(planned.part_size)} at first, as many as needed")
    else:
        lines.append(
            f"{counted(planned.size or 0, 'byte')} in {counted(planned.parts, 'part')} of {planned.part_size} bytes"
        )
    if planned.recorded is not None:
        lines.append(
            f"recorded in the checkpoint: {counted(planned.recorded, 'part')}; the upload asks the store which it has"
        )
    return lines


def _fields(planned: PlannedUpload) -> dict[str, Any]:
    return {
        **target_fields(planned.target),
        "size": planned.size,
        "partSize": planned.part_size,
        "parts": planned.parts,
        "recordedParts": planned.recorded,
    }
