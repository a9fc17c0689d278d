"""A small file in one request, without the steps that only large files, or those that change, need.

Thousands of files a second pass here. What is the least bit unusual about one (it was touched a moment ago, it is not
the one that the walk met, a run before left a checkpoint of it, another obsup holds it) is left to the Uploader.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from msgspec.structs import replace

from obsup import events
from obsup.dialects.object_headers import object_headers
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import SharedRequest
from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Result
from obsup.engine.job.send_options import SendOptions
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE
from obsup.engine.proof.object_proof import Verified
from obsup.engine.send.whole_object import put_content
from obsup.errors import ObsupError
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import Gate, identity, is_stable
from obsup.local.state.checkpoint_path import CheckpointLookup
from obsup.local.state.lock import lock_folder, lock_path
from obsup.local.walk.walk import FoundFile
from obsup.model import Part, SourceStat, Stored, Target
from obsup.units import KIB

# Beyond this the bytes cost more than the steps that are left out.
MAX_SMALL_FILE = 256 * KIB
MOST_SUFFIXES = 1000


class SmallFileUploader:
    """Puts small files of one batch, from any thread."""

    def __init__(
        self,
        connection: Connection,
        common: SharedRequest,
        *,
        stop: StopSignal,
        limit: Gate | None = None,
    ) -> None:
        self._connection = connection
        self._common = common
        task = UploadContext(connection, common.each, events.ignore, stop, limit)
        self._send_options = replace(task.send_options, content_md5=True)
        self._places = CheckpointLookup(common.folder) if common.each.keep_checkpoint else None
        self._locks: str | None = None
        self._headers: dict[str, dict[str, str]] = {}

    def put(self, found: FoundFile, observe: events.Observer) -> FileOutcome | None:
        """Put the file and return what came of it; None where it is not for here, and nothing was sent of it."""
        if not is_stable(found.stat, time.time_ns()):
            return None
        target = self._common.place.below(found.name)
        try:
            if self._is_unusual(found.path, target):
                return None
            return self._put(found, target, observe)
        except ObsupError as exc:
            return FileOutcome(found.path, found.name, found.stat.size, error=exc)

    def _is_unusual(self, path: str, target: Target) -> bool:
        """Return whether another obsup holds the target, or a run before left a checkpoint.

        No lock is taken here, as it is for parts: two that put one object at once send it twice, and either is whole.
        """
        if self._locks is None:
            self._locks = str(lock_folder())
        if os.path.lexists(lock_path(self._locks, target)):
            return True
        # As a string: a Path costs as much as half a request.
        return self._places is not None and self._places.has_any(os.path.abspath(path), target)  # noqa: PTH100

    def _put(self, found: FoundFile, target: Target, observe: events.Observer) -> FileOutcome | None:
        begun = time.monotonic()
        data = _read(found.path, found.stat)
        if data is None:
            return None
        send_options, size = self._send_options, len(data)
        send_options = SendOptions(
            send_options.digests, True, observe, send_options.gate, send_options.read_gate
        )
        content = BytesContent(data, PartDigest(md5=True, crc64=send_options.digests.crc64))
        store = self._connection.store.observed_by(observe)
        observe(events.PartSent(1, size, size))
        finished = put_content(store, target, self._headers_of(target.key), content, send_options)
        result = result_of(target, size, finished.stored, finished.verified, time.monotonic() - begun)
        return FileOutcome(found.path, found.name, size, result, stat=found.stat)

    def _headers_of(self, key: str) -> dict[str, str]:
        """Return the headers of the object's options: the same for all keys of one suffix. Raises WrongUsage."""
        last = key.rpartition("/")[2]
        words = last.split(".")
        suffix = ".".join(words[1:][-2:]) if words[0] else last  # what a media type is guessed by
        headers = self._headers.get(suffix)
        if headers is None:
            dialect = self._connection.store.dialect
            if len(self._headers) >= MOST_SUFFIXES:
                self._headers = {}
            headers = object_headers(dialect, self._common.each.options, "put", key=key)
            self._headers[suffix] = headers
        return headers


def result_of(target: Target, size: int, stored: Stored, verified: Verified, seconds: float) -> Result:
    """Return the result of a file that went in one request."""
    return Result.of(
        stored,
        target=target,
        upload_id=None,
        verified=verified,
        size=size,
        part_size=max(size, DEFAULT_PART_SIZE),
        parts=1,
        sent_parts=1,
        sent_bytes=size,
        seconds=seconds,
    )


def _read(path: str, stat: SourceStat) -> bytes | None:
    """Return what is in the file at *path*, None where it is not, or does not stay, the one of *stat*."""
    try:
        # Non-blocking: what was a file may have become a pipe, and nobody may ever write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if identity(os.fstat(descriptor)) != stat:
            return None
        data = os.read(descriptor, stat.size + 1)
        is_whole = len(data) == stat.size and identity(os.fstat(descriptor)) == stat
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if is_whole else None


class BytesContent:
    """The bytes of a small file, read and hashed. It is its own body: it is sent whole, as often as it takes."""

    def __init__(self, data: bytes, digest: PartDigest) -> None:
        self.part = Part(1, 0, len(data))
        self.size = len(data)
        self.digest = digest
        self._data = data
        self._gate: Gate | None = None
        self._is_sent = False
        digest.update(data)

    def open(
        self,
        _fresh: Callable[[], PartDigest],
        *,
        on_sent: Callable[[int], None],  # noqa: ARG002 - that it is on its way was told
        gate: Gate | None,
    ) -> BytesContent:
        """Return the bytes as a body."""
        self._gate, self._is_sent = gate, False
        return self

    def md5(self, gate: Gate | None) -> str:  # noqa: ARG002 - it is known
        """Return the MD5 in hex."""
        return self.digest.md5 or ""

    def check(self) -> None:
        """Memory stays what it is."""

    def read(self, _amount: int = -1, /) -> bytes:
        """Return all bytes, once they may go; then none."""
        if self._is_sent:
            return b""
        self._is_sent = True
        left = self.size
        while left and self._gate is not None:
            left -= self._gate(left)
        return self._data

    def close(self) -> None:
        """Nothing is open."""
