"""Run ``obsup upload --dry-run`` for many files: print the plan of each file and their sum, send no request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from obsup.cli.actions.batch import batch_request, check_usage
from obsup.cli.actions.dry_run import show_limit, show_lock, without_log
from obsup.cli.report import output
from obsup.cli.report.fields import failure_fields, target_fields
from obsup.cli.run.batch_options import BatchOptions
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, run_command
from obsup.engine.batch.dry_run import PlannedFile, plan_batch
from obsup.exit_status import worst_code
from obsup.model import Target
from obsup.text import quoted, utf8_name
from obsup.units import format_size


def run_dry_batch(sources: Sequence[str], target: str, options: CommandOptions, batch: BatchOptions) -> int:
    """Print what ``upload`` would do with each file; return 0 or the worst exit code of the refused files.

    Raises UsageError.
    """
    check_usage(sources, target, options, batch)

    def work(session: Session) -> int:
        counts: Counter[str] = Counter()
        codes: list[int] = []
        prefix, settings = options.resolve_prefix(target)
        request = batch_request(sources, prefix, options, batch)
        for planned in plan_batch(request, settings, session.display.observe):
            counts[planned.action] += 1
            counts[f"{planned.action} bytes"] += planned.size
            if planned.error is not None:
                codes.append(planned.error.exit_code)
            if not _print_file(planned, prefix, as_json=options.as_json):
                break
        code = worst_code(codes)
        session.fields |= _sum_fields(counts, prefix, code)
        session.print_text(
            f"{counts['send']:,} files to send ({format_size(counts['send bytes'])}), {counts['skip']:,} to skip, "
            f"{counts['refuse']:,} refused"
        )
        show_limit(session)
        show_lock(session)
        return code

    def report(session: Session, code: int) -> int:
        if options.as_json:
            output.print_json(session.fields)
        return code

    return run_command("upload", without_log(options), work, report)


def _print_file(planned: PlannedFile, prefix: Target, *, as_json: bool) -> bool:
    """Print what would be done with one file; return False if its reader is gone."""
    if as_json:
        return output.print_json(_fields(planned, prefix))
    if planned.error is not None:
        output.print_message(f"Refused: {quoted(planned.name)}: {planned.error}")
        return True
    return output.print_result(_line(planned, prefix))


def _line(planned: PlannedFile, prefix: Target) -> str:
    if planned.action == "skip":
        return f"skip {quoted(planned.path)}: {planned.reason}"
    how = "one request" if planned.parts <= 1 else f"{planned.parts} parts of {planned.part_size} bytes"
    why = f", {planned.reason}" if planned.reason else ""
    return f"send {quoted(planned.path)} → {prefix.below(planned.name)}: {planned.size} bytes in {how}{why}"


def _fields(planned: PlannedFile, prefix: Target) -> dict[str, Any]:
    fields: dict[str, Any] = {"source": utf8_name(planned.path), "command": "upload"}
    if planned.error is not None:
        fields |= failure_fields(planned.error, command="upload", resume=None)
    else:
        fields |= {"status": "skipped" if planned.action == "skip" else "planned", "size": planned.size}
        fields |= {"reason": planned.reason} if planned.reason else {}
    if planned.action == "send":
        fields |= {"partSize": planned.part_size, "parts": planned.parts}
    return fields | target_fields(prefix.below(planned.name))


def _sum_fields(counts: Counter[str], prefix: Target, code: int) -> dict[str, Any]:
    return {
        "command": "upload",
        "status": "planned",
        "provider": prefix.provider,
        "bucket": prefix.bucket,
        "files": counts["send"] + counts["skip"] + counts["refuse"],
        "planned": counts["send"],
        "plannedBytes": counts["send bytes"],
        "skipped": counts["skip"],
        "failed": counts["refuse"],
        "exitCode": code,
    }
