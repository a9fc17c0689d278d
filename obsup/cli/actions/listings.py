"""Run the commands that list something: parts, uploads, status."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.cli.arguments.source_target import check_not_piped
from obsup.cli.report import output
from obsup.cli.report.fields import target_fields
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.dates import iso_date
from obsup.engine.inspect.local_batches import LocalBatch, find_local_batches
from obsup.engine.inspect.local_uploads import LocalUpload, find_local_uploads
from obsup.engine.inspect.open_uploads import ListedUpload, count_parts, list_open_uploads
from obsup.engine.inspect.upload_cycle import RequestTimes
from obsup.engine.job.connection import StoreSettings
from obsup.engine.proof.part_list import show_numbers
from obsup.engine.steps.lookup import require_upload
from obsup.engine.upload.adoption import CLOCK_TOLERANCE_S
from obsup.local.files.existing import is_directory
from obsup.local.source.identity import check_uploaded
from obsup.model import ListWindow, Upload
from obsup.store.interface import ObjectStore
from obsup.text import one_line, quoted
from obsup.units import exact_size, format_size

LONG_HEADER = ("key", "upload id", "initiated", "owner", "live", "age (s)", "parts", "bytes", "checkpoint")


def run_parts(
    source: Path | None, target: str, options: CommandOptions, *, after: int, most: int | None
) -> int:
    """List the stored parts of an upload, at most *most* with numbers above *after*, and return the exit code."""

    def work(session: Session) -> str:
        selector, settings = options.select_upload(source, target)
        selected = require_upload(selector)
        upload = selected.upload
        session.add_upload(upload)
        with selected.needed(selector):
            listed = session.connect(settings).store.list_parts(upload, after=after, most=_one_more(most))
            found = list(listed)
        parts, is_truncated = found[:most], most is not None and len(found) > most
        marker = parts[-1].number if is_truncated else None
        session.fields |= {
            "isTruncated": is_truncated,
            "nextPartNumberMarker": marker,
            "parts": len(parts),
            "size": sum(part.size for part in parts),
            "list": [
                {
                    "partNumber": part.number,
                    "size": part.size,
                    "etag": part.etag,
                    "lastModified": part.last_modified,
                }
                for part in parts
            ],
        }
        for part in parts:
            session.print_text(
                f"{part.number}\t{part.size}\t{one_line(part.etag)}\t{one_line(part.last_modified)}"
            )
        if is_truncated:
            _note_rest(session, "parts", "--part-number-marker", str(marker))
        return "listed"

    return run_step("parts", options, work)


def connect_with_clock(session: Session, settings: StoreSettings) -> tuple[ObjectStore, Callable[[], float]]:
    """Return the store of *settings*, and a function that returns the time of the store after its first response.

    The Date header may be that of a proxy. A store accepts a signature only if its clock hardly differs.
    """
    times = RequestTimes(time.time)
    connection = session.connect(settings, events.both(session.tally, times))
    signed = connection.recovery.clock

    def now_s() -> float:
        return min(times.now_s(), signed.now().timestamp() + CLOCK_TOLERANCE_S)

    return connection.store, now_s


def run_uploads(prefix: str, options: CommandOptions, window: ListWindow, *, long: bool) -> int:
    """List the open uploads of a bucket and return the exit code. *long* also lists the parts of each upload."""
    one_more = replace(window, most=_one_more(window.most))

    def work(session: Session) -> str:
        resolved, settings = options.resolve_prefix(prefix)
        store, now_s = connect_with_clock(session, settings)
        uploads: list[dict[str, Any]] = []
        prefixes: list[str] = []
        session.fields |= {"provider": resolved.provider, "bucket": resolved.bucket}
        session.fields |= {"uploads": uploads, "commonPrefixes": prefixes}
        if long and sys.stdout.isatty():
            session.print_text("\t".join(LONG_HEADER))
        last, is_truncated = None, False
        for number, listed in enumerate(list_open_uploads(store, resolved, now_s=now_s, window=one_more)):
            is_truncated = number == window.most
            if is_truncated:
                break
            upload = count_parts(store, listed) if long else listed
            last = upload.upload
            if upload.is_prefix:
                prefixes.append(last.target.key)
            else:
                uploads.append(upload_fields(upload))
            columns = [*upload_columns(upload), *(_long_columns(upload) if long else [])]
            if not session.print_text("\t".join(columns)):
                break
        _report_rest(session, last if is_truncated else None)
        return "listed"

    return run_step("uploads", options, work)


def _one_more(most: int | None) -> int | None:
    """Return how many entries to request, so that the last one shows whether *most* is the end of the list."""
    return None if most is None else most + 1


def _report_rest(session: Session, last: Upload | None) -> None:
    """Report where the list of uploads continues if it was cut after *last*."""
    session.fields |= {
        "isTruncated": last is not None,
        "nextKeyMarker": last.target.key if last is not None else None,
        "nextUploadIdMarker": last.upload_id if last is not None else None,
    }
    if last is not None:
        ids = ["--upload-id-marker", last.upload_id] if last.upload_id else []
        _note_rest(session, "uploads", "--key-marker", last.target.key, *ids)


def _note_rest(session: Session, what: str, *options: str) -> None:
    session.display.observe(events.Noted(f"there are more {what}; to list them, add", options))


def run_status(source: Path, target: str | None, options: CommandOptions) -> int:
    """Show the local progress of a file's uploads and return the exit code: 66 if the file cannot be read."""

    def work(session: Session) -> str:
        if is_directory(source):
            return _show_batches(session, source, target)
        uploads = list(
            find_local_uploads(
                source, target=target, checkpoint=options.checkpoint, observe=session.display.observe
            )
        )
        session.fields |= {
            "source": str(source.absolute()),
            "uploads": [_local_fields(upload) for upload in uploads],
        }
        _print_tables(session, map(_local_rows, uploads))
        check_not_piped(source, "'obsup uploads BUCKET' lists the open uploads of streams, too")
        check_uploaded(source)  # last: what the checkpoints record is of use without the file, too
        if not uploads and not options.display.quiet and sys.stderr.isatty():
            output.print_message(f"No upload of {quoted(source)} is in progress on this machine.")
        return "listed"

    return run_step("status", options, work)


def _show_batches(session: Session, source: Path, target: str | None) -> str:
    """Show what the journals record of the directory *source*: one batch per TARGET and share."""
    options, observe = session.options, session.display.observe
    found = find_local_batches(
        source, target=target, folder=options.checkpoint_dir, journal=options.checkpoint, observe=observe
    )
    batches = list(found)
    session.fields |= {"source": str(source.absolute()), "batches": [_batch_fields(one) for one in batches]}
    _print_tables(session, map(_batch_rows, batches))
    if not batches and not session.options.display.quiet and sys.stderr.isatty():
        output.print_message(f"No journal of {quoted(source)} is on this machine.")
    return "listed"


def _print_tables(session: Session, tables: Iterable[list[tuple[str, str]]]) -> None:
    """Print each table, a line per row, with an empty line between two tables."""
    for number, rows in enumerate(tables):
        if number:
            session.print_text("")
        for name, text in rows:
            session.print_text(f"{name:<12}{text}")


def upload_columns(upload: ListedUpload) -> list[str]:
    """Return the columns of an open upload: key, upload id, initiated."""
    return [one_line(upload.upload.target.key), one_line(upload.upload.upload_id), one_line(upload.initiated)]


def _long_columns(upload: ListedUpload) -> list[str]:
    if upload.is_prefix:
        return [""] * len(LONG_HEADER[3:])
    return [
        "own" if upload.is_own else "foreign",
        "live" if upload.is_live else "-",
        "-" if upload.age_s is None else str(round(upload.age_s)),
        str(upload.parts),
        str(upload.size),
        one_line(upload.checkpoint or "-"),
    ]


def upload_fields(upload: ListedUpload) -> dict[str, Any]:
    """Return the documented keys of an open upload."""
    counts = {"parts": upload.parts, "size": upload.size} if upload.parts is not None else {}
    return {
        "key": upload.upload.target.key,
        "uploadId": upload.upload.upload_id,
        "initiated": upload.initiated,
        "own": upload.is_own,
        "live": upload.is_live,
        "ageSeconds": None if upload.age_s is None else round(upload.age_s),
        "checkpoint": upload.checkpoint,
        **counts,
    }


def _local_fields(local: LocalUpload) -> dict[str, Any]:
    upload = local.checkpoint.upload
    return {
        **target_fields(upload.target),
        "endpoint": upload.target.endpoint,
        "uploadId": upload.upload_id,
        "size": local.plan.size,
        "partSize": local.plan.part_size,
        "parts": local.plan.count,
        "storedParts": len(local.checkpoint.receipts),
        "storedBytes": local.stored,
        "missing": local.missing,
        "created": local.checkpoint.created,
        "live": local.is_live,
        "sourceChanged": list(local.changes),
        "checkpoint": str(local.path),
    }


def _local_rows(local: LocalUpload) -> list[tuple[str, str]]:
    upload, plan = local.checkpoint.upload, local.plan
    stored = len(local.checkpoint.receipts)
    return [
        ("target", str(upload.target)),
        ("endpoint", quoted(upload.target.endpoint)),
        ("upload id", one_line(upload.upload_id) or "none yet: initiating was interrupted"),
        ("parts", f"{stored} of {plan.count} stored, {exact_size(plan.part_size)} each"),
        ("bytes", f"{format_size(local.stored)} of {format_size(plan.size)}"),
        ("missing", show_numbers(local.missing) or "none"),
        ("started", f"{iso_date(local.checkpoint.created)} by the store's clock"),
        ("running", "yes" if local.is_live else "no"),
        ("source", f"changed: {', '.join(local.changes)}" if local.changes else "unchanged"),
        ("checkpoint", quoted(local.path)),
    ]


def _batch_fields(batch: LocalBatch) -> dict[str, Any]:
    target = batch.target
    return {
        "bucket": target.bucket,
        "key": target.key,
        "endpoint": target.endpoint,
        "shard": batch.shard or None,
        "files": batch.files,
        "size": batch.size,
        "updated": batch.updated_s,
        "live": batch.is_live,
        "checkpoint": str(batch.path),
    }


def _batch_rows(batch: LocalBatch) -> list[tuple[str, str]]:
    return [
        ("target", str(batch.target)),
        ("endpoint", quoted(batch.target.endpoint)),
        *([("shard", batch.shard)] if batch.shard else []),
        ("files", f"{batch.files:,} verified, {format_size(batch.size)}"),
        ("updated", iso_date(batch.updated_s)),
        ("running", {True: "yes", False: "no", None: "unknown"}[batch.is_live]),
        ("checkpoint", quoted(batch.path)),
    ]
