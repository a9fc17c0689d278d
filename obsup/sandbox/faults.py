"""Fault injection: rules that define which fault happens, where, and how often.

A RULE is ``WHAT[=VALUE][,op=OP][,part=N][,key=GLOB][,times=N][,after=N]``. A request that WHAT cannot
affect (a bit flip in a list, a body truncated after its end) does not match and is not counted.

WHAT, rejected before execution:
  error=STATUS:CODE       return this error; with retry-after=SECONDS a Retry-After header, with early=1
                          before the body was read (the connection is then closed)
  drop-request=BYTES      close the connection after this many bytes of the body, without a response
  reset[=BYTES]           the same with a TCP reset
  stall=SECONDS           neither read nor write for this long, then close
  delay=SECONDS           wait this long before executing the request
  expire-token            reject this request's security token, now and in all later requests
  forget-upload           remove the upload: NoSuchUpload in all later requests
WHAT, after execution:
  drop-answer             close the connection instead of responding
  error-after=STATUS:CODE return this error
  truncate-answer         close the connection in the middle of the response
  garble-answer           200 with an HTML page, as captive portals return it
  flip-bit                store the part with one bit flipped, and return the ETag of the stored bytes
  empty-etag              complete: a response without an ETag
  keep-upload             complete: the object is created, but the upload stays open
WHAT, other:
  error-in-200=CODE       complete, copy, abort, part, put, set-retention: 200 with an <Error> body, not executed;
                          done=1: executed
  slow=BYTES_PER_S        receive each body no faster than this (a size: 500K, 1M); the client's socket
                          buffer, some MiB, fills faster
  ignore-condition        initiate, put, complete: If-None-Match and x-oss-forbid-overwrite have no effect
  ignore-encryption       requested encryption has no effect and is not in the responses
  ignore-options          initiate, put: metadata, ACL, tags and all other options have no effect
  exact-uploads           uploads: only those whose key is the whole prefix are listed (MinIO)
  no-dates                uploads: the list has no dates (SeaweedFS)
  virtual-only            a request with the bucket in the path is rejected (Alibaba OSS, Tencent COS)
  only-region=NAME        a V4 signature for another region is rejected; the answer names this one
  equal-parts             complete: rejected unless all parts but the last have the same size (Cloudflare R2)
  ignore-checksums        x-amz-checksum headers have no effect, and no response has one
  obs-checksums           OBS: the checksum that a request sends is checked and returned, as in some regions
  reject-checksums=STATUS requests with an x-amz-checksum (OBS: x-obs-checksum) header are rejected, with 400 or 501
  hide-checksums          no response has a checksum, although it is checked (SSE-C: op=parts; part: only echoed)
  composite-checksums     the checksum of the object is that of the checksums of its parts, although FULL_OBJECT was
                          confirmed
  wrong-checksum          the response has another checksum than the part or object: op=part, complete, head, put
  require-md5             part, put: a request without Content-MD5 is rejected (buckets with a default retention)
  object-lock=SECONDS     the buckets have Object Lock (OBS: WORM), with a default retention of this many seconds in
                          mode COMPLIANCE, or 0 for none; a locked object can neither be replaced nor deleted
  ignore-lock             initiate, put: the headers of a lock have no effect (OBS: older regions)
  hide-lock               head, get: the response does not contain the lock of the object (missing permission)
  hide-encryption         the response does not contain the encryption of the object (MinIO: op=initiate)
  own-etag=BYTES          complete: the ETag is computed over blocks of this size, not over the parts
  empty-list              parts: 200 with an empty list for an upload that does not exist
  plain-keys              parts, uploads, list: keys are neither URL-encoded nor declared to be
  skew=SECONDS            the server's clock is off by this much (may be negative)
  close-idle=SECONDS      close connections that stay idle for this long

WHERE: op = initiate part copy complete abort parts uploads put head get any (or any other operation of the
log); part = N, N-M, or last (a part smaller than another part already stored of its upload); key = a glob.
HOW OFTEN: times = N, or always (inf): default 1, but always for slow, skew, close-idle, and what changes how
the store works (ignore-*, hide-*, *-checksums, require-md5, object-lock, virtual-only, only-region,
equal-parts, exact-uploads, no-dates, own-etag, empty-list, plain-keys); after = N: skip the first N matches.
"""

from __future__ import annotations

import fnmatch
import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from obsup.sandbox.limits import parse_seconds, parse_size

OPERATIONS = frozenset(
    """initiate part copy complete abort parts uploads put head get delete delete-many copy-object list buckets
    head-bucket create-bucket delete-bucket location versioning attributes retention set-retention legal-hold
    set-legal-hold apiversion unknown""".split()  # noqa: SIM905 - a table of names reads better as text
)

_ERRORS = frozenset({"error", "error-after"})
_SIZES = frozenset({"drop-request", "slow", "reset", "own-etag"})
_SECONDS = frozenset({"stall", "delay", "skew", "close-idle", "object-lock"})
# How some stores work, in deviation from their vendors' documentation.
_HABITS = frozenset(
    """ignore-condition ignore-encryption ignore-options hide-encryption ignore-checksums hide-checksums obs-checksums
    composite-checksums require-md5 ignore-lock hide-lock virtual-only equal-parts exact-uploads no-dates empty-list
    plain-keys""".split()  # noqa: SIM905 - a table of names reads better as text
)
_BARE = _HABITS | frozenset(
    """drop-answer truncate-answer garble-answer flip-bit empty-etag expire-token forget-upload keep-upload
    wrong-checksum""".split()  # noqa: SIM905 - a table of names reads better as text
)
_KINDS = _ERRORS | _SIZES | _SECONDS | _BARE | {"error-in-200", "reject-checksums", "only-region"}
_LASTING = _HABITS | {
    *("only-region", "slow", "skew", "close-idle", "own-etag", "reject-checksums", "object-lock")
}
_UPLOADS = frozenset({"part", "copy", "complete", "abort", "parts"})
_BEFALLS = {
    "flip-bit": frozenset({"part", "put"}),
    "empty-etag": frozenset({"complete"}),
    "error-in-200": frozenset({"complete", "copy", "abort", "part", "put", "set-retention"}),
    "keep-upload": frozenset({"complete"}),
    "forget-upload": _UPLOADS,
    "ignore-condition": frozenset({"initiate", "put", "complete"}),
    "ignore-options": frozenset({"initiate", "put"}),
    "own-etag": frozenset({"complete"}),
    "exact-uploads": frozenset({"uploads"}),
    "no-dates": frozenset({"uploads"}),
    "equal-parts": frozenset({"complete"}),
    "composite-checksums": frozenset({"complete", "head", "get"}),
    "wrong-checksum": frozenset({"part", "put", "complete", "head", "get"}),
    "require-md5": frozenset({"part", "put"}),
    "ignore-lock": frozenset({"initiate", "put"}),
    "hide-lock": frozenset({"head", "get"}),
    "empty-list": frozenset({"parts"}),
    "plain-keys": frozenset({"parts", "uploads", "list"}),
    "garble-answer": frozenset({"initiate", "part", "copy", "complete", "parts", "uploads", "put", "list"}),
}
"""The operations that a kind of fault can affect, if not all."""
_OPTIONS = frozenset({"op", "part", "key", "times", "after", "retry-after", "early", "done"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One parsed rule. ``number`` is bytes, bytes per second or seconds, depending on the kind."""

    text: str
    kind: str
    number: float = 0.0
    status: int = 0
    code: str = ""
    operation: str = "any"
    parts: range | None = None
    last_part: bool = False
    key: str | None = None
    times: float = 1
    after: int = 0
    retry_after: str = ""
    early: bool = False
    done: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a request in the protocol."""

    operation: str
    part_number: int | None = None
    key: str = ""
    is_last: bool = False
    body: int = 0
    """Bytes of the body, as announced."""


def parse_fault(rule: str) -> Fault:
    """Parse a RULE of the grammar above. Raises ValueError with the reason."""
    what, *rest = (item.strip() for item in rule.split(","))
    kind, _, value = what.partition("=")
    if kind not in _KINDS:
        raise ValueError(f"fault {rule!r}: {kind!r} is none of {', '.join(sorted(_KINDS))}")
    options = {}
    for item in rest:
        name, equals, text = item.partition("=")
        if name not in _OPTIONS or not equals:
            raise ValueError(f"fault {rule!r}: {item!r} is none of {', '.join(sorted(_OPTIONS))}")
        options[name] = text
    try:
        number, status, code = _parse_value(kind, value)
        first, last = _parse_parts(options.get("part"))
        times = _parse_times(options.get("times"), kind)
        after = int(options.get("after", "0"))
    except ValueError as exc:
        raise ValueError(f"fault {rule!r}: {exc}") from exc
    operation = options.get("op", "any")
    if operation not in OPERATIONS | {"any"}:
        raise ValueError(f"fault {rule!r}: op={operation} is none of any, {', '.join(sorted(OPERATIONS))}")
    return Fault(
        text=rule,
        kind=kind,
        number=number,
        status=status,
        code=code,
        operation=operation,
        parts=range(first, last + 1) if first else None,
        last_part=options.get("part") == "last",
        key=options.get("key"),
        times=times,
        after=after,
        retry_after=options.get("retry-after", ""),
        early=options.get("early") == "1",
        done=options.get("done") == "1",
    )


def applies(fault: Fault, place: Place) -> bool:
    """Return whether *fault* applies to a request at *place*, ignoring how often it has been triggered."""
    if fault.operation not in ("any", place.operation):
        return False
    if place.operation not in _BEFALLS.get(fault.kind, {place.operation}):
        return False
    if fault.kind in ("drop-request", "reset") and place.body < fault.number:
        return False
    if fault.parts is not None and (place.part_number is None or place.part_number not in fault.parts):
        return False
    if fault.last_part and not place.is_last:
        return False
    return fault.key is None or fnmatch.fnmatchcase(place.key, fault.key)


class FaultBook:
    """The active rules, and how often each has been triggered. Thread-safe."""

    def __init__(self, rules: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._entries: list[_Entry] = [_Entry(parse_fault(rule)) for rule in rules]
        self.injected = 0

    def add(self, rule: str) -> None:
        """Add a rule. Raises ValueError."""
        entry = _Entry(parse_fault(rule))
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._entries.clear()

    def strike(self, place: Place) -> Mapping[str, Fault]:
        """Return the faults that apply to a request, at most one per kind, and count them as triggered."""
        struck: dict[str, Fault] = {}
        with self._lock:
            for entry in self._entries:
                fault = entry.fault
                if fault.kind in struck or fault.kind == "close-idle" or not applies(fault, place):
                    continue
                entry.matches += 1
                if fault.after < entry.matches <= fault.after + fault.times:
                    struck[fault.kind] = fault
            self.injected += len(struck)
        return struck

    def idle_s(self) -> float | None:
        """Return the idle time in seconds after which connections are closed, None for never."""
        with self._lock:
            return next((e.fault.number for e in self._entries if e.fault.kind == "close-idle"), None)


@dataclass(slots=True)
class _Entry:
    fault: Fault
    matches: int = 0


def _parse_value(kind: str, value: str) -> tuple[float, int, str]:
    if kind in _ERRORS | {"reject-checksums"}:
        match = re.fullmatch(r"([1-9][0-9]{2})(?::([A-Za-z0-9.]+))?", value)
        if not match:
            raise ValueError(f"{kind} wants STATUS:CODE, such as 503:SlowDown, not {value!r}")
        return 0.0, int(match[1]), match[2] or "InternalError"
    if kind in ("error-in-200", "only-region"):
        return 0.0, 200, value or "InternalError"
    if kind in _BARE:
        if value:
            raise ValueError(f"{kind} takes no value")
        return 0.0, 0, ""
    if kind == "reset" and not value:
        return 0.0, 0, ""
    number = parse_size(value) if kind in _SIZES else parse_seconds(value)
    if number < 0 and kind != "skew":
        raise ValueError(f"{kind} must not be negative")
    if kind in ("slow", "own-etag") and number < 1:
        raise ValueError(f"{kind} wants at least 1 byte")
    return float(number), 0, ""


def _parse_parts(text: str | None) -> tuple[int, int]:
    if text is None or text == "last":
        return 0, 0
    match = re.fullmatch(r"([1-9][0-9]*)(?:-([1-9][0-9]*))?", text)
    if not match:
        raise ValueError(f"part={text}: write N, N-M or last")
    return int(match[1]), int(match[2] or match[1])


def _parse_times(text: str | None, kind: str) -> float:
    if text is None:
        return math.inf if kind in _LASTING else 1
    if text in ("inf", "always"):
        return math.inf
    if not text.isdecimal():
        raise ValueError(f"times={text}: write a number, or always")
    return int(text)
