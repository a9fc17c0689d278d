"""The whole cycle on two tiny parts, step by step, each told apart; nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from msgspec.structs import replace

from obsup import events
from obsup.dialects.addressing import locate
from obsup.dialects.registry import DIALECTS
from obsup.engine.job.connection import Connection, StoreSettings
from obsup.engine.proof.part_proof import DigestChoice, matches
from obsup.engine.upload.abort import abort_fully
from obsup.errors import BadConfiguration, NetworkError, ObsupError
from obsup.local.source.digest import PartDigest
from obsup.model import Stored, Target, Upload
from obsup.store.answers.failure_table import as_error
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http import probe
from obsup.store.http.settings import ConnectionSettings
from obsup.units import KIB, exact_size, format_duration, format_size
from obsup.value import Value

PART_SIZES = (64 * KIB, 1 * KIB)
# A clock that is this far off, in seconds, is refused by the stores; beyond the first it is worth a word.
CLOCK_WORTH_A_WORD_S, CLOCK_REFUSED_S = 60.0, 900.0


class Finding(Value):
    """One line of the report. ``error`` is why it failed; obsup can do without what is not ``is_needed``.

    Without ``is_judged`` it only tells.
    """

    name: str
    told: str
    error: ObsupError | None = None
    is_needed: bool = True
    is_judged: bool = True


def tried(name: str, call: Callable[[], str]) -> Finding:
    """Return what *call* tells, or why it failed."""
    try:
        return Finding(name, call())
    except NetworkError as exc:
        return Finding(name, str(exc), as_error(exc, doing=f"reaching the store ({name})"))
    except ObsupError as exc:
        return Finding(name, exc.what, exc)


def examine_line(settings: StoreSettings, bucket: str) -> Iterator[Finding]:
    """Yield what there is before any request: the endpoint, its name, the line, TLS. The first failure ends it."""
    place = [
        settings.dialect.title,
        f"region {settings.region}" if settings.region else "",
        settings.addressing,
    ]
    yield Finding("endpoint", f"{settings.endpoint} ({', '.join(filter(None, place))})", is_judged=False)
    address = locate(settings.endpoint, bucket, None, settings.addressing)
    url, line = f"{address.scheme}://{address.host}", settings.line
    proxy = probe.find_proxy(url, line)
    if proxy is not None:
        yield Finding("line", f"through the proxy {proxy}", is_judged=False)
        return
    checks: list[tuple[str, Callable[[], str]]] = [
        ("name", lambda: ", ".join(probe.resolve(url))),
        ("line", lambda: f"TCP in {probe.measure(url, line.connect_timeout_s) * 1000:.1f} ms"),
    ]
    if address.scheme == "https":
        checks.append(("TLS", lambda: _describe_tls(url, line)))
    for name, check in checks:
        finding = tried(name, check)
        yield finding
        if finding.error is not None:
            return
    if address.scheme == "http":
        yield Finding("TLS", "none: what is sent can be read on its way", is_judged=False)


def _describe_tls(url: str, line: ConnectionSettings) -> str:
    found = probe.encrypt(url, line)
    until = f", certificate valid until {found.valid_until}" if found.valid_until else ""
    unchecked = "" if line.verify_tls else ", certificate not checked"
    return f"{found.version}, {found.cipher}{until}{unchecked}"


def describe_credentials(connection: Connection, now_s: float) -> Finding:
    """Tell whose keys sign, and for how long."""
    credentials = connection.recovery.credentials()
    expires = credentials.expires
    until = "" if expires is None else f", for another {format_duration(max(0.0, expires - now_s))}"
    return Finding("credentials", f"from {credentials.origin}{until}")


def describe_signature(
    settings: StoreSettings, bucket: str, open_store: Callable[[StoreSettings], Connection]
) -> Iterator[Finding]:
    """Tell which other signature the store takes, where there is one."""
    found = find_signature(settings, bucket, open_store)
    if found is not None:
        yield Finding("signature", f"with --signature {found} the store takes requests", is_judged=False)


def find_signature(
    settings: StoreSettings, bucket: str, open_store: Callable[[StoreSettings], Connection]
) -> str | None:
    """Return another signature of this provider that the store takes, or None."""
    for dialect in DIALECTS.values():
        if dialect.provider != settings.provider or dialect.signature == settings.dialect.signature:
            continue
        if dialect.needs_region and not settings.region:
            continue
        store = open_store(replace(settings, signature=dialect.signature)).store
        try:
            next(iter(store.list_uploads(bucket, "")), None)
        except ObsupError:
            continue
        return dialect.signature
    return None


class SmallBody:
    """A few bytes as the body of a request."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._left = data

    def read(self, _amount: int = -1, /) -> bytes:
        """Return all that is left."""
        data, self._left = self._left, b""
        return data

    def close(self) -> None:
        """Nothing is open."""


class Listener:
    """Hears the requests: how long each took, and what the store's clock says."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = ServerClock(clock)
        self.seconds: list[float] = []
        self.clock_offset_s: float | None = None

    def __call__(self, event: events.Event) -> None:
        """Take one answer in."""
        if not isinstance(event, events.Requested) or event.status is None:
            return
        self.seconds.append(event.seconds)
        if self.clock_offset_s is not None:
            return
        ahead_s = self._clock.ahead_s(event.date)
        if ahead_s is not None:
            # The answer was written about half its way ago, and its date has no fractions.
            self.clock_offset_s = 0.5 + event.seconds / 2 - ahead_s

    @property
    def round_trip_s(self) -> float | None:
        """The middle of how long small requests took, in seconds."""
        return median(self.seconds) if self.seconds else None


class Doctor:
    """Examines one bucket through *connection*, whose events *listener* hears.

    *key* is that of the upload that is tried; *sleep* waits, and returns True where the work is to stop.
    """

    def __init__(
        self,
        connection: Connection,
        place: Target,
        *,
        key: str,
        listener: Listener,
        sleep: Callable[[float], bool],
    ) -> None:
        self._connection = connection
        self._store = connection.store
        self._place = place
        self._target = Target(place.provider, place.endpoint, place.bucket, key)
        self._listener = listener
        self._sleep = sleep
        self._upload: Upload | None = None
        self._stored: list[tuple[Stored, bytes]] = []

    def examine(self) -> Iterator[Finding]:
        """Yield what is found, as it is found. Without an upload there are no parts to try."""
        listed = tried("list uploads", self._list_uploads)
        without = (
            "" if listed.error is None else "; without it a lost checkpoint is not found again, nor by gc"
        )
        yield replace(listed, told=listed.told + without, is_needed=False)
        yield self._clock()
        begun = tried("initiate", self._initiate)
        yield begun
        if begun.error is None:
            try:
                yield from self._parts()
            finally:
                aborted = tried("abort", self._abort)
            yield aborted
        yield tried("look", self._look)
        yield from self._numbers()

    def _list_uploads(self) -> str:
        count = sum(1 for _ in self._store.list_uploads(self._place.bucket, self._place.key))
        return f"permitted; {count} open"

    def _initiate(self) -> str:
        upload_id = self._connection.attempts().run(
            lambda: self._store.initiate(self._target, {}), doing=f"initiating {self._target}"
        )
        self._upload = Upload(self._target, upload_id)
        return f"permitted; {self._target}"

    def _parts(self) -> Iterator[Finding]:
        assert self._upload is not None
        upload = self._upload
        for number, size in enumerate(PART_SIZES, start=1):
            finding = tried(f"part {number}", partial(self._send, upload, number, size))
            yield finding
            if finding.error is not None:
                return
        yield tried("list parts", lambda: self._list_parts(upload))
        yield self._meaning()

    def _send(self, upload: Upload, number: int, size: int) -> str:
        data = bytes([number]) * size
        stored = self._store.upload_part(upload, number, lambda: SmallBody(data))
        self._stored.append((stored, data))
        return f"permitted; {exact_size(size)}"

    def _list_parts(self, upload: Upload) -> str:
        sizes = [part.size for part in self._store.list_parts(upload)]
        if sizes != list(PART_SIZES):
            raise BadConfiguration(
                f"the store lists parts of {sizes} bytes, and was sent {list(PART_SIZES)}",
                "resuming asks the store what it holds",
                "tell whoever runs the store",
            )
        return f"permitted; {len(sizes)} parts"

    def _meaning(self) -> Finding:
        """Tell what the store's answers prove."""
        kinds = set()
        for stored, data in self._stored:
            digest = PartDigest(md5=True, crc64=stored.crc64 is not None)
            digest.update(data)
            if stored.crc64 is not None and matches(stored, digest, DigestChoice(md5=False, crc64=True)):
                kinds.add("CRC-64")
            if stored.etag.lower() == digest.md5:
                kinds.add("ETag, the part's MD5")
        if kinds:
            return Finding("proof", f"each part is proved by {' and '.join(sorted(kinds))}")
        encrypted = next((stored.sse_kms for stored, _ in self._stored if stored.sse_kms), None)
        why = f"the bucket encrypts ({encrypted})" if encrypted else "its ETags are no MD5s"
        return Finding("proof", f"no digest: {why}; an object is proved by its upload id or token, and size")

    def _abort(self) -> str:
        assert self._upload is not None
        abort_fully(self._store, self._upload, self._sleep)
        return "permitted; nothing is left"

    def _look(self) -> str:
        found = self._store.head_object(self._target)
        return "permitted; the object is not there, as it should be" if found is None else "permitted"

    def _clock(self) -> Finding:
        offset_s = self._listener.clock_offset_s
        if offset_s is None:
            return Finding("clock", "the store does not tell the time", is_judged=False)
        ahead = "behind" if offset_s > 0 else "ahead of"
        told = f"this computer is {abs(offset_s):.0f} s {ahead} the store"
        if abs(offset_s) <= CLOCK_WORTH_A_WORD_S:
            return Finding("clock", told)
        error = BadConfiguration(
            told,
            f"stores refuse requests that are more than {CLOCK_REFUSED_S / 60:.0f} min off; obsup corrects itself, "
            "signed URLs and other tools do not",
            "set the clock",
        )
        return Finding("clock", told, error, is_needed=abs(offset_s) > CLOCK_REFUSED_S)

    def _numbers(self) -> Iterator[Finding]:
        limits = self._store.dialect.limits
        yield Finding(
            "limits",
            f"1 to {limits.max_parts} parts of {exact_size(limits.min_part)} to {exact_size(limits.max_part)}, "
            f"objects up to {format_size(limits.max_object)}, one request up to {exact_size(limits.max_put)}",
            is_judged=False,
        )
        round_trip_s = self._listener.round_trip_s
        if round_trip_s is not None:
            yield Finding("round trip", f"{round_trip_s * 1000:.0f} ms a small request", is_judged=False)


def recommend(connection: Connection, round_trip_s: float | None) -> dict[str, str | int]:
    """Return the settings that say what was found to work, as keys of config.toml.

    A line with a long way is filled by more, larger parts: *round_trip_s* is seconds.
    """
    settings, dialect = connection.settings, connection.store.dialect
    found: dict[str, str | int] = {
        "endpoint": settings.endpoint,
        "provider": settings.provider,
        "signature": dialect.signature,
    }
    if settings.region:
        found["region"] = settings.region
    found["addressing"] = settings.addressing
    is_far = round_trip_s is not None and round_trip_s > 0.05
    found["part_size"] = "32M" if is_far else "16M"
    found["jobs"] = 16 if is_far else 8
    return found
