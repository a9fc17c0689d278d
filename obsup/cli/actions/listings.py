"""What is listed: the parts of an upload, the open uploads, what gc took away, and the state of a file's uploads."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from obsup.cli.report import output
from obsup.cli.report.fields import target_fields
from obsup.cli.run.requests import connect_options_from, select_upload
from obsup.cli.run.session import Session, run_step
from obsup.engine.inspect.local_uploads import LocalUpload, find_local_uploads
from obsup.engine.inspect.open_uploads import ListedUpload, count_parts, list_open_uploads
from obsup.engine.job.target_settings import resolve_prefix
from obsup.engine.proof.part_list import show_numbers
from obsup.engine.steps.lookup import require_upload
from obsup.text import one_line, quoted
from obsup.units import exact_size, format_duration, format_size


def run_parts(source: Path | None, target: str, values: dict[str, Any]) -> int:
    """List the stored parts of an upload, and return the exit code."""

    def work(session: Session) -> str:
        selector, settings = select_upload(source, target, values)
        upload = require_upload(selector).upload
        session.name_upload(upload)
        listed = list(session.connect(settings).store.list_parts(upload))
        session.fields |= {
            "parts": len(listed),
            "size": sum(one.size for one in listed),
            "list": [
                {
                    "partNumber": one.number,
                    "size": one.size,
                    "etag": one.etag,
                    "lastModified": one.last_modified,
                }
                for one in listed
            ],
        }
        for one in listed:
            session.line(f"{one.number}\t{one.size}\t{one_line(one.etag)}\t{one_line(one.last_modified)}")
        return "listed"

    return run_step("parts", values, work)


def run_uploads(prefix: str, values: dict[str, Any]) -> int:
    """List the open uploads of a bucket, and return the exit code."""

    def work(session: Session) -> str:
        place, settings = resolve_prefix(prefix, connect_options_from(values))
        store = session.connect(settings).store
        found: list[dict[str, Any]] = []
        session.fields |= {"provider": place.provider, "bucket": place.bucket, "uploads": found}
        for one in list_open_uploads(store, place, now_s=time.time()):
            shown = count_parts(store, one) if values["long"] else one
            found.append(_upload_fields(shown))
            session.line("\t".join([*_columns(shown), *(_long_columns(shown) if values["long"] else [])]))
        return "listed"

    return run_step("uploads", values, work)


def run_status(source: Path, target: str | None, values: dict[str, Any]) -> int:
    """Show what the checkpoints of a file know, and return the exit code."""

    def work(session: Session) -> str:
        found = list(find_local_uploads(source, target=target, checkpoint=values["checkpoint"]))
        session.fields |= {
            "source": str(source.absolute()),
            "uploads": [_standing_fields(one) for one in found],
        }
        for number, one in enumerate(found):
            if number:
                session.line("")
            for name, text in _standing_rows(one):
                session.line(f"{name:<12}{text}")
        if not found and not values["quiet"] and sys.stderr.isatty():
            output.print_message(f"no upload of {quoted(source)} is under way, as far as this machine knows")
        return "listed"

    return run_step("status", values, work)


def _columns(one: ListedUpload) -> list[str]:
    return [one_line(one.upload.target.key), one_line(one.upload.upload_id), one_line(one.initiated)]


def _long_columns(one: ListedUpload) -> list[str]:
    return [
        "own" if one.is_own else "foreign",
        "live" if one.is_live else "-",
        "-" if one.age_s is None else str(round(one.age_s)),
        str(one.parts),
        str(one.size),
        one_line(one.checkpoint or "-"),
    ]


def _upload_fields(one: ListedUpload) -> dict[str, Any]:
    measured = {"parts": one.parts, "size": one.size} if one.parts is not None else {}
    return {
        "key": one.upload.target.key,
        "uploadId": one.upload.upload_id,
        "initiated": one.initiated,
        "own": one.is_own,
        "live": one.is_live,
        "ageSeconds": None if one.age_s is None else round(one.age_s),
        "checkpoint": one.checkpoint,
        **measured,
    }


def _standing_fields(one: LocalUpload) -> dict[str, Any]:
    upload = one.checkpoint.upload
    return {
        **target_fields(upload.target),
        "endpoint": upload.target.endpoint,
        "uploadId": upload.upload_id,
        "size": one.plan.size,
        "partSize": one.plan.part_size,
        "parts": one.plan.count,
        "storedParts": len(one.checkpoint.receipts),
        "storedBytes": one.stored,
        "missing": one.missing,
        "created": one.checkpoint.created,
        "live": one.is_live,
        "sourceChanged": list(one.changes),
        "checkpoint": str(one.path),
    }


def _standing_rows(one: LocalUpload) -> list[tuple[str, str]]:
    upload, plan = one.checkpoint.upload, one.plan
    age = format_duration(max(0.0, time.time() - one.checkpoint.created))
    return [
        ("target", str(upload.target)),
        ("endpoint", upload.target.endpoint),
        ("upload id", one_line(upload.upload_id) or "none yet: initiating was cut off"),
        (
            "parts",
            f"{len(one.checkpoint.receipts)} of {plan.count} stored, {exact_size(plan.part_size)} each",
        ),
        ("bytes", f"{format_size(one.stored)} of {format_size(plan.size)}"),
        ("missing", show_numbers(one.missing) or "none"),
        ("begun", f"{age} ago"),
        ("running", "yes" if one.is_live else "no"),
        ("source", f"changed: {', '.join(one.changes)}" if one.changes else "unchanged"),
        ("checkpoint", quoted(one.path)),
    ]
