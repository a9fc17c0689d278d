"""The events of a running upload. Values are absolute, so an event may be lost or repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import field

from obsup.model import Stored
from obsup.value import Value

ProgressCallback = Callable[[int, "int | None", float], None]
"""The vendors' progressCallback: (transferred bytes, total bytes or None, seconds)."""


class Begun(Value):
    """The upload starts: *total* bytes (None for a stream) in *parts* parts, *resumed* bytes and parts are stored."""

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
    """An attempt failed; the next one follows after *delay_s* seconds. ``number`` is None for requests without a part.

    ``throttled``: the store asked to slow down.
    """

    number: int | None
    attempt: int
    reason: str
    delay_s: float
    throttled: bool = False


class Noted(Value):
    """A message for the user, one sentence. The upload continues.

    ``command`` is a command line that *text* announces, as words.
    """

    text: str
    command: tuple[str, ...] = ()


class Unrecorded(Noted):
    """A note that this machine cannot record the upload: a later run sends all parts again."""


class Requested(Value):
    """One request has ended. ``status`` is None if there was no response; ``failure`` is then the reason.

    ``resource`` is the bucket, or bucket and key; ``date`` is the Date header of the response; ``stored`` is what the
    headers of the response of a success confirm; ``host`` is the remote worker that sent the request. ``headers`` and
    ``body`` are those of the response; those of the request, and the query, are left out, because they contain secrets.
    """

    _hidden = ("headers", "body")

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
    stored: Stored | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


OneFile = Begun | PartSent | PartStored | Retried | Noted | Requested


class Counted(Value):
    """*files* files with *size* bytes in total were found so far; *is_all*: there are no more."""

    files: int
    size: int
    is_all: bool


class OfFile(Value):
    """An event of one file of several. *name* is its key relative to TARGET; *size* is bytes."""

    name: str
    size: int
    event: OneFile


class FileEnded(Value):
    """One file of several has ended: *size* bytes were sent, or skipped because they are in place, or have failed.

    *passed*: not a file that can be sent. *why* is the reason why a file was not sent.
    """

    name: str
    size: int
    how: Literal["sent", "skipped", "passed", "failed"]
    why: str = ""


Event = OneFile | Counted | OfFile | FileEnded
Observer = Callable[[Event], None]


def of_one(event: Event) -> Event:
    """Return the event itself, without the file that it belongs to."""
    return event.event if isinstance(event, OfFile) else event


def ignore(_event: Event) -> None:
    """Observe nothing."""


def both(first: Observer, second: Observer) -> Observer:
    """Return an observer that passes each event to *first*, then to *second*."""

    def observe(event: Event) -> None:
        first(event)
        second(event)

    return observe
