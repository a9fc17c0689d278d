"""An ObjectStore in memory, with the errors of a real one, without a network."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from anycrc import Model

from obsup.dialects.dialect import Dialect
from obsup.errors import Refusal, StoreError
from obsup.model import (
    Initiated,
    ListWindow,
    ObjectChecksums,
    ObjectInfo,
    ObjectLock,
    ObjectPage,
    OpenUpload,
    Stored,
    StoredObject,
    StoredPart,
    Target,
    Upload,
)
from obsup.store.http.body import NO_DIGESTS, BodyDigests, OpenBody
from obsup.store.interface import WHOLE_LIST


@dataclass
class _Upload:
    bucket: str
    key: str
    headers: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class _Object:
    content: bytes
    etag: str
    headers: dict[str, str]
    upload_id: str | None


class MemoryStore:
    """Has *buckets*. Safe to share between threads. *min_part*: the minimum bytes of all parts but the last."""

    def __init__(self, dialect: Dialect, buckets: Sequence[str] = ("bucket",), *, min_part: int = 1) -> None:
        self.dialect = dialect
        self.objects: dict[tuple[str, str], _Object] = {}
        self._buckets = frozenset(buckets)
        self._min_part = min_part
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def initiate(self, target: Target, headers: Mapping[str, str]) -> Initiated:
        self._check(target, "InitiateMultipartUpload")
        with self._lock:
            upload_id = f"memory-{next(self._ids)}"
            self._uploads[upload_id] = _Upload(target.bucket, target.key, dict(headers))
        return Initiated(upload_id)

    def upload_checksum(self, upload: Upload) -> None:
        """No checksums, as many stores."""

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, digests: BodyDigests = NO_DIGESTS
    ) -> Stored:
        found = self._find(upload, "UploadPart")
        content = _read(open_body)
        if not 1 <= part_number <= self.dialect.limits.max_parts:
            raise _refused("UploadPart", upload.target, 400, "InvalidArgument")
        _check_digest("UploadPart", upload.target, content, digests.content_md5)
        with self._lock:
            found.parts[part_number] = content
        return self._stored(content)

    def copy_part(
        self,
        upload: Upload,
        part_number: int,
        source: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
    ) -> Stored:
        found = self._find(upload, "UploadPartCopy")
        bucket, _, key = source.removeprefix("/").partition("/")
        copied = self.objects.get((bucket, unquote(key)))
        if copied is None:
            raise _refused("UploadPartCopy", upload.target, 404, "NoSuchKey")
        if if_match not in (None, copied.etag):
            raise _refused("UploadPartCopy", upload.target, 412, "PreconditionFailed")
        first, last = byte_range or (0, len(copied.content) - 1)
        with self._lock:
            found.parts[part_number] = copied.content[first : last + 1]
        return self._stored(found.parts[part_number])

    def complete(
        self,
        upload: Upload,
        parts: Sequence[tuple[int, str]],
        headers: Mapping[str, str],
        *,
        checksums: ObjectChecksums | None = None,  # noqa: ARG002
    ) -> Stored:
        found = self._find(upload, "CompleteMultipartUpload")
        if not parts:
            raise _refused("CompleteMultipartUpload", upload.target, 400, "MalformedXML")
        listed = [(found.parts.get(number), etag) for number, etag in sorted(parts)]
        if any(content is None or etag_of(content) != etag.lower() for content, etag in listed):
            raise _refused("CompleteMultipartUpload", upload.target, 400, "InvalidPart")
        contents = [content for content, _ in listed if content is not None]
        if any(len(content) < self._min_part for content in contents[:-1]):
            raise _refused("CompleteMultipartUpload", upload.target, 400, "EntityTooSmall")
        digests = b"".join(hashlib.md5(content).digest() for content in contents)
        etag = f"{hashlib.md5(digests).hexdigest()}-{len(contents)}"
        whole = b"".join(contents)
        with self._lock:
            del self._uploads[upload.upload_id]
            self.objects[upload.target.bucket, upload.target.key] = _Object(
                whole, etag, {**found.headers, **headers}, upload.upload_id
            )
        return Stored(200, etag, crc64=self._crc64(whole))

    def abort(self, upload: Upload) -> bool:
        with self._lock:
            return self._uploads.pop(upload.upload_id, None) is not None

    def list_parts(self, upload: Upload, *, after: int = 0, most: int | None = None) -> Iterator[StoredPart]:
        found = self._find(upload, "ListParts")
        following = [one for one in sorted(found.parts.items()) if one[0] > after]
        for number, content in following[:most]:
            yield StoredPart(number, len(content), etag_of(content), crc64=self._crc64(content))

    def list_uploads(self, bucket: str, prefix: str, window: ListWindow = WHOLE_LIST) -> Iterator[OpenUpload]:
        assert window == WHOLE_LIST, "the contract tests list with the servers"
        self._check(Target(self.dialect.provider, "", bucket, ""), "ListMultipartUploads")
        with self._lock:
            found = sorted(
                (one.key, upload_id) for upload_id, one in self._uploads.items() if one.bucket == bucket
            )
        now = datetime.now(UTC).isoformat()
        yield from (OpenUpload(key, upload_id, now) for key, upload_id in found if key.startswith(prefix))

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        self._check(Target(self.dialect.provider, "", bucket, ""), "ListObjects")
        size = self.dialect.limits.page
        keys = sorted((key for owner, key in self.objects if owner == bucket), key=str.encode)
        following = [key for key in keys if key.startswith(prefix) and key.encode() > marker.encode()]
        page = tuple(self._listed(bucket, key) for key in following[:size])
        return ObjectPage(page, page[-1].key if len(following) > size else None)

    def _listed(self, bucket: str, key: str) -> StoredObject:
        found = self.objects[bucket, key]
        return StoredObject(key, len(found.content), found.etag)

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        digests: BodyDigests = NO_DIGESTS,
    ) -> Stored:
        self._check(target, "PutObject")
        content = _read(open_body)
        _check_digest("PutObject", target, content, digests.content_md5)
        self.objects[target.bucket, target.key] = _Object(content, etag_of(content), dict(headers), None)
        return self._stored(content)

    def read_object(self, target: Target, first: int, size: int) -> tuple[str, bytes]:
        found = self.objects.get((target.bucket, target.key))
        if found is None:
            raise _refused("GetObject", target, 404, "NoSuchKey")
        return found.etag, found.content[first : first + size]

    def lock_object(self, target: Target, version_id: str, lock: ObjectLock) -> None:
        raise NotImplementedError

    def head_object(self, target: Target, *, is_copy_source: bool = False) -> ObjectInfo | None:  # noqa: ARG002
        found = self.objects.get((target.bucket, target.key))
        if found is None:
            return None
        prefix = self.dialect.headers.meta
        return ObjectInfo(
            size=len(found.content),
            etag=found.etag,
            metadata={
                n.lower().removeprefix(prefix): v
                for n, v in found.headers.items()
                if n.lower().startswith(prefix)
            },
            upload_id=found.upload_id if self.dialect.headers.upload_id else None,
            crc64=self._crc64(found.content),
        )

    def _stored(self, content: bytes) -> Stored:
        return Stored(200, etag_of(content), crc64=self._crc64(content))

    def _crc64(self, content: bytes) -> int | None:
        return Model("CRC64-XZ").calc(content) if self.dialect.provider == "oss" else None

    def _check(self, target: Target, operation: str) -> None:
        if target.bucket not in self._buckets:
            raise _refused(operation, target, 404, "NoSuchBucket")

    def _find(self, upload: Upload, operation: str) -> _Upload:
        with self._lock:
            found = self._uploads.get(upload.upload_id)
        if found is None or (found.bucket, found.key) != (upload.target.bucket, upload.target.key):
            raise _refused(operation, upload.target, 404, "NoSuchUpload")
        return found


def etag_of(content: bytes) -> str:
    """Return the ETag of a part or of a single object: the MD5 in hex."""
    return hashlib.md5(content).hexdigest()


def _refused(operation: str, target: Target, status: int, code: str) -> StoreError:
    return StoreError(Refusal(operation, str(target), status, code))


def _check_digest(operation: str, target: Target, content: bytes, content_md5: str | None) -> None:
    if content_md5 is not None and base64.b64decode(content_md5) != hashlib.md5(content).digest():
        raise _refused(operation, target, 400, "BadDigest")


def _read(open_body: OpenBody) -> bytes:
    body = open_body()
    try:
        blocks = []
        while block := bytes(body.read()):
            blocks.append(block)
    finally:
        body.close()
    return b"".join(blocks)
