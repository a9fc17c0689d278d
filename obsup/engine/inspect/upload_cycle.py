"""Check every request of an upload with two tiny parts, and abort it: no object is created."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from msgspec.structs import replace

from obsup import events
from obsup.engine.inspect.finding import Finding, information, run_check
from obsup.engine.job.connection import Connection
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import (
    CHECKSUMS,
    DEFAULT_CHECKSUM,
    DigestChoice,
    choose_digests,
    matches,
)
from obsup.engine.send.content import CHECK_THE_WAY, Sent, check_confirmed
from obsup.engine.upload.abort import abort_fully
from obsup.engine.upload.initiate import ask_for_checksums
from obsup.engine.verify.etag_trial import EtagTrial, as_content_md5
from obsup.errors import BadConfiguration, DataMismatch, NextStep, ObsupError, run_again
from obsup.local.source.buffers import BufferPool
from obsup.local.source.digest import CRC64, PartDigest
from obsup.local.source.memory_part import MemoryPart
from obsup.local.state import rejected_checksums
from obsup.model import Part, Target, Upload, UploadChecksum
from obsup.store.answers.checksums import rejects_checksums
from obsup.store.answers.server_clock import MIN_REPORTED_DIFFERENCE_S, ServerClock
from obsup.store.http.body import BodyDigests
from obsup.units import KIB, exact_size, format_size

PART_SIZES = (64 * KIB, 1 * KIB)
# Clock differences in seconds: one to report, and one with which stores reject requests.
MAX_CLOCK_OFFSET_S, REJECTED_CLOCK_OFFSET_S = 60.0, 900.0


class RequestTimes:
    """An observer that collects the duration of each request, and the offset of this computer's clock.

    ``clock_offset_s`` is positive if this computer is behind the store, None until a response had a date.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = ServerClock(clock)
        self._seconds: list[float] = []
        self.clock_offset_s: float | None = None

    def __call__(self, event: events.Event) -> None:
        """Record one request."""
        if not isinstance(event, events.Requested) or event.status is None:
            return
        self._seconds.append(event.seconds)
        if self.clock_offset_s is not None:
            return
        ahead_s = self._clock.ahead_s(event.date)
        if ahead_s is not None:
            # The date has no fractions, and the response was written about half a round trip ago.
            self.clock_offset_s = 0.5 + event.seconds / 2 - ahead_s

    def now_s(self) -> float:
        """Return the time of the store; that of this computer if no response had a date, or if they hardly differ."""
        offset_s = self.clock_offset_s or 0.0
        is_wrong = abs(offset_s) >= MIN_REPORTED_DIFFERENCE_S
        return self._clock.now().timestamp() + (offset_s if is_wrong else 0.0)

    @property
    def round_trip_s(self) -> float | None:
        """The median duration of the requests in seconds."""
        return median(self._seconds) if self._seconds else None


class UploadCycle:
    """Checks the requests of an upload to *key* in the bucket of *prefix*; *times* observes the connection.

    *sleep* waits that many seconds and returns True if the work was stopped.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: Target,
        *,
        key: str,
        times: RequestTimes,
        sleep: Callable[[float], bool],
    ) -> None:
        self._connection = connection
        self._store = connection.store
        self._prefix = prefix
        self._target = replace(prefix, key=key)
        self._times = times
        self._sleep = sleep
        self._upload: Upload | None = None
        self._sent_parts: list[Sent] = []
        self._digests = choose_digests("auto", connection.store.dialect, encrypted=False)
        self._checksum_of_parts = CRC64 if self._digests.checksum == CRC64 else None
        self._not_aborted: list[Finding] = []
        self._is_rejected = False
        self._has_none = connection.store.dialect.checksums == ()  # the service is known to reject all

    def run(self) -> Iterator[Finding]:
        """Yield the finding of each check. Parts are sent only if the upload could be initiated."""
        listing = run_check("list uploads", self._list_uploads)
        if listing.error is not None:
            detail = f"{listing.detail}; without it neither a lost checkpoint nor gc can find open uploads"
            listing = replace(listing, detail=detail, is_required=False)
        yield listing
        yield self._check_clock()
        initiation = run_check("initiate", self._initiate)
        yield initiation
        if self._upload is not None:
            try:
                yield from self._check_parts(self._upload)
            finally:
                abortion = run_check("abort", partial(self._abort, self._upload))
            yield abortion
            if abortion.error is None and self._sent_parts:
                checksums = run_check("checksums", partial(self._find_checksums, self._upload))
                yield replace(checksums, is_required=False)
                yield from self._not_aborted
        if listing.error is None or self._upload is not None:
            # Otherwise 404 could be that of a missing bucket, or of a web server.
            yield run_check("head object", self._head_object)
        yield from self._describe_limits()

    def _list_uploads(self) -> str:
        count = sum(1 for _ in self._store.list_uploads(self._prefix.bucket, self._prefix.key))
        return f"permitted; {count} open"

    def _initiate(self) -> str:
        self._upload = self._ask(None if self._has_none else DEFAULT_CHECKSUM)
        return f"permitted; {self._target}"

    def _ask(self, algorithm: str | None) -> Upload:
        """Initiate an upload with checksums of *algorithm*, without them if the store does not confirm them."""
        initiated, is_rejected = self._connection.attempts().run(
            lambda: ask_for_checksums(self._store, self._target, {}, algorithm),
            doing=f"initiating {self._target}",
        )
        self._is_rejected = self._is_rejected or is_rejected
        return Upload(self._target, initiated.upload_id, checksum=initiated.checksum)

    def _check_parts(self, upload: Upload) -> Iterator[Finding]:
        for number, size in enumerate(PART_SIZES, start=1):
            finding = run_check(f"part {number}", partial(self._send_part, upload, number, size))
            yield finding
            if finding.error is not None:
                return
        yield run_check("list parts", partial(self._list_parts, upload))
        yield self._describe_verification(upload)

    def _send_part(self, upload: Upload, number: int, size: int) -> str:
        data, fresh = bytearray([number]) * size, PartDigest(md5=True, crc64=True)
        part = MemoryPart(Part(number, 0, size), [data], BufferPool(), is_last=True, digest=fresh)
        content_md5 = as_content_md5(part.md5())
        algorithm = upload.checksum.algorithm if upload.checksum is not None else self._checksum_of_parts
        checksum = part.checksum(algorithm) if algorithm is not None else None
        try:
            stored = self._store.upload_part(upload, number, part.open, BodyDigests(content_md5, checksum))
        except ObsupError as exc:
            if checksum is None or exc.refusal is None or not rejects_checksums(exc.refusal):
                raise
            self._is_rejected = True
            stored = self._store.upload_part(upload, number, part.open, BodyDigests(content_md5))
        sent = Sent(stored, part.hashed(), checksum, has_md5=True)
        if not sent.is_by_etag:
            raise DataMismatch(
                f"part {number} was damaged on the way to the store",
                "The store returned another checksum than that of the bytes that were sent",
                CHECK_THE_WAY,
            )
        self._sent_parts.append(sent)
        return f"permitted; {exact_size(size)}"

    def _list_parts(self, upload: Upload) -> str:
        sizes = [part.size for part in self._store.list_parts(upload)]
        if sizes != list(PART_SIZES):
            raise BadConfiguration(
                f"the store lists parts of {sizes} bytes, but parts of {list(PART_SIZES)} bytes were sent",
                "An upload can be resumed only if the store lists its parts",
                NextStep("report this to the operator of the store"),
            )
        return f"permitted; {len(sizes)} parts"

    def _describe_verification(self, upload: Upload) -> Finding:
        """Return which digest in the responses verifies each part; without one, whether Content-MD5 does."""
        kinds = set.intersection(*map(_kinds_of, self._sent_parts))
        if kinds:
            return Finding("verification", f"each part is verified by {' and '.join(sorted(kinds))}")
        encryption = next((one.stored.sse_kms for one in self._sent_parts if one.stored.sse_kms), None)
        why = f"the bucket encrypts ({encryption})" if encryption else "the ETags are not MD5 digests"
        check = run_check("verification", partial(self._check_content_md5, upload))
        if check.error is not None:
            return check  # the ETags may be digests of damaged parts
        by_mark = "an object is verified by its upload id or token, and its size"
        return replace(check, detail=f"no digest: {why}; {by_mark}")

    def _check_content_md5(self, upload: Upload) -> str:
        """Raise DataMismatch if an upload would: if a part was damaged, or if nothing shows what the store received."""
        connection, digests = self._connection, self._digests.of_upload(upload)
        send_options = SendOptions(
            digests, observe=connection.observe, learned=connection.learned, attempts=connection.attempts
        )
        trial = EtagTrial(self._store, self._target, send_options)
        for number, sent in enumerate(self._sent_parts, start=1):
            if sent.agreed_checksum is None:
                check_confirmed(sent, digests, trial, what=f"part {number}")
        return ""

    def _find_checksums(self, upload: Upload) -> str:
        """Return which checksums the store confirms, and remember whether it rejects the default one.

        Each other one of S3 is asked for with an upload that is aborted, unless the service is known to have none.
        """
        dialect, names = self._store.dialect, []
        is_rejected = self._is_rejected or self._has_none  # not by the other ones, which are asked for below
        if self._is_rejected:
            rejected_checksums.remember(self._target)
        if dialect.headers.checksum is None:
            names = ["CRC-64"] if all(sent.stored.crc64 is not None for sent in self._sent_parts) else []
        elif not self._has_none:
            agreed = [upload.checksum, *map(self._try_out, sorted(CHECKSUMS - {DEFAULT_CHECKSUM}))]
            names = [_described(one) for one in agreed if one is not None]
        if upload.checksum is not None or (names and dialect.headers.checksum is None):
            rejected_checksums.forget(self._target)
            return f"confirmed: {', '.join(names)}"
        confirmed = f"confirmed: {', '.join(names)}; by default, " if names else ""
        missing = "rejects their headers" if is_rejected else "does not confirm them"
        return f"{confirmed}{'' if names else f'none: the store {missing}; '}other digests verify parts and objects"

    def _try_out(self, algorithm: str) -> UploadChecksum | None:
        asked = self._ask(algorithm)
        abortion = run_check("abort", partial(self._abort, asked))
        self._not_aborted += [abortion] if abortion.error is not None else []
        return asked.checksum

    def _abort(self, upload: Upload) -> str:
        try:
            abort_fully(self._store, upload, self._sleep)
        except ObsupError as exc:
            step = NextStep("discard the upload of this check", command=upload.abort_command)
            raise type(exc)(exc.what, exc.why, step, exc.refusal) from exc
        return "permitted; nothing is left"

    def _head_object(self) -> str:
        found = self._store.head_object(self._target)
        return "permitted; the object does not exist, as expected" if found is None else "permitted"

    def _check_clock(self) -> Finding:
        offset_s = self._times.clock_offset_s
        if offset_s is None:
            return information("clock", "the responses of the store have no date")
        direction = "behind" if offset_s > 0 else "ahead of"
        detail = f"this computer is {abs(offset_s):.0f} s {direction} the store"
        if abs(offset_s) <= MAX_CLOCK_OFFSET_S:
            return Finding("clock", detail)
        error = BadConfiguration(
            detail,
            f"Stores reject requests with a difference of more than {REJECTED_CLOCK_OFFSET_S / 60:.0f} min; "
            "obsup corrects its own requests, but signed URLs and other tools do not",
            run_again("set the clock"),
        )
        return Finding("clock", detail, error, is_required=abs(offset_s) > REJECTED_CLOCK_OFFSET_S)

    def _describe_limits(self) -> Iterator[Finding]:
        limits = self._store.dialect.limits
        yield information(
            "limits",
            f"1 to {limits.max_parts} parts of {exact_size(limits.min_part)} to {format_size(limits.max_part)}, "
            f"objects up to {format_size(limits.max_object)}, one request up to {format_size(limits.max_put)}",
        )
        round_trip_s = self._times.round_trip_s
        if round_trip_s is not None:
            yield information("round trip", f"{round_trip_s * 1000:.0f} ms per small request")


def _kinds_of(sent: Sent) -> set[str]:
    """Return which digests in the response verify what was *sent*."""
    stored, digest, kinds = sent.stored, sent.digest, set()
    if stored.checksum is not None:
        kinds.add(stored.checksum.algorithm)
    if stored.crc64 is not None and matches(stored, digest, DigestChoice(md5=False, crc64=True)):
        kinds.add("CRC-64")
    if stored.etag.lower() == digest.md5:
        kinds.add("ETag, the part's MD5")
    return kinds


def _described(agreed: UploadChecksum) -> str:
    return (
        f"{agreed.algorithm} ({'of the full object' if agreed.is_full_object else 'of those of the parts'})"
    )
