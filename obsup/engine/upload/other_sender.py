"""Another machine that sends parts of the same upload, because it has a copy of the checkpoint.

Machines exclude each other by a lock only if they share the checkpoint. Otherwise only the list of parts shows that
another one is at work. The parts of a run that was killed a moment ago look the same, except that they were stored
until its checkpoint was last touched, and not much later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from obsup.dates import parse_date
from obsup.engine.job.context import UploadContext
from obsup.engine.proof.part_list import parts_are
from obsup.errors import Busy, run_again
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import StoredPart, Upload

# How long ago a machine that is still at work has stored a part. For so long, --if-running wait waits for the next.
RECENT_S = 300.0
# How long after the last touch of its checkpoint a run that was killed may have stored a part.
IN_FLIGHT_S = 60.0
# Pauses between two lists of the parts.
MIN_POLL_S, MAX_POLL_S = 1.0, 15.0


def sent_here(upload: Upload) -> tuple[str, str]:
    """Return the fact, to be learned, that this run sends parts of *upload*."""
    return "parts are sent", upload.upload_id


def without_other_sender(
    context: UploadContext, checkpoint: Checkpoint, count: int, list_parts: Callable[[], list[StoredPart]]
) -> list[StoredPart]:
    """Return the stored parts as soon as no other machine sends those that are missing of *count*.

    With --if-running wait, waits until it has stored none for RECENT_S, or all. Raises Busy otherwise, the reason of a
    stop, and what *list_parts* raises. A run that sends no parts does not look for it.
    """
    poll_s, is_noted = MIN_POLL_S, False
    while True:
        listed = list_parts()
        # Once this run has sent parts, they may be its own: those whose source was touched are not recorded.
        has_sent = context.connection.learned.has(sent_here(checkpoint.upload))
        if not context.sends_parts or has_sent or len(listed) >= count:
            return listed
        by_others = _stored_by_others(context, checkpoint, listed)
        if not by_others:
            return listed
        if context.request.if_running != "wait":
            raise _busy(context, by_others)
        if not is_noted:
            is_noted = True
            context.note(f"another machine is at work on {context.request.target}: waiting")
        if context.stop.sleep(poll_s):
            context.stop.check()
        poll_s = min(MAX_POLL_S, 2 * poll_s)


def _busy(context: UploadContext, numbers: Sequence[int]) -> Busy:
    stored = parts_are(numbers)
    return Busy(
        f"another machine is at work on {context.request.target}",
        f"{stored[0].upper()}{stored[1:]} not in the checkpoint, but stored less than {RECENT_S / 60:.0f} minutes ago, "
        "and after the last run with this checkpoint",
        run_again("wait for it to end", add=("--if-running", "wait")),
    )


def _stored_by_others(
    context: UploadContext, checkpoint: Checkpoint, listed: Sequence[StoredPart]
) -> list[int]:
    """Return the numbers of the parts that another machine stored a moment ago.

    Notes parts that may also be those of a run of this machine that was killed.
    """
    now_s = context.clock()
    ages = {
        one.number: now_s + context.connection.recovery.clock.shown_offset_s - stored_s
        for one in listed
        if one.number not in checkpoint.receipts and (stored_s := parse_date(one.last_modified)) is not None
    }
    since_checkpoint_s = _age_of_checkpoint(context, now_s) - IN_FLIGHT_S
    others = [number for number, age_s in ages.items() if abs(age_s) < min(RECENT_S, since_checkpoint_s)]
    doubtful = [number for number, age_s in ages.items() if abs(age_s) < IN_FLIGHT_S]
    if doubtful and not others:
        context.note(
            f"{parts_are(doubtful)} not in the checkpoint, but stored less than a minute ago: unless a run on this "
            "machine ended just now, another machine uploads this file, and sends the same parts"
        )
    return others


def _age_of_checkpoint(context: UploadContext, now_s: float) -> float:
    """Return how long ago this machine's checkpoint was touched; 0 if that is unknown."""
    path = context.checkpoint_path
    try:
        return now_s - path.stat().st_mtime if path is not None else 0.0
    except OSError:
        return 0.0
