"""``upload_file`` accepts any object with a ``read`` method."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import random
import tarfile
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import requests
import urllib3

from obsup.api import initiate_upload, upload_file, upload_part
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.errors import (
    DataMismatch,
    Interrupted,
    LocalFailure,
    ObsupError,
    SourceChanged,
    SourceUnreadable,
    WrongUsage,
)
from obsup.local.source.expectation import Expectation
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB
from tests.doubles.scripted_server import Reply, ScriptedServer, response

PART = 100 * KIB
DATA = random.Random(1).randbytes(350_000)
Upload = Callable[..., Result]


@pytest.fixture
def upload(sandbox: Sandbox) -> Upload:
    """``upload_file`` to bucket/key of the sandbox, in small parts."""

    def run(source: Any, **options: Any) -> Result:
        keys = Credentials(sandbox.access_key, sandbox.secret_key)
        settings = {"endpoint": sandbox.endpoint, "credentials": keys, "part_size": PART, **options}
        return upload_file(source, "bucket/key", **settings)

    return run


class MinimalFile:
    """An object with ``read``, and nothing else."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        """Return at most 1000 bytes."""
        return self._file.read(min(size, 1000) if size >= 0 else size)


def readables(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return how to open DATA, each way."""
    (folder / "file").write_bytes(DATA)
    (folder / "file.gz").write_bytes(gzip.compress(DATA))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.add(folder / "file", "member")
    tar.seek(0)

    def write_all(descriptor: int) -> None:
        with os.fdopen(descriptor, "wb") as file:
            file.write(DATA)

    def pipe() -> Any:
        read, write = os.pipe()
        threading.Thread(target=write_all, args=(write,)).start()
        return os.fdopen(read, "rb")

    return {
        "BytesIO": lambda: io.BytesIO(DATA),
        "file": lambda: (folder / "file").open("rb"),
        "unbuffered": lambda: (folder / "file").open("rb", buffering=0),
        "gzip": lambda: gzip.open(folder / "file.gz"),
        "tar": lambda: tarfile.open(fileobj=tar).extractfile("member"),
        "bare": lambda: MinimalFile(DATA),
        "pipe": pipe,
    }


@pytest.mark.parametrize("kind", ["BytesIO", "file", "unbuffered", "gzip", "tar", "bare", "pipe"])
def test_every_kind_of_readable_object(upload: Upload, sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    """A file, memory, a pipe, a decompressor: the uploaded object has its bytes, and it is closed."""
    source = readables(tmp_path)[kind]()
    result = upload(source)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA
    assert (result.size, result.parts, result.sent_parts, result.verified) == (350_000, 4, 4, "etag")
    assert getattr(source, "closed", True)


def test_reading_starts_at_the_current_position_and_close_is_optional(
    upload: Upload, sandbox: Sandbox
) -> None:
    """close=False leaves the object open."""
    source = io.BytesIO(b"header" + DATA)
    source.seek(6)
    upload(source, close=False)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA
    assert source.tell() == len(DATA) + 6


def test_a_spooled_file_stays_in_memory(upload: Upload, sandbox: Sandbox) -> None:
    """Its descriptor is not requested, which would write it to disk."""
    with tempfile.SpooledTemporaryFile() as source:
        source.write(DATA)
        source.seek(0)
        upload(source, close=False)
        assert not vars(source)["_rolled"]
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA


@pytest.mark.parametrize("failing", ["connect", "order", "store", "source"])
def test_it_is_closed_after_every_failure(upload: Upload, sandbox: Sandbox, failing: str) -> None:
    """Before the first byte and after it."""
    source = io.BytesIO(DATA)
    options: dict[str, Any] = {}
    if failing == "connect":
        options = {"endpoint": "nonsense://"}
    elif failing == "order":
        options = {"parts": 3}
    elif failing == "store":
        sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    else:
        options = {"expect": Expectation(size=3)}
    with pytest.raises(ObsupError):
        upload(source, **options)
    assert source.closed


def test_no_byte_is_read_twice(upload: Upload, sandbox: Sandbox) -> None:
    """Retries are sent from memory."""
    sandbox.add_fault("drop-request=1000,op=part,part=2")
    sandbox.add_fault("flip-bit,op=part,part=1")

    class CountingFile(MinimalFile):
        """Counts the bytes that are read."""

        count = 0

        def read(self, size: int = -1, /) -> bytes:
            """Count."""
            block = super().read(size)
            self.count += len(block)
            return block

    source = CountingFile(DATA)
    upload(source)
    assert source.count == len(DATA)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA


def test_exceptions_of_the_object_reach_the_caller(upload: Upload, sandbox: Sandbox) -> None:
    """Half a stream is not published."""

    class FailingFile(MinimalFile):
        """Fails in the middle."""

        def read(self, size: int = -1, /) -> bytes:
            """Read, or fail."""
            if self._file.tell() > 250_000:
                raise KeyError("out of records")
            return super().read(size)

    with pytest.raises(KeyError, match="out of records"):
        upload(FailingFile(DATA))
    assert "complete" not in [one.operation for one in sandbox.requests]


def open_with_requests(url: str) -> Any:
    """Return the raw response, which requests itself would decode."""
    return requests.get(url, stream=True, timeout=60).raw


def open_with_urllib3(url: str) -> Any:
    """Return a response that decodes its content."""
    return urllib3.PoolManager().request("GET", url, preload_content=False)


OPENERS: dict[str, Callable[[str], Any]] = {
    "urllib": urlopen,
    "requests": open_with_requests,
    "urllib3": open_with_urllib3,
}


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA)


def reply_of(data: bytes, headers: str, *, sent: int | None = None) -> Reply:
    """Return a response with *data*, of which only *sent* bytes arrive."""
    head = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode()
    return Reply([head + data[:sent]], close=True)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("sent", [0, 50_000, 250_000, len(DATA) - 1])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_response_that_ends_early_is_not_published(
    upload: Upload, sandbox: Sandbox, opener: str, sent: int, is_chunked: bool
) -> None:
    """The server closes the connection; its Content-Length is a promise, and so is the last chunk."""
    headers, body = f"Content-Length: {len(DATA)}", DATA
    if is_chunked:
        headers, body = "Transfer-Encoding: chunked", CHUNKED
    with ScriptedServer(lambda _: reply_of(body, headers, sent=sent)) as server:
        source = OPENERS[opener](server.endpoint)
        with pytest.raises((DataMismatch, LocalFailure), match="the file object"):
            upload(source)
    assert not {"put", "complete"} & {one.operation for one in sandbox.requests}


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("kind", ["length", "chunked", "until-close", "gzip"])
def test_a_complete_response(upload: Upload, sandbox: Sandbox, opener: str, kind: str) -> None:
    """Of known or unknown length; a length counts the bytes before they are decoded."""
    packed = gzip.compress(DATA)
    reply = {
        "length": reply_of(DATA, f"Content-Length: {len(DATA)}"),
        "chunked": reply_of(CHUNKED, "Transfer-Encoding: chunked"),
        "until-close": reply_of(DATA, "Connection: close"),
        "gzip": reply_of(packed, f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}"),
    }[kind]
    with ScriptedServer(lambda _: reply) as server:
        upload(OPENERS[opener](server.endpoint))
    expected = packed if kind == "gzip" and opener != "urllib3" else DATA
    assert sandbox.object_path("bucket", "key").read_bytes() == expected


class StatingFile(MinimalFile):
    """States its size in one attribute."""

    def __init__(self, data: bytes, **attributes: object) -> None:
        super().__init__(data)
        vars(self).update(attributes)


class GenerousFile(io.BytesIO):
    """Returns more than was asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return one byte more."""
        return super().read(-1 if size is None else size) + b"!"


def stating(name: str, size: int) -> StatingFile:
    """Return DATA as an object that states *size* in the attribute *name*, or as its ``len()``."""
    if name == "len()":
        kind: type[StatingFile] = type("SizedFile", (StatingFile,), {"__len__": lambda _: size})
        return kind(DATA)
    return StatingFile(DATA, **{name: {"Content-Length": str(size)} if name == "headers" else size})


SIZES = ("length", "total", "size", "headers", "content_length", "nbytes", "len", "len()")


@pytest.mark.parametrize("stated", [1, 100_000, len(DATA) - 1, len(DATA) + 1, 10**9])
@pytest.mark.parametrize("name", SIZES)
def test_a_stated_size_is_a_promise(upload: Upload, sandbox: Sandbox, name: str, stated: int) -> None:
    """Fewer or more bytes are an error."""
    with pytest.raises(DataMismatch, match=r"ended \d+ bytes early|returned more bytes"):
        upload(stating(name, stated))
    assert not {"put", "complete"} & {one.operation for one in sandbox.requests}


@pytest.mark.parametrize(
    ("name", "stated"), [*((name, len(DATA)) for name in SIZES), ("content_length", 0), ("len", -1)]
)
def test_a_right_size_and_one_that_states_nothing(
    upload: Upload, sandbox: Sandbox, name: str, stated: int
) -> None:
    """A content_length of 0 is that of a file in a form without one."""
    upload(stating(name, stated))
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA


def test_a_stated_size_of_an_object_that_was_read_before(upload: Upload, sandbox: Sandbox) -> None:
    """Only the bytes from its position on count."""

    class PositionedFile(StatingFile):
        """Shows its position."""

        def tell(self) -> int:
            """Return it."""
            return self._file.tell()

    source = PositionedFile(DATA, length=len(DATA))
    source.read(1000)
    upload(source)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA[1000:]


def test_a_part_of_an_object_that_ends_early(sandbox: Sandbox) -> None:
    """The last part may be shorter than part_size, but not than the object states."""
    keys = Credentials(sandbox.access_key, sandbox.secret_key)
    settings: dict[str, Any] = {"endpoint": sandbox.endpoint, "credentials": keys}
    upload_id = initiate_upload("bucket/key", **settings)
    settings |= {"upload_id": upload_id, "part_size": 2 * len(DATA)}
    upload_part(StatingFile(DATA, length=len(DATA)), "bucket/key", 1, **settings)
    with pytest.raises(DataMismatch, match="ended 1 bytes early"):
        upload_part(StatingFile(DATA, length=len(DATA) + 1), "bucket/key", 2, **settings)
    assert [one.part_number for one in sandbox.requests if one.operation == "part"] == [1]


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_that_changes_while_it_is_read_is_not_published(
    upload: Upload, sandbox: Sandbox, tmp_path: Path, buffering: int
) -> None:
    """An open file can be modified like a named one."""
    path = tmp_path / "file"
    path.write_bytes(DATA)

    class ChangingFile:
        """Is modified after the first part was read."""

        def __init__(self) -> None:
            self._file = path.open("rb", buffering=buffering)
            self.fileno, self.close = self._file.fileno, self._file.close

        def read(self, size: int = -1, /) -> bytes:
            """Write to the file, then read."""
            if self._file.tell() > PART:
                with path.open("r+b") as file:
                    file.write(b"another content")
                os.utime(path, ns=(0, 0))
            return self._file.read(size)

    with pytest.raises(SourceChanged, match="changed while it was read"):
        upload(ChangingFile())
    assert not {"put", "complete"} & {one.operation for one in sandbox.requests}


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (lambda _: io.StringIO("text"), WrongUsage, "open as text"),
        (lambda folder: (folder / "out").open("wb"), SourceUnreadable, "cannot be read"),
        (lambda _: GenerousFile(DATA), SourceUnreadable, r"returned \d+ bytes from read"),
    ],
    ids=["text", "for writing", "too much"],
)
def test_an_invalid_source(
    upload: Upload, tmp_path: Path, source: Callable[[Path], Any], error: type[ObsupError], message: str
) -> None:
    """One clear error, and it is closed."""
    opened = source(tmp_path)
    with pytest.raises(error, match=message):
        upload(opened)
    assert opened.closed


def test_progress_of_an_object(upload: Upload) -> None:
    """The callback gets no total; the last call has all bytes."""
    progress_calls: list[tuple[int, int | None, float]] = []
    upload(io.BytesIO(DATA), progress=lambda *values: progress_calls.append(values))
    assert {total for _, total, _ in progress_calls} == {None}
    assert progress_calls[-1][0] == len(DATA)


def test_a_stop_ends_the_upload_while_a_read_blocks(upload: Upload, sandbox: Sandbox) -> None:
    """A read that never returns does not block the caller."""
    released, stop = threading.Event(), StopSignal()

    class BlockingFile(MinimalFile):
        """Returns a part and a half, then blocks; the stop comes while it does."""

        def read(self, size: int = -1, /) -> bytes:
            """Read, or block until the test ends."""
            if self._file.tell() > 1.5 * PART:
                stop.request_stop(Interrupted("stopped by the test"))
                released.wait(60)
            return super().read(size)

    try:
        with pytest.raises(Interrupted):
            upload(BlockingFile(DATA), stop=stop)
    finally:
        released.set()
    assert "complete" not in [one.operation for one in sandbox.requests]


def test_a_single_request_has_a_content_md5(upload: Upload) -> None:
    """The store checks the bytes before they replace the old object."""
    md5 = hashlib.md5(b"better")
    with ScriptedServer(lambda _: response(headers={"ETag": f'"{md5.hexdigest()}"'})) as server:
        upload(io.BytesIO(b"better"), endpoint=server.endpoint)
    assert server.last.body == b"better"
    assert server.last.header("content-md5") == base64.b64encode(md5.digest()).decode()
