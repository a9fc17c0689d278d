"""The store over HTTP: each verb is one request in the dialect's words, and its answer read with suspicion."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Addressing, Dialect, Signable
from obsup.dialects.object_headers import customer_key_headers
from obsup.errors import LineError, Refusal, StoreError
from obsup.model import CustomerKey, ObjectInfo, OpenUpload, Stored, StoredPart, Target, Upload
from obsup.store import xml
from obsup.store.clock import ServerClock
from obsup.store.refusal import printable, read_refusal
from obsup.store.store import CredentialSource, OpenBody
from obsup.store.stored import decimal, read_stored
from obsup.store.transport import Answer, Body, Transport

ANSWER_TIMEOUT_S = 60.0
# Assembling thousands of parts takes the stores minutes, during which S3 sends white space now and then.
COMPLETE_TIMEOUT_S = 600.0

Query = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Location:
    """Where the store lives: endpoint, region for signatures that need one, and the addressing style."""

    endpoint: str
    region: str
    addressing: Addressing


@dataclass(frozen=True, slots=True)
class _Call:
    """One request before it is signed. ``key`` is None for a request about the bucket."""

    operation: str
    method: str
    bucket: str
    key: str | None
    query: Query = ()
    headers: Mapping[str, str] | None = None
    body: Body | bytes = b""
    timeout_s: float = ANSWER_TIMEOUT_S

    @property
    def resource(self) -> str:
        return self.bucket if self.key is None else f"{self.bucket}/{self.key}"


class HttpStore:
    """An ObjectStore at an endpoint. Each verb tries once, and signs with the keys and the clock of this moment."""

    def __init__(
        self,
        dialect: Dialect,
        location: Location,
        *,
        transport: Transport,
        credentials: CredentialSource,
        clock: ServerClock,
        customer_key: CustomerKey | None = None,
    ) -> None:
        self.dialect = dialect
        self._location = location
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._key_headers = customer_key_headers(dialect, customer_key) if customer_key else {}

    def initiate(self, target: Target, headers: Mapping[str, str]) -> str:
        """Source: OBS API reference, "Initiating a Multipart Upload"."""
        call = _Call(
            "InitiateMultipartUpload",
            "POST",
            target.bucket,
            target.key,
            query=(("uploads", None),),
            headers={**headers, **self._key_headers},
        )
        root = self._document(call, self._exchange(call), "InitiateMultipartUploadResult")
        upload_id = xml.text(root, "UploadId")
        if not upload_id:
            raise LineError("incomplete", "the answer to initiate names no upload id", sent=True)
        return upload_id

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, *, content_md5: str | None = None
    ) -> Stored:
        """Source: OBS API reference, "Uploading a Part"."""
        headers = dict(self._key_headers)
        if content_md5 is not None:
            headers["Content-MD5"] = content_md5
        body = open_body()
        try:
            answer = self._exchange(
                _Call(
                    "UploadPart",
                    "PUT",
                    upload.target.bucket,
                    upload.target.key,
                    query=(("partNumber", str(part_number)), ("uploadId", upload.upload_id)),
                    headers=headers,
                    body=body,
                )
            )
        finally:
            body.close()
        return read_stored(answer, self.dialect.headers, xml.bare_etag(answer.headers.get("etag")))

    def copy_part(
        self, upload: Upload, part_number: int, source: str, *, byte_range: tuple[int, int] | None = None
    ) -> Stored:
        """Source: OBS API reference, "Copying a Part". Success only if the body has an ETag."""
        names = self.dialect.headers
        headers = {names.copy_source: source, **self._key_headers}
        if byte_range is not None:
            headers[names.copy_source_range] = f"bytes={byte_range[0]}-{byte_range[1]}"
        call = _Call(
            "UploadPartCopy",
            "PUT",
            upload.target.bucket,
            upload.target.key,
            query=(("partNumber", str(part_number)), ("uploadId", upload.upload_id)),
            headers=headers,
            timeout_s=COMPLETE_TIMEOUT_S,
        )
        answer = self._exchange(call)
        etag = xml.bare_etag(xml.text(self._document(call, answer, "CopyPartResult"), "ETag"))
        if not etag:
            raise LineError("incomplete", "the answer to copy names no ETag", sent=True)
        return read_stored(answer, self.dialect.headers, etag)

    def complete(
        self, upload: Upload, parts: Sequence[tuple[int, str]], headers: Mapping[str, str]
    ) -> Stored:
        """Source: OBS API reference, "Assembling Parts". The object's ETag may be empty (Ceph)."""
        call = _Call(
            "CompleteMultipartUpload",
            "POST",
            upload.target.bucket,
            upload.target.key,
            query=(("uploadId", upload.upload_id),),
            headers=headers,
            body=xml.complete_body(parts),
            timeout_s=COMPLETE_TIMEOUT_S,
        )
        answer = self._exchange(call)
        root = self._document(call, answer, "CompleteMultipartUploadResult")
        etag = xml.bare_etag(xml.text(root, "ETag"))
        return read_stored(answer, self.dialect.headers, etag, location=xml.text(root, "Location") or None)

    def abort(self, upload: Upload) -> None:
        """Source: OBS API reference, "Canceling a Multipart Upload"."""
        call = _Call(
            "AbortMultipartUpload",
            "DELETE",
            upload.target.bucket,
            upload.target.key,
            query=(("uploadId", upload.upload_id),),
        )
        try:
            self._exchange(call)
        except StoreError as exc:
            if exc.refusal.status != 404 or exc.refusal.code == "NoSuchBucket":
                raise

    def list_parts(self, upload: Upload) -> Iterator[StoredPart]:
        """Source: OBS API reference, "Listing Uploaded Parts". Stops at a marker that does not advance."""
        marker = 0
        while True:
            call = _Call(
                "ListParts",
                "GET",
                upload.target.bucket,
                upload.target.key,
                query=(
                    ("uploadId", upload.upload_id),
                    ("max-parts", str(self.dialect.limits.page)),
                    ("part-number-marker", str(marker)),
                ),
            )
            root = self._document(call, self._exchange(call), "ListPartsResult")
            try:
                parts = [xml.stored_part(element) for element in root.findall("Part")]
                following = xml.number(root, "NextPartNumberMarker", default=0)
            except xml.BadXML as exc:
                raise LineError("incomplete", str(exc), sent=True) from exc
            yield from parts
            if xml.text(root, "IsTruncated").lower() != "true":
                return
            following = max([following, *(part.number for part in parts)])
            if following <= marker:
                raise LineError("incomplete", "ListParts says there is more, but not where", sent=True)
            marker = following

    def list_uploads(self, bucket: str, prefix: str) -> Iterator[OpenUpload]:
        """Source: OBS API reference, "Listing Initiated Multipart Uploads in a Bucket"."""
        markers = ("", "")
        seen: set[tuple[str, str]] = set()
        while True:
            root, uploads = self._uploads_page(bucket, prefix, markers)
            yield from uploads
            if xml.text(root, "IsTruncated").lower() != "true":
                return
            seen.add(markers)
            markers = (
                xml.key(root, "NextKeyMarker", url_encoded=_is_encoded(root))
                or (uploads[-1].key if uploads else ""),
                xml.text(root, "NextUploadIdMarker") or (uploads[-1].upload_id if uploads else ""),
            )
            if markers in seen:
                raise LineError("incomplete", "the list of uploads says there is more, but not where", True)

    def _uploads_page(
        self, bucket: str, prefix: str, markers: tuple[str, str]
    ) -> tuple[xml.Element, list[OpenUpload]]:
        query: Query = (("uploads", None), ("max-uploads", str(self.dialect.limits.page)))
        if prefix:
            query += (("prefix", prefix),)
        if markers[0]:
            query += (("key-marker", markers[0]), ("upload-id-marker", markers[1]))
        if self.dialect.lists_url_encoded:
            query += (("encoding-type", "url"),)
        call = _Call("ListMultipartUploads", "GET", bucket, None, query=query)
        root = self._document(call, self._exchange(call), "ListMultipartUploadsResult")
        encoded = _is_encoded(root)
        return root, [xml.open_upload(element, url_encoded=encoded) for element in root.findall("Upload")]

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        *,
        content_md5: str | None = None,
    ) -> Stored:
        """Source: OBS API reference, "Uploading Objects - PUT"."""
        sent = {**headers, **self._key_headers}
        if content_md5 is not None:
            sent["Content-MD5"] = content_md5
        body = open_body()
        try:
            answer = self._exchange(
                _Call("PutObject", "PUT", target.bucket, target.key, headers=sent, body=body)
            )
        finally:
            body.close()
        return read_stored(answer, self.dialect.headers, xml.bare_etag(answer.headers.get("etag")))

    def head_object(self, target: Target) -> ObjectInfo | None:
        """Source: OBS API reference, "Querying Object Metadata"."""
        call = _Call("HeadObject", "HEAD", target.bucket, target.key, headers=self._key_headers)
        try:
            answer = self._exchange(call)
        except StoreError as exc:
            if exc.refusal.status == 404 and exc.refusal.code != "NoSuchBucket":
                return None
            raise
        names, headers = self.dialect.headers, answer.headers
        length = headers.get("content-length", "")
        return ObjectInfo(
            size=int(length) if length.isascii() and length.isdigit() else -1,
            etag=xml.bare_etag(headers.get("etag")),
            metadata={
                name.removeprefix(names.meta): value
                for name, value in headers.items()
                if name.startswith(names.meta)
            },
            upload_id=headers.get(names.upload_id) if names.upload_id else None,
            version_id=headers.get(names.version_id),
            crc64=decimal(headers.get(names.crc64) if names.crc64 else None),
            request_id=printable(headers.get(names.request_id, "")),
            last_modified=headers.get("last-modified", ""),
            sse=headers.get(names.sse) if names.sse else None,
        )

    def _exchange(self, call: _Call) -> Answer:
        """Send *call*, signed now. Raises StoreError for every status that is not 2xx."""
        location = self._location
        address = locate(location.endpoint, call.bucket, call.key, location.addressing)
        credentials = self._credentials.current()

        def sign(headers: Mapping[str, str]) -> dict[str, str]:
            request = Signable(call.method, address, call.query, headers)
            return self.dialect.sign(request, credentials, region=location.region, now=self._clock.now())

        answer = self._transport.exchange(
            call.method,
            address,
            call.query,
            headers=self._headers(call, address.scheme),
            body=call.body,
            sign=sign,
            answer_timeout_s=call.timeout_s,
        )
        if not 200 <= answer.status < 300:
            raise StoreError(self._refusal(call, answer))
        return answer

    def _headers(self, call: _Call, scheme: str) -> dict[str, str]:
        headers = dict(call.headers or {})
        if self.dialect.hashes_payload and scheme == "http" and isinstance(call.body, bytes):
            # S3's policies take an unsigned payload over TLS only; small bodies are cheap to hash.
            headers["x-amz-content-sha256"] = hashlib.sha256(call.body).hexdigest()
        return headers

    def _refusal(self, call: _Call, answer: Answer) -> Refusal:
        return read_refusal(
            answer,
            self.dialect.headers,
            operation=call.operation,
            resource=call.resource,
            endpoint=self._location.endpoint,
        )

    def _document(self, call: _Call, answer: Answer, root_name: str) -> xml.Element:
        """Return the answer's document, whose root must be *root_name*.

        Raises StoreError for an <Error> in a 200, LineError for anything else that the protocol does not promise.
        """
        try:
            root = xml.parse(answer.body)
        except xml.BadXML as exc:
            raise LineError("incomplete", str(exc), sent=True) from exc
        if root.tag == "Error":
            raise StoreError(self._refusal(call, answer))
        if root.tag != root_name:
            raise LineError("incomplete", f"the answer to {call.operation} is another document", sent=True)
        return root


def _is_encoded(root: xml.Element) -> bool:
    return xml.text(root, "EncodingType") == "url"
