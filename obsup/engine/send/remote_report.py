"""What a worker elsewhere hands back: the result or the failure, and the requests that it took."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from obsup import events
from obsup.errors import ObsupError
from obsup.model import Receipt
from obsup.value import Value

if TYPE_CHECKING:
    from obsup.engine.job.result import Finished


class WorkerReport(Value):
    """What came of one part, or of one small file: its *result*, or the *failure*; *said* in the order it happened.

    A failure is no exception here: what was said before it would be lost.
    """

    result: Receipt | Finished | None = None
    failure: ObsupError | None = None
    said: tuple[events.Event, ...] = ()


# More than these say nothing new; the last is kept, since it is how it ended.
MAX_EVENTS = 64


class _Recording(threading.local):
    said: list[events.Event] | None = None


# One connection serves all threads of a worker; each thread does one errand at a time.
_recording = _Recording()


def note_event(event: events.Event) -> None:
    """Keep *event* for the account of the errand that this thread is on: requests and retries, not progress."""
    if _recording.said is None:
        return
    if isinstance(event, events.Requested):
        event = replace(event, host=socket.gethostname())
    if isinstance(event, events.Requested | events.Retried | events.Noted):
        del _recording.said[MAX_EVENTS - 1 :]
        _recording.said.append(event)


@contextmanager
def _recording_events() -> Iterator[list[events.Event]]:
    said = _recording.said = list[events.Event]()
    try:
        yield said
    finally:
        _recording.said = None


def report_of(do: Callable[[], Receipt | Finished]) -> WorkerReport:
    """Return the account of *do*. A failure names this host, and carries no cause: one could hold a signed URL."""
    with _recording_events() as said:
        try:
            result = do()
            return WorkerReport(result, said=tuple(said))
        except ObsupError as exc:
            failure = exc
    why = f"{failure.why} (on host {socket.gethostname()})".lstrip()
    named = type(failure)(failure.what, why, failure.next_step, failure.refusal)
    return WorkerReport(failure=named, said=tuple(said))
