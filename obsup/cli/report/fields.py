"""The JSON fields of results, targets and failures, and the summary line of an upload."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from obsup.cli.report.next_command import ResumeCommand, shown_command
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Result
from obsup.errors import ObsupError, Refusal
from obsup.model import Stored, Target
from obsup.units import counted, format_duration, format_size

# Exit codes of failures that keep the progress.
KEPT_CODES = frozenset({75, 77, 129, 130, 143})


def summary(result: Result) -> str:
    """Return one line about a finished upload: bytes, time, mean rate, resumed parts, how it was verified."""
    rate = result.sent_bytes / result.seconds if result.seconds else 0.0
    # Negative if parts were sent twice: changed ones, or all of them because the bucket requires larger parts.
    resumed = result.parts - result.sent_parts
    reused = (
        f", {resumed} of {counted(result.parts, 'part')} {'was' if resumed == 1 else 'were'} already stored"
        if resumed > 0
        else ""
    )
    return (
        f"{result.target}: {format_size(result.size)} in {format_duration(result.seconds)} "
        f"({format_size(rate)}/s){reused}; verified by {result.verified}"
    )


def failure_fields(error: ObsupError, *, command: str, resume: ResumeCommand | None) -> dict[str, Any]:
    """Return the documented keys of a failure. ``resumeCommand`` is ``shown_command``, or None.

    The keys of the store's response are None if the failure is not a response.
    """
    is_kept = error.retryable or error.exit_code in KEPT_CODES
    return {
        "command": command,
        "status": "incomplete" if is_kept else "failed",
        "exitCode": error.exit_code,
        "reason": error.reason,
        "message": str(error),
        "retryable": error.retryable,
        "resumeCommand": shown_command(error, resume) or None,
        **refusal_fields(error.refusal),
    }


def refusal_fields(refusal: Refusal | None) -> dict[str, Any]:
    """Return the documented keys of the store's error response; each is None without one."""
    return {
        "httpStatus": refusal.status if refusal else None,
        "errorCode": refusal.code if refusal and refusal.phrase is None else None,
        "errorMessage": refusal.message if refusal else None,
        "requestId": refusal.request_id if refusal else None,
        "hostId": refusal.host_id if refusal else None,
    }


def response_fields(stored: Stored | Result | None) -> dict[str, Any]:
    """Return the documented keys of the response of a success; each is None without one."""
    return {
        "requestId": stored.request_id if stored else None,
        "hostId": stored.host_id if stored else None,
        "location": stored.location if stored else None,
        "sseKms": stored.sse_kms if stored else None,
        "sseKmsKey": stored.sse_kms_key if stored else None,
        "sseC": stored.sse_c if stored else None,
        "sseCKeyMd5": stored.sse_c_key_md5 if stored else None,
    }


def tally_fields(tally: ProgressTally) -> dict[str, Any]:
    """Return the documented keys that count what an unfinished upload has sent."""
    return {
        "parts": tally.parts,
        "sentParts": tally.sent_parts,
        "sentBytes": tally.sent_bytes,
        "seconds": round(tally.seconds, 3),
    }


def target_fields(target: Target) -> dict[str, Any]:
    """Return the documented keys of a target."""
    return {"provider": target.provider, "bucket": target.bucket, "key": target.key}


def result_fields(result: Result) -> dict[str, Any]:
    """Return the documented keys of a finished upload."""
    return {
        "command": "upload",
        "status": "completed",
        **target_fields(result.target),
        "uploadId": result.upload_id,
        "etag": result.etag,
        "versionId": result.version_id,
        "size": result.size,
        "partSize": result.part_size,
        "parts": result.parts,
        "sentParts": result.sent_parts,
        "sentBytes": result.sent_bytes,
        "seconds": round(result.seconds, 3),
        "verified": result.verified,
        "checksum": result.verifying_checksum,
        "lock": to_builtins(result.lock),
        **response_fields(result),
    }
