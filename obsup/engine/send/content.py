"""Send the content of one request and verify that the store received it; resend it if not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import matches, needs_md5
from obsup.errors import DataMismatch, DigestRequired, run_again
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import Gate
from obsup.model import Part, Stored
from obsup.store.http.body import Body, OpenBody

# How often content is sent again after the store confirmed other bytes.
MAX_RESENDS = 2
# The shortest time between two progress events of a part, in seconds: an event takes more CPU time than a block.
REPORT_INTERVAL_S = 0.05


class HashedBody(Body, Protocol):
    """A request body with the digest of the bytes that were read from it."""

    digest: PartDigest

    def check(self) -> None:
        """Raise SourceChanged if the bytes were not those that were planned. Also after ``close``."""
        ...


class Content(Protocol):
    """The bytes of one part, which can be sent any number of times."""

    @property
    def part(self) -> Part:
        """The part number, offset and size."""
        ...

    def open(
        self, fresh: Callable[[], PartDigest], *, on_sent: Callable[[int], None], gate: Gate | None
    ) -> HashedBody:
        """Return the bytes as a body; *fresh* creates the digest that hashes them.

        Raises SourceChanged if they are no longer those that were planned.
        """
        ...

    def md5(self, gate: Gate | None) -> str:
        """Compute the MD5 in hex, before anything is sent."""
        ...


class AttemptCounter:
    """Counts how often content was sent: every attempt opens a new body."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, open_body: OpenBody) -> OpenBody:
        """Return a function that opens the same bodies and counts them."""

        def open_and_count() -> Body:
            self.count += 1
            return open_body()

        return open_and_count


# Facts about the store.
_REQUIRES_MD5 = "requires Content-MD5"
_RETURNS_NO_CRC64 = "returns no CRC-64"

SendRequest = Callable[[OpenBody, "str | None"], Stored]
"""Sends one request with a body and a Content-MD5 header (base64, or None)."""


def send_verified(
    content: Content, send: SendRequest, send_options: SendOptions, *, what: object
) -> tuple[Stored, PartDigest]:
    """Send *content* and return the store's response and the digest of the bytes that were read.

    *what* names the content in messages. Raises DataMismatch if the store confirms other bytes three times in a
    row, and any error of the content, the store or the disk.
    """
    part = content.part
    for resend in range(1 + MAX_RESENDS):
        if resend:
            reason = "the store confirmed other bytes than were sent"
            send_options.observe(events.Retried(part.number, resend, reason, 0.0))
        stored, digest = _send_once(content, send, send_options)
        if needs_md5(stored, digest, send_options.digests):
            send_options.learned.add(_RETURNS_NO_CRC64)
            digest.record_md5(content.md5(send_options.read_gate))
        if matches(stored, digest, send_options.digests) is not False:
            send_options.observe(events.PartStored(part.number, part.size))
            return stored, digest
    raise DataMismatch(
        f"{what} arrives changed",
        f"The bytes sent have MD5 {digest.md5} and CRC-64 {digest.crc64}, but the store returned ETag {stored.etag}",
        run_again("check this computer's memory and the proxies on the way to the store"),
    )


def _send_once(content: Content, send: SendRequest, send_options: SendOptions) -> tuple[Stored, PartDigest]:
    """Send the content once; return the response and the digest of the attempt that it confirms.

    Raises SourceChanged if the bytes of that attempt were not the planned ones.
    """
    bodies: list[HashedBody] = []
    part, next_report_s = content.part, float("-inf")

    def report(sent: int) -> None:
        nonlocal next_report_s
        now_s = send_options.monotonic()
        if now_s >= next_report_s or sent == part.size:
            next_report_s = now_s + REPORT_INTERVAL_S
            send_options.observe(events.PartSent(part.number, sent, part.size))

    learned, digests = send_options.learned, send_options.digests
    if digests.crc64_or_md5 and learned.has(_RETURNS_NO_CRC64):
        digests = replace(digests, md5=True)

    def open_body() -> HashedBody:
        bodies.append(content.open(digests.digest, on_sent=report, gate=send_options.gate))
        return bodies[-1]

    if send_options.content_md5 or learned.has(_REQUIRES_MD5):
        stored = send(open_body, _content_md5(content, send_options))
    else:
        try:
            stored = send(open_body, None)
        except DigestRequired:
            stored = send(open_body, _content_md5(content, send_options))
            learned.add(_REQUIRES_MD5)
    bodies[-1].check()
    return stored, bodies[-1].digest


def _content_md5(content: Content, send_options: SendOptions) -> str:
    """Return the value of Content-MD5: a header, so it must be known before the first byte is sent."""
    return as_content_md5(content.md5(send_options.read_gate))


def as_content_md5(md5: str) -> str:
    """Return *md5*, in hex, as the value of Content-MD5."""
    return base64.b64encode(bytes.fromhex(md5)).decode()
