"""The receipt of an upload: kept while it runs, written once the object is proved."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from obsup import events
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.local.state import receipt_file
from obsup.local.state.receipt_file import ObjectReceipt


class RequestIds:
    """Remembers by which request each part was stored."""

    def __init__(self) -> None:
        self.by_part: dict[int, str] = {}

    def __call__(self, event: events.Event) -> None:
        """Take in the answer to a part."""
        if not isinstance(event, events.Requested) or event.part_number is None or event.status is None:
            return
        if event.status < 300 and event.request_id:
            self.by_part[event.part_number] = event.request_id


def with_receipt(
    request: UploadRequest,
    tally: ProgressTally,
    run: Callable[[], Result],
    clock: Callable[[], float] = time.time,
) -> Result:
    """Return what *run* returns, with its receipt written where *request* asks for one. Raises LocalFailure."""
    path: Path | None = request.receipt
    if path is None:
        return run()
    receipt_file.check_writable(path)
    ids = RequestIds()
    with tally.observed_by(ids):
        result = run()
    if result.receipts:
        receipt_file.save(path, receipt_of(result, ids, clock()))
    else:
        tally(events.Noted("nothing was sent, so that there is no receipt to write"))
    return result


def receipt_of(result: Result, ids: RequestIds, completed: float) -> ObjectReceipt:
    """Return the receipt of a finished object; *completed* is seconds since the epoch."""
    return ObjectReceipt(
        target=result.target,
        size=result.size,
        part_size=result.part_size,
        receipts=result.receipts,
        etag=result.etag,
        verified=result.verified,
        upload_id=result.upload_id,
        version_id=result.version_id,
        request_id=result.request_id,
        completed=completed,
        request_ids=ids.by_part,
    )
