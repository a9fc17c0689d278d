"""``upload_file`` takes any object that can be read."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obsup.api import upload_file
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.errors import Interrupted, ObsupError, SourceUnreadable, WrongUsage
from obsup.local.source.expectation import Expectation
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB
from tests.doubles.scripted_server import Wire, answer

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


class Bare:
    """The least that can be read: an object with ``read``, and nothing else."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        """Read on, a little at a time."""
        return self._file.read(min(size, 1000) if size >= 0 else size)


def readables(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return how to open DATA, each way."""
    (folder / "file").write_bytes(DATA)
    (folder / "file.gz").write_bytes(gzip.compress(DATA))

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
        "bare": lambda: Bare(DATA),
        "pipe": pipe,
    }


@pytest.mark.parametrize("kind", ["BytesIO", "file", "unbuffered", "gzip", "bare", "pipe"])
def test_whatever_can_be_read(upload: Upload, sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    """A file, memory, a pipe, something that decompresses: the object is its bytes, and it is closed."""
    source = readables(tmp_path)[kind]()
    result = upload(source)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA
    assert (result.size, result.parts, result.sent_parts, result.verified) == (350_000, 4, 4, "etag")
    assert getattr(source, "closed", True)


def test_it_is_read_from_where_it_stands_and_left_open(upload: Upload, sandbox: Sandbox) -> None:
    """close=False leaves the object to its owner."""
    source = io.BytesIO(b"header" + DATA)
    source.seek(6)
    upload(source, close=False)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA
    assert source.tell() == len(DATA) + 6


@pytest.mark.parametrize("failing", ["connect", "order", "store", "source"])
def test_it_is_closed_whatever_happens(upload: Upload, sandbox: Sandbox, failing: str) -> None:
    """A failure before the first byte, or after it, leaves nothing open."""
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
    """Retries come from memory."""
    sandbox.add_fault("drop-request=1000,op=part,part=2")
    sandbox.add_fault("flip-bit,op=part,part=1")

    class Once(Bare):
        """Counts what is read of it."""

        count = 0

        def read(self, size: int = -1, /) -> bytes:
            """Count."""
            block = super().read(size)
            self.count += len(block)
            return block

    source = Once(DATA)
    upload(source)
    assert source.count == len(DATA)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA


def test_what_the_object_raises_comes_out(upload: Upload, sandbox: Sandbox) -> None:
    """A failure that is the source's own is the caller's to know; half an object is not published."""

    class Broken(Bare):
        """Breaks in the middle."""

        def read(self, size: int = -1, /) -> bytes:
            """Read, until it fails."""
            if self._file.tell() > 250_000:
                raise KeyError("out of records")
            return super().read(size)

    with pytest.raises(KeyError, match="out of records"):
        upload(Broken(DATA))
    assert "complete" not in [one.operation for one in sandbox.requests]


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (lambda _: io.StringIO("text"), WrongUsage, "open as text"),
        (lambda folder: (folder / "out").open("wb"), SourceUnreadable, "cannot be read"),
    ],
    ids=["text", "for writing"],
)
def test_what_cannot_be_a_source(
    upload: Upload, tmp_path: Path, source: Callable[[Path], Any], error: type[ObsupError], words: str
) -> None:
    """One clear error, and it is closed all the same."""
    opened = source(tmp_path)
    with pytest.raises(error, match=words):
        upload(opened)
    assert opened.closed


def test_progress_of_an_object(upload: Upload) -> None:
    """The callback has no total, and ends with all of it."""
    calls: list[tuple[int, int | None, float]] = []
    upload(io.BytesIO(DATA), progress=lambda *values: calls.append(values))
    assert {total for _, total, _ in calls} == {None}
    assert calls[-1][0] == len(DATA)


def test_a_stop_is_heard_while_the_object_says_nothing(upload: Upload, sandbox: Sandbox) -> None:
    """A read that never comes back does not hold the caller."""
    released = threading.Event()

    class Stuck(Bare):
        """Gives a part and a half, and then waits."""

        def read(self, size: int = -1, /) -> bytes:
            """Read, or wait for the end of the test."""
            if self._file.tell() > 1.5 * PART:
                released.wait(60)
            return super().read(size)

    stop = StopSignal()
    threading.Timer(0.3, lambda: stop.request_stop(Interrupted("the test says so"))).start()
    try:
        with pytest.raises(Interrupted):
            upload(Stuck(DATA), stop=stop)
    finally:
        released.set()
    assert "complete" not in [one.operation for one in sandbox.requests]


def test_one_request_carries_its_md5(upload: Upload) -> None:
    """What one request publishes is to be checked by the store before it takes the old object's place."""
    md5 = hashlib.md5(b"better")
    with Wire(lambda _: answer(headers={"ETag": f'"{md5.hexdigest()}"'})) as wire:
        upload(io.BytesIO(b"better"), endpoint=wire.endpoint)
    assert wire.last.body == b"better"
    assert wire.last.header("content-md5") == base64.b64encode(md5.digest()).decode()
