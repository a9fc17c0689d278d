"""The result of an upload, and the event that starts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.file_plan import Plan
from obsup.engine.proof.encryption import hides_md5
from obsup.engine.proof.object_proof import Verified
from obsup.model import Checksum, ObjectInfo, ObjectLock, Receipt, SourceStat, Stored, Target, Upload
from obsup.value import Value


def report_start(tally: ProgressTally, plan: Plan, kept: Mapping[int, Receipt]) -> None:
    """Report that the upload starts with *plan*; the parts in *kept* are stored already."""
    resumed = sum(one.size for one in kept.values())
    tally(events.Begun(plan.size, plan.count, resumed, len(kept)))


def result_of_upload(
    request: UploadRequest,
    tally: ProgressTally,
    *,
    upload: Upload | None,
    plan: Plan,
    finished: Finished,
    source: SourceStat | None = None,
) -> Result:
    """Return the result of *request*. *upload* is None for a single PutObject; *tally* counted what was sent."""
    return Result(
        target=request.target,
        upload_id=upload.upload_id if upload else None,
        verified=finished.verified,
        size=plan.size,
        part_size=plan.part_size,
        parts=plan.count,
        sent_parts=tally.sent_parts,
        sent_bytes=tally.sent_bytes,
        seconds=tally.seconds,
        receipts=finished.receipts,
        source=source,
        lock=finished.lock,
        **response_fields(finished.response),
    )


class Finished(Value):
    """A completed object: the store's response, how it was verified, and the receipts of its parts in order.

    ``note`` is what the user must know about how this store's objects are verified. ``info`` is what the store shows of
    the object, if it was requested: without headers if a list shows it.
    """

    stored: Stored
    verified: Verified
    receipts: tuple[Receipt, ...] = ()
    note: str = ""
    info: ObjectInfo | None = None

    @property
    def response(self) -> Stored:
        """The response, with the last modification of the object as its date if that is known."""
        date = self.info.last_modified if self.info is not None else ""
        return replace(self.stored, date=date or self.stored.date)

    @property
    def is_encrypted(self) -> bool:
        """Whether the store shows, in the response or of the object, an encryption with which no ETag is an MD5."""
        if hides_md5(self.stored.sse_kms) or self.stored.sse_c is not None:
            return True
        return self.info is not None and (
            hides_md5(self.info.sse)
            or any(name.endswith("-server-side-encryption-customer-algorithm") for name in self.info.headers)
        )

    @property
    def lock(self) -> ObjectLock | None:
        """The lock of the object, as far as the store has shown it."""
        return self.info.lock if self.info is not None else None


class Result(Value):
    """The completed object, with the fields of the vendors' result tables. Sizes are bytes.

    ``upload_id`` is None for a single PutObject; ``verified`` names what verified the object;
    ``sent_parts`` and ``sent_bytes`` count what this run sent; ``receipts`` are those of all parts, in order.
    ``source`` is the identity of the file that the object has the content of; ``date`` is the last
    modification of the object if it is known, otherwise the date of the response. ``checksum`` is
    the one that the store returned (S3). ``lock`` is None if HeadObject was not sent, or shows none.
    """

    _hidden = ("receipts", "source", "date")

    target: Target
    upload_id: str | None
    etag: str
    verified: Verified
    size: int
    part_size: int
    parts: int
    sent_parts: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    status: int = 200
    request_id: str = ""
    host_id: str = ""
    version_id: str | None = None
    location: str | None = None
    sse_kms: str | None = None
    sse_kms_key: str | None = None
    sse_c: str | None = None
    sse_c_key_md5: str | None = None
    receipts: tuple[Receipt, ...] = ()
    source: SourceStat | None = None
    date: str = ""
    lock: ObjectLock | None = None
    checksum: Checksum | None = None

    @property
    def verifying_checksum(self) -> str | None:
        """The checksum that verified the object, in Base64; None if something else did."""
        checksum = self.checksum
        return checksum.value if checksum is not None and checksum.algorithm == self.verified else None


# Fields that Result has from the response of the store. The size of the object is not that of a part.
_OF_RESPONSE = (set(Stored.__struct_fields__) & set(Result.__struct_fields__)) - {"size"}


def response_fields(stored: Stored) -> dict[str, Any]:
    """Return the fields of a Result that are those of the store's response."""
    return {name: getattr(stored, name) for name in _OF_RESPONSE}
