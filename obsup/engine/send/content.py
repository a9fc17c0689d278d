"""Send the content of one request and verify it, with resends."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Protocol

from obsup import events
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import matches
from obsup.errors import DataMismatch, ObsupError, Refused
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import Gate
from obsup.model import Part, Receipt, Stored, Upload
from obsup.store.http.body import Body, OpenBody
from obsup.store.interface import PartLister, PartStore

RESENDS = 2


# How often it is said how far a part is, in seconds: each time takes more of the interpreter than a block does.
REPORT_EVERY_S = 0.05


class HashedBody(Body, Protocol):
    """A body that knows the digest of what it handed out."""

    digest: PartDigest


class Content(Protocol):
    """The bytes of one part, which can be sent as often as it takes."""

    @property
    def part(self) -> Part:
        """Where the bytes belong."""
        ...

    def open(
        self, fresh: Callable[[], PartDigest], *, on_sent: Callable[[int], None], gate: Gate | None
    ) -> HashedBody:
        """Return the bytes as a body; *fresh* makes the digest that they are to be fed to."""
        ...

    def md5(self, gate: Gate | None) -> str:
        """Return the MD5 in hex, before anything is sent."""
        ...

    def check(self) -> None:
        """Raise SourceChanged where these are no longer the bytes that were planned."""
        ...


class AttemptCounter:
    """Counts how often content was begun to be sent: each try opens a body of its own."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, open_body: OpenBody) -> OpenBody:
        """Return what opens the same bodies, counted."""

        def counted() -> Body:
            self.count += 1
            return open_body()

        return counted


Send = Callable[[OpenBody, "str | None"], Stored]


def send_verified(
    content: Content, send: Send, send_options: SendOptions, *, what: object
) -> tuple[Stored, PartDigest]:
    """Send *content* until the store does not confirm other bytes than were read; return its answer and the digest.

    *what* names the content in messages. Raises DataMismatch where the store confirms other bytes three times in
    a row, and what the content, the store and the disk raise.
    """
    part = content.part
    content.check()
    for resend in range(1 + RESENDS):
        if resend:
            send_options.observe(
                events.Retried(part.number, resend, "the store confirmed other bytes than were sent", 0.0)
            )
        stored, digest = _send_once(content, send, send_options)
        content.check()
        if matches(stored, digest, send_options.digests) is not False:
            send_options.observe(events.PartStored(part.number, part.size))
            return stored, digest
    raise DataMismatch(
        f"{what} arrives changed",
        f"sent with MD5 {digest.md5}, CRC-64 {digest.crc64}; the store has ETag {stored.etag}",
        "look at the line (proxies, memory), then run the same command again; what is stored stays",
    )


def _send_once(content: Content, send: Send, send_options: SendOptions) -> tuple[Stored, PartDigest]:
    """Send the content; return the answer and the digest of what was read in the attempt that it answers."""
    bodies: list[HashedBody] = []
    part, due_s = content.part, 0.0

    def sent(so_far: int) -> None:
        nonlocal due_s
        now_s = time.monotonic()
        if now_s >= due_s or so_far == part.size:
            due_s = now_s + REPORT_EVERY_S
            send_options.observe(events.PartSent(part.number, so_far))

    def open_body() -> HashedBody:
        bodies.append(content.open(send_options.digests.digest, on_sent=sent, gate=send_options.gate))
        return bodies[-1]

    content_md5 = None
    if send_options.content_md5:  # it must be known before the first byte is sent
        content_md5 = base64.b64encode(bytes.fromhex(content.md5(send_options.read_gate))).decode()
    stored = send(open_body, content_md5)
    return stored, bodies[-1].digest


def send_content(content: Content, upload: Upload, store: PartStore, send_options: SendOptions) -> Receipt:
    """Send *content* as a part of *upload* and return its receipt. Raises as ``store_content`` does."""
    return store_content(content, upload, store, send_options)[1]


def store_content(
    content: Content, upload: Upload, store: PartStore, send_options: SendOptions
) -> tuple[Stored, Receipt]:
    """Send *content* as a part of *upload*; return answer and receipt once the store confirmed what was read.

    Raises as ``send_verified`` does.
    """
    part = content.part
    tries = AttemptCounter()

    def send(open_body: OpenBody, content_md5: str | None) -> Stored:
        return store.upload_part(upload, part.number, tries.of(open_body), content_md5=content_md5)

    try:
        stored, digest = send_verified(
            content, send, send_options, what=f"part {part.number} of {upload.target}"
        )
    except Refused:
        # Some stores refuse a part that they hold already: it may be that of a try whose answer was lost.
        found = _find_stored(content, upload, store, send_options) if tries.count > 1 else None
        if found is None:
            raise
        return found
    return stored, Receipt(part.number, part.size, stored.etag, digest.md5, digest.crc64)


def _find_stored(
    content: Content, upload: Upload, store: PartStore, send_options: SendOptions
) -> tuple[Stored, Receipt] | None:
    """Return answer and receipt for the part where the store lists it with the content's size and digest, or None."""
    if not isinstance(store, PartLister):
        return None
    part = content.part
    try:
        listed = [one for one in store.list_parts(upload) if one.number == part.number]
    except ObsupError:
        return None  # what the store said before is the news
    if not listed or listed[0].size != part.size:
        return None
    fresh = partial(PartDigest, md5=True, crc64=send_options.digests.crc64)
    body = content.open(fresh, on_sent=lambda _: None, gate=send_options.read_gate)
    with closing(body):
        while body.read():
            pass
    content.check()
    stored = Stored(200, listed[0].etag, crc64=listed[0].crc64)
    if matches(stored, body.digest, send_options.digests) is not True:
        return None
    send_options.observe(events.PartStored(part.number, part.size))
    return stored, Receipt(part.number, part.size, stored.etag, body.digest.md5, body.digest.crc64)
