"""JSON fields of results, targets and failures."""

from __future__ import annotations

from typing import Any

from obsup.engine.job.result import Result
from obsup.errors import ObsupError
from obsup.model import Target
from obsup.text import shell_line
from obsup.units import format_duration, format_size


def summary(result: Result) -> str:
    """Return what came of a transfer in one line: bytes, time, mean rate, what was skipped, what proved it."""
    rate = result.sent_bytes / result.seconds if result.seconds else 0.0
    skipped = result.parts - result.sent_parts
    were_there = f", {skipped} of {result.parts} parts were there already" if skipped else ""
    return (
        f"{result.target}: {format_size(result.size)} in {format_duration(result.seconds)} "
        f"({format_size(rate)}/s){were_there}; verified by {result.verified}"
    )


def failure_fields(error: ObsupError, *, command: str, resume: list[str] | None) -> dict[str, Any]:
    """Return the documented keys of a failure for ``--json``."""
    kept = error.retryable or error.exit_code in (75, 77, 130, 143)
    return {
        "command": command,
        "status": "incomplete" if kept else "failed",
        "exitCode": error.exit_code,
        "reason": error.reason,
        "message": str(error),
        "retryable": error.retryable,
        "resumeCommand": shell_line(resume) if resume else None,
    }


def target_fields(target: Target) -> dict[str, Any]:
    """Return the documented keys of a target."""
    return {"provider": target.provider, "bucket": target.bucket, "key": target.key}


def result_fields(result: Result) -> dict[str, Any]:
    """Return the documented keys of a finished upload for ``--json``."""
    return {
        "command": "upload",
        "status": "completed",
        "provider": result.target.provider,
        "bucket": result.target.bucket,
        "key": result.target.key,
        "uploadId": result.upload_id,
        "etag": result.etag,
        "versionId": result.version_id,
        "location": result.location,
        "size": result.size,
        "partSize": result.part_size,
        "parts": result.parts,
        "sentParts": result.sent_parts,
        "sentBytes": result.sent_bytes,
        "seconds": round(result.seconds, 3),
        "verified": result.verified,
        "requestId": result.request_id,
    }
