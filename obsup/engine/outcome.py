"""From an upload that ended well to its Result."""

from __future__ import annotations

from obsup.engine.finish import Finished
from obsup.engine.order import Order, Result
from obsup.engine.plan import Plan
from obsup.engine.progress import Tally
from obsup.engine.verify import Identical
from obsup.model import Upload


def outcome_of_nothing(order: Order, tally: Tally, identical: Identical) -> Result:
    """Return the result of *order* where nothing was to be sent: the object was there already."""
    info = identical.info
    return Result(
        target=order.target,
        upload_id=info.upload_id,
        etag=info.etag,
        verified=identical.by,
        size=info.size,
        part_size=identical.part_size,
        parts=identical.parts,
        sent_parts=0,
        sent_bytes=0,
        seconds=tally.seconds,
        request_id=info.request_id,
        version_id=info.version_id,
    )


def outcome(order: Order, tally: Tally, *, upload: Upload | None, plan: Plan, finished: Finished) -> Result:
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
