"""Write the receipt of a completed object (--receipt)."""

from __future__ import annotations

import time
from collections.abc import Callable

from obsup import events
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.proof.object_proof import combined_crc64
from obsup.local.source.digest import CRC64
from obsup.local.state import receipt_file
from obsup.local.state.receipt_file import ObjectReceipt
from obsup.model import Checksum


def with_receipt(request: UploadRequest, tally: ProgressTally, run: Callable[[], Result]) -> Result:
    """Return the result of *run*, and write its receipt if *request* names a file for it. Raises LocalFailure."""
    path = request.receipt
    if path is None:
        return run()
    receipt_file.check_writable(path)
    ids: dict[int, str] = {}

    def collect(event: events.Event) -> None:
        """Record the request id if *event* is a successful response for a part."""
        if not isinstance(event, events.Requested) or event.part_number is None or event.status is None:
            return
        if event.status < 300 and event.request_id:
            ids[event.part_number] = event.request_id

    with tally.observed_by(collect):
        result = run()
    if result.receipts:
        receipt_file.save(path, _receipt_of(result, ids))
    else:
        tally(events.Noted("nothing was sent, so no receipt was written"))
    return result


def _receipt_of(result: Result, ids: dict[int, str]) -> ObjectReceipt:
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
        completed=time.time(),
        request_ids=ids,
        lock=result.lock,
        checksum=_checksum_of(result),
    )


def _checksum_of(result: Result) -> Checksum | None:
    """Return the checksum that verified the object, None if something else did."""
    if result.verified != CRC64:
        return result.checksum if result.verifying_checksum is not None else None
    crc64 = combined_crc64(result.receipts)
    return Checksum(CRC64, str(crc64)) if crc64 is not None else None
