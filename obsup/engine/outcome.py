"""What is told of an upload: what it begins with, and the Result where it ended well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from obsup import events
from obsup.engine.finish import Finished
from obsup.engine.order import Order, Result
from obsup.engine.plan import Plan
from obsup.engine.progress import Tally
from obsup.model import Receipt, Upload

if TYPE_CHECKING:
    from obsup.engine.verify import Identical


def announce(tally: Tally, plan: Plan, kept: Mapping[int, Receipt]) -> None:
    """Tell that the upload begins with *plan*, of which the parts in *kept* are stored."""
    resumed = sum(one.size for one in kept.values())
    tally(events.Begun(plan.size, plan.count, resumed, len(kept)))


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
