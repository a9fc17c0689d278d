"""What is told of an upload: what it begins with, and the Result where it ended well."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from obsup import events
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.file_plan import Plan
from obsup.model import Receipt, Stored, Target, Upload
from obsup.value import Value

if TYPE_CHECKING:
    pass


def report_start(tally: ProgressTally, plan: Plan, kept: Mapping[int, Receipt]) -> None:
    """Tell that the upload begins with *plan*, of which the parts in *kept* are stored."""
    resumed = sum(one.size for one in kept.values())
    tally(events.Begun(plan.size, plan.count, resumed, len(kept)))


def result_of_upload(
    order: UploadRequest, tally: ProgressTally, *, upload: Upload | None, plan: Plan, finished: Finished
) -> Result:
    """Return the result of *order*: *upload* is None for a single PutObject; *tally* counted what was sent."""
    return Result.of(
        finished.stored,
        target=order.target,
        upload_id=upload.upload_id if upload else None,
        verified=finished.verified,
        size=plan.size,
        part_size=plan.part_size,
        parts=plan.count,
        sent_parts=tally.sent_parts,
        sent_bytes=tally.sent_bytes,
        seconds=tally.seconds,
        receipts=finished.receipts,
    )


class Finished(Value):
    """The object in place: the store's answer, what proved it, and the receipts of its parts, in order."""

    stored: Stored
    verified: str
    receipts: tuple[Receipt, ...] = ()


Verified = Literal["etag", "crc64", "upload-id", "token", "size", "receipt"]


# The fields that a Result has from what the store answered, and what reads them off either.
ANSWERED = tuple(one for one in Stored.__struct_fields__ if one != "crc64")


answered_of = attrgetter(*ANSWERED)


class Result(Value):
    """The finished object, with what the vendors' result tables list. Sizes are bytes.

    ``upload_id`` is None for a single PutObject; ``verified`` says what proved the object;
    ``sent_parts`` and ``sent_bytes`` count what this run sent; ``receipts`` are those of all parts, in order.
    """

    _hidden = ("receipts",)

    target: Target
    upload_id: str | None
    etag: str
    verified: Verified
    size: int
    part_size: int
    parts: int
    sent_parts: int
    sent_bytes: int
    seconds: float
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

    @classmethod
    def of(cls, stored: Stored, **known: Any) -> Result:
        """Return the result with what the store answered, and what else is *known*."""
        return cls(**dict(zip(ANSWERED, answered_of(stored), strict=True)), **known)
