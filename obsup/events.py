"""What happens to an upload while it runs. Values are absolute, so an event may be lost or repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from obsup.value import Value

ProgressCallback = Callable[[int, "int | None", float], None]
"""The vendors' progressCallback: (transferred bytes, total bytes or None, seconds)."""


class Begun(Value):
    """The plan stands: *total* bytes (None for a stream) in *parts* parts, *resumed* bytes of *resumed_parts* done."""

    total: int | None
    parts: int | None
    resumed: int = 0
    resumed_parts: int = 0


class PartSent(Value):
    """The current attempt has sent *sent* of the *size* bytes of this part. A retry starts again at 0."""

    number: int
    sent: int
    size: int = 0


class PartStored(Value):
    """The store confirmed the part."""

    number: int
    size: int


class Retried(Value):
    """An attempt failed and another follows after *delay_s* seconds. ``number`` is None for a call without a part.

    ``throttled``: the store asked to slow down.
    """

    number: int | None
    attempt: int
    reason: str
    delay_s: float
    throttled: bool = False


class Noted(Value):
    """Something the user should know, in one sentence; the work goes on."""

    text: str


class Requested(Value):
    """One request was answered, or not: ``status`` is None where there was no answer, and ``failure`` says why.

    ``resource`` is the bucket, or bucket and key; ``date`` the answer's Date header; ``host`` who sent it, where that
    was a worker. Neither header nor query of
    the request is here: they hold what nobody is to read.
    """

    operation: str
    method: str
    resource: str
    part_number: int | None
    status: int | None
    request_id: str
    seconds: float
    date: str = ""
    failure: str = ""
    host: str = ""


OneFile = Begun | PartSent | PartStored | Retried | Noted | Requested


class Counted(Value):
    """Of several files *files* with *size* bytes together have been met so far; *is_all*: there are no more."""

    files: int
    size: int
    is_all: bool


class OfFile(Value):
    """What happens to one file of several. *name* is its key below the TARGET; *size* is bytes."""

    name: str
    size: int
    event: OneFile


class FileEnded(Value):
    """One file of several is done with: *size* bytes are in place, by this run (sent) or before (skipped), or not.

    *passed*: it is no file that can be sent. *why* tells what is not sent and not in place.
    """

    name: str
    size: int
    how: Literal["sent", "skipped", "passed", "failed"]
    why: str = ""


Event = OneFile | Counted | OfFile | FileEnded
Observer = Callable[[Event], None]


def of_one(event: Event) -> Event:
    """Return what happened, without whose it is."""
    return event.event if isinstance(event, OfFile) else event


def ignore(_event: Event) -> None:
    """Observe nothing."""
