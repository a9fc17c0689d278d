"""The contract of an object store: the operations of a multipart upload, with errors, idempotence and retry safety."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from obsup.dialects.dialect import Dialect
from obsup.model import (
    Credentials,
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

WHOLE_LIST = ListWindow()


class CredentialSource(Protocol):
    """The source of the credentials that sign requests."""

    def current(self) -> Credentials:
        """Return credentials that are not about to expire. Raises Denied if none can be obtained."""

    def refresh(self, stale: Credentials) -> Credentials:
        """Return credentials newer than *stale*, which the store rejected; *stale* if none exist."""


class FixedCredentials:
    """A source with the credentials of the caller, which it cannot replace."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials:
        """Return the credentials."""
        return self._credentials

    def refresh(self, _stale: Credentials) -> Credentials:
        """Return the same credentials."""
        return self._credentials


class ObjectStore(Protocol):
    """An object store. Safe to share between threads. A worker that has only a presigned URL can send nothing else.

    Every operation raises StoreError if the store rejects the request, NetworkError if no valid response arrives, and
    Denied without credentials. ``NetworkError.sent`` is True if the store may have executed the request.
    HttpStore sends every request once (twice after a redirect). RetryingStore implements the same contract with
    retries, and raises the final ObsupError instead.
    """

    dialect: Dialect

    def initiate(self, target: Target, headers: Mapping[str, str]) -> Initiated:
        """Initiate a multipart upload and return the response with its upload id.

        Not idempotent: each request creates an upload. Not safe to retry if ``NetworkError.sent``: list the uploads
        first. Never retried by RetryingStore.
        """

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, digests: BodyDigests = NO_DIGESTS
    ) -> Stored:
        """Send one part and return what the store confirmed.

        The checksum in *digests* is one of the algorithm that was agreed on when the upload was initiated.
        Idempotent and safe to retry: a part replaces an earlier one with the same number.
        Raises StoreError, NetworkError, Denied, and unchanged every error of the body.
        """

    def copy_part(
        self,
        upload: Upload,
        part_number: int,
        source: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
    ) -> Stored:
        """Copy a part from the object that *source* names (see ``copy_source_value``).

        *byte_range* is the first and the last byte, inclusive. *if_match* is the ETag that the source must have; not
        every store checks it. Idempotent and safe to retry, as ``upload_part``.
        A response 200 that contains <Error> raises StoreError.
        """

    def upload_checksum(self, upload: Upload) -> UploadChecksum | None:
        """Return the checksum that was agreed on when *upload* was initiated, or None. Sends nothing if none can be.

        Reads only: safe to retry.
        """

    def complete(
        self,
        upload: Upload,
        parts: Sequence[tuple[int, str]],
        headers: Mapping[str, str],
        *,
        checksums: ObjectChecksums | None = None,
    ) -> Stored:
        """Assemble the object from pairs of part number and ETag.

        The store rejects *checksums* that differ from its own.

        Not idempotent: after success the upload id is unknown, and a second request fails with NoSuchUpload. Not safe
        to retry if ``NetworkError.sent``: look at the object first. Never retried by RetryingStore.
        A response 200 that contains <Error> raises StoreError.
        """

    def abort(self, upload: Upload) -> bool:
        """Abort the upload and discard its parts; return False if the store has no such upload.

        Idempotent and safe to retry: an upload that no longer exists is success. Parts that are still in flight may be
        stored after the abort, so a caller repeats it until ``list_parts`` fails with NoSuchUpload.
        """

    def list_parts(self, upload: Upload, *, after: int = 0, most: int | None = None) -> Iterator[StoredPart]:
        """Yield the stored parts with numbers above *after*, ascending, from all pages, at most *most*.

        Reads only: safe to retry from the start. Raises StoreError, NetworkError and Denied, also in the middle of the
        list: a caller must not use a list that did not end.
        """

    def list_uploads(self, bucket: str, prefix: str, window: ListWindow = WHOLE_LIST) -> Iterator[OpenUpload]:
        """Yield the uploads in progress whose keys begin with *prefix*, from all pages, in *window*.

        Reads only: safe to retry from the start, as ``list_parts``.
        """

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        """Return one page of the objects whose keys begin with *prefix* and follow the key *marker*.

        Reads only: safe to retry.
        """

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        digests: BodyDigests = NO_DIGESTS,
    ) -> Stored:
        """Store a whole object with one request.

        Idempotent unless *headers* forbid overwriting. Safe to retry in any case, but then a rejection because the
        object exists may be caused by the first attempt. Passes errors of the body unchanged.
        """

    def head_object(self, target: Target, *, is_copy_source: bool = False) -> ObjectInfo | None:
        """Return the properties of the object, or None if it does not exist.

        *is_copy_source*: the object will be copied, so it is encrypted with another SSE-C key, or with none.

        Reads only: safe to retry. Raises StoreError if the bucket does not exist or the permission is missing.
        """

    def read_object(self, target: Target, first: int, size: int) -> tuple[str, bytes]:
        """Return the ETag of the object, and *size* of its bytes from offset *first*; 0 only for an empty object.

        Reads only: safe to retry. *size* is at most that of the longest response. Raises StoreError if the object does
        not exist, NetworkError if another number of bytes arrives.
        """

    def lock_object(self, target: Target, version_id: str, lock: ObjectLock) -> None:
        """Set the *lock* of one version of the object: its retention, its legal hold, or both.

        Idempotent and safe to retry: a retention can be set again, and extended.
        """
