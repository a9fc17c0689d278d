"""An ObjectStore that fails, or simulates the end of the process, at selected calls, before or after the operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from obsup.errors import NetworkError, Refusal, StoreError
from obsup.model import (
    Initiated,
    ListWindow,
    ObjectChecksums,
    ObjectInfo,
    ObjectLock,
    ObjectPage,
    OpenUpload,
    Stored,
    StoredPart,
    Target,
    Upload,
    UploadChecksum,
)
from obsup.store.http.body import NO_DIGESTS, BodyDigests, OpenBody
from obsup.store.interface import WHOLE_LIST, ObjectStore

T = TypeVar("T")

KINDS = ("crash", "crash-after", "reset", "reset-after", "500", "500-after", "503", "403", "400-late")


class Crash(BaseException):
    """Simulates the end of the process."""


class FaultyStore:
    """Calls *inner*. *faults* maps the number of a call, from 1, to a kind. *crash* is called before a crash.

    ``lost`` are the results of the operations that were carried out, but failed for the caller.
    """

    def __init__(self, inner: ObjectStore, faults: Mapping[int, str], crash: Callable[[], None]) -> None:
        self.dialect = inner.dialect
        self.calls = 0
        self.lost: list[object] = []
        self._inner = inner
        self._faults = faults
        self._crash = crash

    def _run(self, operation: str, call: Callable[[], T]) -> T:
        self.calls += 1
        kind = self._faults.get(self.calls, "")
        if not kind or kind.endswith("-after"):
            result = call()
            if not kind:
                return result
            self.lost.append(result)
        if kind.startswith("crash"):
            self._crash()
            raise Crash
        if kind.startswith("reset"):
            raise NetworkError("reset", "the connection was reset", sent=True)
        status, code = {
            "500": (500, "InternalError"),
            "500-after": (500, "InternalError"),
            "503": (503, "SlowDown"),
            "403": (403, "AccessDenied"),
            "400-late": (400, "RequestTimeout"),
        }[kind]
        raise StoreError(Refusal(operation, "bucket/key", status, code))

    def initiate(self, target: Target, headers: Mapping[str, str]) -> Initiated:
        return self._run("initiate", lambda: self._inner.initiate(target, headers))

    def upload_checksum(self, upload: Upload) -> UploadChecksum | None:
        return self._inner.upload_checksum(upload)

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, digests: BodyDigests = NO_DIGESTS
    ) -> Stored:
        return self._run(
            "part",
            lambda: self._inner.upload_part(upload, part_number, open_body, digests),
        )

    def copy_part(
        self,
        upload: Upload,
        part_number: int,
        source: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
    ) -> Stored:
        return self._run(
            "copy",
            lambda: self._inner.copy_part(
                upload, part_number, source, byte_range=byte_range, if_match=if_match
            ),
        )

    def complete(
        self,
        upload: Upload,
        parts: Sequence[tuple[int, str]],
        headers: Mapping[str, str],
        *,
        checksums: ObjectChecksums | None = None,
    ) -> Stored:
        return self._run(
            "complete", lambda: self._inner.complete(upload, parts, headers, checksums=checksums)
        )

    def abort(self, upload: Upload) -> bool:
        return self._run("abort", lambda: self._inner.abort(upload))

    def list_parts(self, upload: Upload, *, after: int = 0, most: int | None = None) -> Iterator[StoredPart]:
        return iter(self._run("parts", lambda: list(self._inner.list_parts(upload, after=after, most=most))))

    def list_uploads(self, bucket: str, prefix: str, window: ListWindow = WHOLE_LIST) -> Iterator[OpenUpload]:
        return iter(self._run("uploads", lambda: list(self._inner.list_uploads(bucket, prefix, window))))

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        return self._run("list", lambda: self._inner.list_objects(bucket, prefix, marker))

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        digests: BodyDigests = NO_DIGESTS,
    ) -> Stored:
        return self._run(
            "put",
            lambda: self._inner.put_object(target, open_body, headers, digests),
        )

    def head_object(self, target: Target, *, is_copy_source: bool = False) -> ObjectInfo | None:
        return self._run("head", lambda: self._inner.head_object(target, is_copy_source=is_copy_source))

    def read_object(self, target: Target, first: int, size: int) -> tuple[str, bytes]:
        return self._run("get", lambda: self._inner.read_object(target, first, size))

    def lock_object(self, target: Target, version_id: str, lock: ObjectLock) -> None:
        self._run("lock", lambda: self._inner.lock_object(target, version_id, lock))
