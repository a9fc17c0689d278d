"""Send the content of one request and verify that the store received it; resend it if not."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import DigestChoice, matches, needs_md5
from obsup.engine.verify.etag_trial import EtagTrial, as_content_md5
from obsup.errors import DataMismatch, DigestRequired, NextStep, run_again
from obsup.local.source.digest import CRC64, Gate, PartDigest
from obsup.model import Checksum, Part, Receipt, Stored
from obsup.store.http.body import Body, BodyDigests, OpenBody
from obsup.store.presigned import NotSigned
from obsup.value import Value

# How often content is sent again after the store confirmed other bytes.
MAX_RESENDS = 2
# The shortest time between two progress events of a part, in seconds: an event takes more CPU time than a block.
REPORT_INTERVAL_S = 0.05


class HashedBody(Body, Protocol):
    """A request body with the digest of the bytes that were read from it."""

    digest: PartDigest

    def check(self) -> None:
        """Raise SourceChanged if the bytes were not those that were planned. Also after ``close``."""


class Content(Protocol):
    """The bytes of one part, which can be sent any number of times."""

    @property
    def part(self) -> Part:
        """The part number, offset and size."""

    def open(
        self, fresh: Callable[[], PartDigest], *, on_sent: Callable[[int], None], gate: Gate | None
    ) -> HashedBody:
        """Return the bytes as a body; *fresh* creates the digest that hashes them.

        Raises SourceChanged if they are no longer those that were planned.
        """

    def md5(self, gate: Gate | None) -> str:
        """Compute the MD5 in hex, before anything is sent."""

    def checksum(self, algorithm: str, gate: Gate | None) -> Checksum | None:
        """Compute the checksum of this *algorithm*, before anything is sent."""


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


# Why content is sent again.
_OTHER_BYTES = "the store confirmed other bytes than were sent"
_NO_DIGEST = "the response has no comparable digest: parts are sent with Content-MD5"
# Why it is not: nothing would show what the store receives.
_NOT_SHOWN = "neither ETags nor Content-MD5 show what the store receives"

CHECK_THE_WAY = run_again("check this computer's memory and the proxies on the way to the store")
# Only with Content-MD5, which no presigned URL of a part has, the store could confirm the part without its ETag.
_NOT_SIGNED = run_again(
    f"{CHECK_THE_WAY.text}; if the bucket encrypts by default, sign in the workers", drop=("--presign",)
)

# Facts about the store.
_REQUIRES_MD5 = "requires Content-MD5"
_RETURNS_NO_CRC64 = "returns no CRC-64"

SendRequest = Callable[[OpenBody, BodyDigests], Stored]
"""Sends one request with a body, and the headers of its digests."""


class Sent(Value):
    """The response, the digest of the bytes that were read, and what was sent with them: checksum, Content-MD5."""

    stored: Stored
    digest: PartDigest
    checksum: Checksum | None = None
    has_md5: bool = False

    @property
    def is_by_etag(self) -> bool:
        """Whether, of what the store returned, only the ETag can be that of other bytes."""
        pairs = ((self.stored.crc64, self.digest.crc64), (self.stored.checksum, self.checksum))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)

    @property
    def agreed_checksum(self) -> Checksum | None:
        """The checksum, unless it is a CRC-64 of OBS: whether the store compares that, only its response shows."""
        return None if self.checksum is None or self.checksum.algorithm == CRC64 else self.checksum

    def receipt(self, part: Part) -> Receipt:
        """Return the receipt of the *part* that was sent."""
        known = (self.digest.md5, self.digest.crc64)
        return Receipt(part.number, part.size, self.stored.etag, *known, checksum=self.agreed_checksum)


def send_verified(
    content: Content, send: SendRequest, send_options: SendOptions, trial: EtagTrial, *, what: object
) -> Sent:
    """Send *content* and return the store's response and the digests of the bytes that were read.

    After a response without a comparable digest, or with an ETag that is not their MD5, the content is sent with
    Content-MD5. If the store accepts that, the *trial* shows whether such an ETag, and Content-MD5, mean anything: an
    object is not published again before that. A presigned URL has no Content-MD5.

    *what* names the content in messages. Raises DataMismatch if the store confirms other bytes three times in a
    row, or if nothing shows what it received, and any error of the content, the store or the disk.
    """
    part, digests, fault, step = content.part, send_options.digests, "", CHECK_THE_WAY
    has_md5 = send_options.content_md5 or trial.has_shown or digests.has_no_response
    for resend in range(1 + MAX_RESENDS):
        if resend:
            send_options.observe(events.Retried(part.number, resend, fault, 0.0))
        try:
            sent = _send_once(content, send, send_options, has_md5=has_md5)
        except NotSigned:
            if fault != _OTHER_BYTES:
                raise
            sent, step = _send_once(content, send, send_options, has_md5=False), _NOT_SIGNED
        stored, digest = sent.stored, sent.digest
        if needs_md5(stored, digest, digests):
            send_options.learned.add(_RETURNS_NO_CRC64)
            digest.record_md5(content.md5(send_options.read_gate))
        fault = _fault_of(sent, digests, trial)
        if not fault:
            send_options.observe(events.PartStored(part.number, part.size))
            return sent
        if fault == _NOT_SHOWN:
            raise _not_shown(what, stored)
        if fault == _NO_DIGEST:
            send_options.learned.add(_REQUIRES_MD5)
        has_md5 = has_md5 or sent.is_by_etag
    raise _arrives_changed(what, sent, trial, step)


def _arrives_changed(what: object, sent: Sent, trial: EtagTrial, step: NextStep) -> DataMismatch:
    stored, digest = sent.stored, sent.digest
    computed = (("MD5", digest.md5), ("CRC-64", digest.crc64), _named(sent.checksum))
    returned = (("ETag", stored.etag), ("CRC-64", stored.crc64), _named(stored.checksum))
    return DataMismatch(
        f"{what} was damaged on the way to the store",
        f"The bytes sent have {_listing(computed)}, but the store returned {_listing(returned)}"
        f"{trial.doubt if sent.is_by_etag else ''}",
        step,
    )


def _fault_of(sent: Sent, digests: DigestChoice, trial: EtagTrial) -> str:
    """Return why the content must be sent again, "" if the store confirmed it or checked it by a sent digest."""
    is_confirmed = matches(sent.stored, sent.digest, digests, sent.checksum)
    if is_confirmed is None and digests.is_any and sent.has_md5:
        return _NOT_SHOWN if trial.accepts_wrong_md5() else ""
    if is_confirmed is None:
        return "" if sent.agreed_checksum is not None or not digests.is_any else _NO_DIGEST
    if is_confirmed or (sent.is_by_etag and sent.has_md5 and trial.shows_opaque_etags()):
        return ""
    return _OTHER_BYTES


def check_confirmed(sent: Sent, digests: DigestChoice, trial: EtagTrial, *, what: object) -> None:
    """Raise DataMismatch if neither the response nor Content-MD5, with which it was *sent*, confirms the content."""
    fault = _fault_of(sent, digests, trial)
    if fault == _NOT_SHOWN:
        step = NextStep("use another store, or upload with --digest none, which verifies nothing here")
        raise _not_shown(what, sent.stored, step)
    if fault:
        raise _arrives_changed(what, sent, trial, CHECK_THE_WAY)


def _not_shown(what: object, stored: Stored, step: NextStep | None = None) -> DataMismatch:
    return DataMismatch(
        f"{what} cannot be verified",
        f"Its ETag {stored.etag} is not a digest, and the store accepts a wrong Content-MD5",
        step or run_again("use another store, or do not verify it", add=("--digest", "none")),
    )


def _named(checksum: Checksum | None) -> tuple[str, str | None]:
    return (checksum.algorithm, checksum.value) if checksum is not None else ("", None)


def _listing(digests: Iterable[tuple[str, object]]) -> str:
    return " and ".join(f"{name} {value}" for name, value in digests if value is not None)


def _send_once(content: Content, send: SendRequest, send_options: SendOptions, *, has_md5: bool) -> Sent:
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

    algorithm = digests.checksum
    checksum = content.checksum(algorithm, send_options.read_gate) if algorithm is not None else None
    try:
        stored, content_md5 = _send_with_digests(
            content, send, open_body, send_options, checksum, has_md5=has_md5
        )
    except DataMismatch:
        # The store rejected the digest in a header: that of other bytes, if the source changed after it was computed.
        if bodies:
            bodies[-1].check()
        raise
    bodies[-1].check()
    digest = bodies[-1].digest
    if checksum is not None and algorithm == CRC64 and digest.crc64 is None and stored.crc64 is not None:
        digest.record_crc64(int(checksum.value))
    _take_confirmed_md5(content_md5, stored, digest)
    return Sent(stored, digest, checksum, bool(content_md5))


def _take_confirmed_md5(content_md5: str, stored: Stored, digest: PartDigest) -> None:
    """Record the Content-MD5 that was sent, if the ETag is the same and no MD5 was computed of the bytes."""
    if not content_md5 or digest.md5 is not None:
        return
    sent_md5 = b64decode(content_md5).hex()
    if stored.etag.lower() == sent_md5:
        digest.record_md5(sent_md5)


def _send_with_digests(
    content: Content,
    send: SendRequest,
    open_body: OpenBody,
    send_options: SendOptions,
    checksum: Checksum | None,
    *,
    has_md5: bool,
) -> tuple[Stored, str]:
    """Send the content with *checksum*, and with Content-MD5 if that is wanted or the store requires it.

    Returns the response, and the Content-MD5 that was sent.
    """
    learned = send_options.learned
    if not has_md5 and not learned.has(_REQUIRES_MD5):
        with suppress(DigestRequired):
            return send(open_body, BodyDigests(checksum=checksum)), ""
    content_md5 = _content_md5(content, send_options)
    stored = send(open_body, BodyDigests(content_md5, checksum))
    if not has_md5:
        learned.add(_REQUIRES_MD5)
    return stored, content_md5


def _content_md5(content: Content, send_options: SendOptions) -> str:
    """Return the value of Content-MD5: a header, so it must be known before the first byte is sent."""
    return as_content_md5(content.md5(send_options.read_gate))
