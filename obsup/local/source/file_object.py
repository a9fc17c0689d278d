"""An open object as the source: a file, a response of a web server, anything with ``read``."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Protocol, TypeGuard

from obsup.errors import DataMismatch, LocalFailure, NextStep, SourceUnreadable, WrongUsage
from obsup.local.source.stream import read_failed, unchanged_check

# The packages of errors that a response of a web server raises if the connection breaks, besides OSError.
HTTP_PACKAGES = ("http", "urllib3", "botocore", "httpx", "httpcore")


class Readable(Protocol):
    """A file object of the API: open for reading bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


class FileObject:
    """An object with ``read``, as the API accepts it; closed at the end if *close* is true.

    If it states how many bytes it has, it must return exactly that many. A read that blocks cannot be interrupted, but
    after ``cancel`` no other read starts.
    """

    def __init__(self, file: Readable, *, close: bool = True) -> None:
        name = getattr(file, "name", None)
        self.name = name if name and isinstance(name, str) else "the file object"
        self._file = file
        self._left = stated_size(file)
        self._check_unchanged = unchanged_check(self.name, _descriptor_of(file))
        self._close = close
        self._is_reading = False
        self._is_cancelled = False

    def start(self) -> None:
        """See ByteSource: it is open already."""

    def readinto(self, view: memoryview, /) -> int:
        """Read with the object's ``read``.

        Raises WrongUsage, SourceUnreadable, LocalFailure, SourceChanged, and DataMismatch if the stated size is wrong.
        """
        if self._is_cancelled:
            raise LocalFailure(f"reading {self.name} was cancelled")
        self._is_reading = True
        try:
            data = self._read(len(view))
        finally:
            self._is_reading = False
        if data is None:
            raise SourceUnreadable(
                f"{self.name} has no bytes yet", "It is non-blocking", NextStep("make it blocking")
            )
        data = as_bytes(data, self.name)
        if len(data) > len(view):
            raise SourceUnreadable(
                f"{self.name} returned {len(data)} bytes from read({len(view)})",
                "read(n) must return at most n bytes",
                NextStep("pass an object whose read respects the size"),
            )
        self._check_unchanged()
        self._count(len(data))
        view[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> Any:
        try:
            return self._file.read(size)
        except ValueError as exc:  # closed, or not open for reading
            raise SourceUnreadable(
                f"{self.name} cannot be read", str(exc), NextStep("pass an open file")
            ) from exc
        except OSError as exc:
            raise read_failed(self.name, exc) from exc
        except Exception as exc:
            if not _is_http_failure(exc):
                raise
            raise LocalFailure(
                f"reading {self.name} failed",
                f"{type(exc).__name__}: {exc}",
                NextStep("open it again, and upload it from its beginning"),
            ) from exc

    def _count(self, size: int) -> None:
        """Raise DataMismatch if the object ends before its stated size, or returns more."""
        if self._left is None:
            return
        self._left -= size
        if self._left < 0 or (size == 0 and self._left > 0):
            how = (
                f"ended {self._left} bytes early" if self._left > 0 else "returned more bytes than it stated"
            )
            raise DataMismatch(
                f"{self.name} {how}",
                "Its length or Content-Length is known, so its content is incomplete or wrong",
                NextStep("open it again, and upload it from its beginning"),
            )

    def is_finished(self, _timeout_s: float, /) -> bool:
        """See ByteSource: an object does not show more than its size, which was checked at the end."""
        return True

    def cancel(self) -> None:
        """Make every later read fail."""
        self._is_cancelled = True

    def close(self) -> None:
        """Close the object once, if asked for. A blocked read would block close too, so then it stays open."""
        close = getattr(self._file, "close", None)
        if self._close and close is not None and not self._is_reading:
            self._close = False
            close()


def as_bytes(data: Any, name: str) -> bytes | bytearray | memoryview:
    """Return the bytes of *data*, which ``read`` of *name* returned: bytes, an array, or a view of any items.

    Raises WrongUsage for a text, and for an object without bytes.
    """
    if isinstance(data, bytes | bytearray):
        return data
    if isinstance(data, str):
        raise WrongUsage(
            f"{name} is open as text", "An object consists of bytes", NextStep('open it with mode "rb"')
        )
    try:
        view = memoryview(data)
    except TypeError as exc:
        raise WrongUsage(
            f"{name} returned a value of type {type(data).__name__}",
            "An object consists of bytes",
            NextStep("pass an object whose read returns bytes"),
        ) from exc
    # A view without items, or of every second one, has no other view as bytes.
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def stated_size(file: object) -> int | None:
    """Return how many bytes *file* states that ``read`` will return, None if it states nothing.

    Responses have ``length`` (http.client), ``length_remaining`` (urllib3, ``raw`` of requests) or a Content-Length,
    other objects ``length``, ``total``, ``size`` (fsspec), ``nbytes``, ``len`` or ``len()``. A ``content_length`` of 0
    states nothing: that of a file in a form (Werkzeug) is 0 if the client sent none.
    """
    headers = getattr(file, "headers", None)
    get = getattr(headers, "get", lambda _name: None)
    if getattr(file, "decode_content", False) and get("Content-Encoding"):
        return None  # read returns more than was sent
    remaining = getattr(file, "length_remaining", None)
    if _is_size(remaining):
        return remaining
    for name in ("length", "total", "size", "nbytes", "len"):
        if _is_size(whole := getattr(file, name, None)):
            return max(0, whole - _position(file))
    if hasattr(file, "length") or hasattr(file, "length_remaining"):
        return None  # a response of unknown length, which has no valid Content-Length
    text = str(get("Content-Length") or getattr(file, "content_length", 0) or "")
    if not (text.isascii() and text.isdigit()):
        return max(0, len(file) - _position(file)) if isinstance(file, Sized) else None
    return max(0, int(text) - _position(file))


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _position(file: object) -> int:
    """Return how many bytes were read from *file* before, 0 if it does not show that."""
    try:
        found = file.tell()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return 0
    return found if _is_size(found) else 0


def _is_http_failure(exc: Exception) -> bool:
    """Return whether a library for HTTP raised *exc*. The libraries need not be installed."""
    return any(one.__module__.partition(".")[0] in HTTP_PACKAGES for one in type(exc).__mro__)


def _descriptor_of(file: Readable) -> int | None:
    """Return the descriptor of an open file, None for an object that has none."""
    if hasattr(file, "rollover"):
        return None  # a SpooledTemporaryFile: fileno would write its memory to disk
    fileno = getattr(file, "fileno", None)
    try:
        found = fileno() if fileno is not None else None
    except (AttributeError, OSError, ValueError):  # that of a member of a tar file; not supported; or closed
        return None
    return found if isinstance(found, int) else None
