"""The body of a request: read in blocks, decoded, hashed, and checked against the headers."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from obsup.sandbox.refusals import ConnectionLost, Refused
from obsup.sandbox.vendors import Vendor
from obsup.sandbox.wire.chunks import ChunkedStream, chunk_size
from obsup.sandbox.wire.digests import Digest
from obsup.sandbox.wire.request import Request

BLOCK = 256 * 1024
_UNKNOWN = 1 << 62
_CHECKSUMS = ("crc32", "crc32c", "sha1", "sha256", "crc64nvme", "crc64ecma")


class Body:
    """The bytes after the headers. ``received`` counts bytes on the wire."""

    def __init__(
        self,
        stream: io.BufferedIOBase,
        length: int,
        *,
        before_first_read: Callable[[], None] = lambda: None,
        after_read: Callable[[int], None] = lambda _: None,
        block: int = BLOCK,
    ) -> None:
        """*length*: bytes on the wire. *after_read* is called with the bytes received so far and may raise.

        A ChunkedStream has its own end marker: *length* is then only the announced length.
        """
        self.length = length
        self._chunked = stream if isinstance(stream, ChunkedStream) else None
        self.received = 0
        self._stream = stream
        self._before_first_read = before_first_read
        self._after_read = after_read
        self._block = block
        self._started = False

    @property
    def left(self) -> int:
        """The number of bytes not yet read."""
        if self._chunked is not None:
            return 0 if self._chunked.is_at_end else _UNKNOWN
        return self.length - self.received

    def blocks(self, size: int | None = None) -> Iterator[memoryview]:
        """Yield the next *size* bytes (all that is left by default) in one reused buffer.

        Raises ConnectionLost if the client disconnects early.
        """
        wanted = self.left if size is None else size
        if wanted > self.left:
            raise Refused(400, "IncompleteBody", "The chunks are larger than the Content-Length.")
        buffer = memoryview(bytearray(min(self._block, max(wanted, 1))))
        while wanted:
            self._start()
            count = self._stream.readinto(buffer[: min(wanted, len(buffer))]) or 0
            if not count and not self.left:
                return
            self._count(count)
            wanted -= count
            yield buffer[:count]

    def line(self) -> bytes:
        """Return the next line of a chunked body without its end."""
        self._start()
        line = self._stream.readline(min(self.left, 65536))
        if line or self.left:
            self._count(len(line))
        return line.rstrip(b"\r\n")

    def read_all(self, limit: int) -> bytes:
        """Return the whole body. Raises Refused (400 MalformedXML) if it is longer than *limit*."""
        if self.left > limit:
            raise Refused(400, "MalformedXML", f"The body is longer than {limit} bytes.")
        return b"".join(bytes(block) for block in self.blocks())

    def drain(self, limit: int) -> bool:
        """Read and discard the rest; return False if it is longer than *limit*."""
        if self._chunked is None and self.left > limit:
            return False
        return all(self.received <= limit + self.length for _ in self.blocks())

    @property
    def is_untouched(self) -> bool:
        """Return whether nothing was read yet (the client may wait for 100 Continue)."""
        return not self._started

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._before_first_read()

    def _count(self, count: int) -> None:
        if not count:
            raise ConnectionLost(f"the client left after {self.received} of {self.length} bytes")
        self.received += count
        self._after_read(self.received)


class Expected:
    """Checksums from the headers, compared when the body is complete."""

    def __init__(
        self,
        request: Request,
        vendor: Vendor,
        *,
        with_crc64: bool,
        algorithm: str = "",
        has_checksums: bool = True,
    ) -> None:
        """*has_checksums*: the store knows checksum headers.

        Raises Refused (400): InvalidDigest if Content-MD5 is malformed, InvalidRequest for two checksums."""
        self._vendor = vendor
        self._md5 = _read_content_md5(request)
        sha256 = request.header("x-amz-content-sha256")
        self._sha256 = sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else ""
        self.checksums = {
            name: request.header(header)
            for name in _CHECKSUMS
            if has_checksums and request.has_header(header := vendor.header(f"checksum-{name}"))
        }
        self._has_checksums = has_checksums
        self._trailer = request.header("x-amz-trailer").lower().removeprefix("x-amz-checksum-")
        self._check_number()
        wanted = {name for name in (*self.checksums, self._trailer, algorithm) if name in _CHECKSUMS}
        if with_crc64 or "crc64ecma" in self.checksums:
            wanted.add("crc64")
        if self._sha256:
            wanted.add("sha256")
        self.digests = frozenset(wanted)

    @property
    def algorithm(self) -> str:
        """The algorithm of S3's checksum that the request has or announces; empty for none."""
        named = [name for name in (*self.checksums, self._trailer) if name and name != "crc64ecma"]
        return named[0] if named else ""

    @property
    def is_checked(self) -> bool:
        """Return whether the request has a digest of its body, other than the payload hash of the signature."""
        return self._md5 is not None or bool(self.checksums or self._trailer)

    def add_trailers(self, trailers: dict[str, str]) -> None:
        """Add the checksums from trailers. Raises Refused (400 MalformedTrailerError) unless they are as announced."""
        found = {name.removeprefix("x-amz-checksum-"): value for name, value in trailers.items()}
        if set(found) != {self._trailer} - {""}:
            message = f"The request announced the trailer {self._trailer!r}, and sent {sorted(found)}."
            raise Refused(400, "MalformedTrailerError", message)
        if self._has_checksums:
            self.checksums.update(found)
            self._check_number()

    def check(self, digest: Digest) -> None:
        """Raise Refused (400): BadDigest (OSS InvalidDigest), XAmzContentSHA256Mismatch."""
        if self._md5 is not None and self._md5 != digest.md5:
            message = "The Content-MD5 you specified did not match what we received."
            raise Refused(400, self._vendor.digest_mismatch, message)
        if self._sha256 and self._sha256 != digest.sha256_hex:
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise Refused(400, "XAmzContentSHA256Mismatch", message)
        for name, value in self.checksums.items():
            computed = _computed(digest, name)
            if computed != value:
                raise Refused(400, "BadDigest", f"The {name} you specified did not match: {computed}.")

    def _check_number(self) -> None:
        if len(self.checksums.keys() - {"crc64ecma"}) > 1:
            message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            raise Refused(400, "InvalidRequest", message)

    def headers(self, stored: Digest) -> dict[str, str]:
        """Return the headers of the checksums that were sent, with the values of what is *stored*."""
        return {self._vendor.header(f"checksum-{name}"): _computed(stored, name) for name in self.checksums}


def _computed(digest: Digest, name: str) -> str:
    return str(digest.crc64) if name == "crc64ecma" else digest.base64_of(name) or ""


def receive(body: Body, request: Request, target: Path | None, expected: Expected, *, flip: bool) -> Digest:
    """Receive *body* into *target* (None: nowhere), check it, and return the digest of what is stored.

    With *flip* one bit is changed before it is written: the received body passes its checks, but the stored bytes and
    their digest differ.
    """
    arrived = Digest(expected.digests)
    stored = Digest(expected.digests) if flip else arrived
    with Path(target or os.devnull).open("wb") as output:
        for block in _decoded(body, request, expected):
            arrived.update(block)
            if flip:
                if not stored.size:
                    block[0] ^= 1
                stored.update(block)
            output.write(block)
    _check_decoded_length(request, arrived)
    expected.check(arrived)
    return stored


def is_aws_chunked(request: Request) -> bool:
    """Return whether the body uses aws-chunked encoding; its chunk signatures are not checked."""
    return request.header("x-amz-content-sha256").startswith("STREAMING-")


def _decoded(body: Body, request: Request, expected: Expected) -> Iterator[memoryview]:
    if not is_aws_chunked(request):
        yield from body.blocks()
        return
    while True:
        size = chunk_size(body.line())
        if not size:
            break
        yield from body.blocks(size)
        body.line()
    trailers = {}
    while body.left and (line := body.line()):
        name, _, value = line.decode("ascii", "replace").partition(":")
        if name.startswith("x-amz-checksum-"):
            trailers[name] = value.strip()
    expected.add_trailers(trailers)


def _check_decoded_length(request: Request, digest: Digest) -> None:
    promised = request.header("x-amz-decoded-content-length")
    if is_aws_chunked(request) and promised != str(digest.size):
        message = f"x-amz-decoded-content-length is {promised!r}, the chunks hold {digest.size} bytes."
        raise Refused(400, "IncompleteBody", message)


def _read_content_md5(request: Request) -> bytes | None:
    text = request.header("content-md5")
    if not request.has_header("content-md5"):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 16:
        raise Refused(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
    return raw
