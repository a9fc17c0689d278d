"""What an object store can do for us: the verbs of multipart upload, and what each promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from obsup.dialects.dialect import Dialect
from obsup.model import Credentials, ObjectInfo, ObjectPage, OpenUpload, Stored, StoredPart, Target, Upload
from obsup.store.http.body import OpenBody

"""Opens the body anew for each attempt."""


class CredentialSource(Protocol):
    """Where the keys of a request come from."""

    def current(self) -> Credentials:
        """Return credentials that are not about to expire. Raises Denied."""
        ...

    def refresh(self, stale: Credentials) -> Credentials:
        """Return newer credentials than *stale*, which the store refused; the same where there are none."""
        ...


class PartStore(Protocol):
    """The one verb that a worker needs. Raises as ObjectStore's verbs do."""

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, *, content_md5: str | None = None
    ) -> Stored:
        """Send one part. A part sent again under the same part number replaces the first."""
        ...


@runtime_checkable
class PartLister(Protocol):
    """Who can say what is stored; a worker with one signed URL cannot."""

    def list_parts(self, upload: Upload) -> Iterator[StoredPart]:
        """Yield every part the store holds, ascending by part number, over all pages."""
        ...


class ObjectStore(PartStore, PartLister, Protocol):
    """The verbs. Each raises StoreError where the store refused and NetworkError where it did not answer.

    Safe to call from many threads. A verb tries once; RetryingStore is the same store with patience.
    """

    dialect: Dialect

    def initiate(self, target: Target, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload and return its upload id."""
        ...

    def copy_part(
        self, upload: Upload, part_number: int, source: str, *, byte_range: tuple[int, int] | None = None
    ) -> Stored:
        """Copy a part from *source* (``bucket/encoded-key``); the range is first and last byte, inclusive."""
        ...

    def complete(
        self, upload: Upload, parts: Sequence[tuple[int, str]], headers: Mapping[str, str]
    ) -> Stored:
        """Assemble (part number, ETag) pairs. Success only with a body that says so; 200 with <Error> is none."""
        ...

    def abort(self, upload: Upload) -> None:
        """Give the upload up. An upload that is already gone is success."""
        ...

    def list_uploads(self, bucket: str, prefix: str) -> Iterator[OpenUpload]:
        """Yield every open upload whose key begins with *prefix*, over all pages."""
        ...

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        """Return the next page of the objects whose keys begin with *prefix*: those behind the key *marker*."""
        ...

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        *,
        content_md5: str | None = None,
    ) -> Stored:
        """Store a whole object in one request."""
        ...

    def head_object(self, target: Target) -> ObjectInfo | None:
        """Return what the store tells of the object, or None where there is none."""
        ...
