"""The object store over HTTP: each operation is one request in the dialect, whose response is checked strictly."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import md5
from urllib.parse import urlsplit

from msgspec.structs import replace

from obsup.dialects.dialect import Dialect
from obsup.dialects.endpoints import is_loopback
from obsup.dialects.objects.object_headers import customer_key_headers
from obsup.errors import NetworkError, StoreError, WrongUsage, run_again
from obsup.model import (
    CustomerKey,
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
from obsup.store.answers import xml
from obsup.store.answers.checksums import (
    agreement_of,
    complete_headers,
    digest_headers,
    read_agreement,
    read_elements,
)
from obsup.store.answers.listings import objects_after, parts_after, uploads_in
from obsup.store.answers.request import Query, StoreRequest
from obsup.store.answers.result_headers import header_etag, read_object_info, read_stored, require_etag
from obsup.store.http.body import NO_DIGESTS, BodyDigests, OpenBody
from obsup.store.http.settings import Response
from obsup.store.interface import WHOLE_LIST
from obsup.store.signed_exchange import SignedExchange
from obsup.text import clean


class HttpStore:
    """An ObjectStore at an endpoint. Each operation sends one request, signed with the current credentials.

    *headers* are sent with every request. *is_assumed*: neither the user nor the endpoint names the provider. Raises
    WrongUsage for a *customer_key* (SSE-C), or that of the source of a copy, without TLS.
    """

    def __init__(
        self,
        exchange: SignedExchange,
        *,
        customer_key: CustomerKey | None = None,
        copy_source_key: CustomerKey | None = None,
    ) -> None:
        self.dialect = dialect = exchange.dialect
        self._exchange = exchange
        if customer_key is not None or copy_source_key is not None:
            _require_tls(exchange)
        self._key_headers = _key_headers(dialect, customer_key)
        # S3 requires them for Complete and ListParts, too, if the upload has checksums.
        self._checksum_key_headers = self._key_headers if dialect.headers.checksum is not None else {}
        self._source_key_headers = _key_headers(dialect, copy_source_key)
        self._rejects_checksum_mode = dialect.checksums == ()
        self._copy_key_headers = _key_headers(dialect, copy_source_key, copy_source=True)

    def initiate(self, target: Target, headers: Mapping[str, str]) -> Initiated:
        """Source: OBS API reference, "Initiating a Multipart Upload"."""
        request = StoreRequest(
            "InitiateMultipartUpload",
            "POST",
            target.bucket,
            target.key,
            query=(("uploads", None),),
            headers={**headers, **self._key_headers},
        )
        response = self._exchange.send(request)
        upload_id = xml.text(self._exchange.document(request, response, "UploadId"), "UploadId")
        if not upload_id:
            raise NetworkError("garbled", "the response to initiate has no upload id", sent=True)
        names = self.dialect.headers
        agreed = agreement_of(names, response.headers)
        return Initiated(upload_id, read_stored(response, names, ""), checksum=agreed)

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, digests: BodyDigests = NO_DIGESTS
    ) -> Stored:
        """Source: OBS API reference, "Uploading a Part"."""
        request = StoreRequest(
            "UploadPart",
            "PUT",
            upload.target.bucket,
            upload.target.key,
            query=_part_query(upload, part_number),
            headers={**self._key_headers, **digest_headers(self.dialect.headers, digests)},
            body=open_body,
        )
        response = self._exchange.send(request)
        return read_stored(response, self.dialect.headers, require_etag(response, request.operation))

    def copy_part(
        self,
        upload: Upload,
        part_number: int,
        source: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
    ) -> Stored:
        """Source: OBS API reference, "Copying a Part": a success only if the body contains an ETag."""
        names = self.dialect.headers
        headers = {names.copy_source: source, **self._key_headers, **self._copy_key_headers}
        if byte_range is not None:
            headers[names.copy_source_range] = f"bytes={byte_range[0]}-{byte_range[1]}"
        if if_match is not None:
            headers[f"{names.copy_source}-if-match"] = f'"{if_match}"'
        request = StoreRequest(
            "UploadPartCopy",
            "PUT",
            upload.target.bucket,
            upload.target.key,
            query=_part_query(upload, part_number),
            headers=headers,
            takes_long=True,
        )
        response = self._exchange.send(request)
        if not response.body.strip():  # the store took the request for an empty part
            raise NetworkError(
                "no-copy", "the response to copy is empty: the store may not support it", sent=True
            )
        etag = xml.bare_etag(xml.text(self._exchange.document(request, response, "ETag"), "ETag"))
        if not etag:
            raise NetworkError("garbled", "the response to copy has no ETag", sent=True)
        return read_stored(response, names, etag)

    def upload_checksum(self, upload: Upload) -> UploadChecksum | None:
        """Source: Amazon S3 API reference, "ListParts"."""
        if self.dialect.headers.checksum is None:
            return None
        query: Query = (("uploadId", upload.upload_id), ("max-parts", "1"))
        request = StoreRequest("ListParts", "GET", upload.target.bucket, upload.target.key, query)
        root = self._fetch_parts(False, request, "UploadId", "IsTruncated")
        return read_agreement(xml.text(root, "ChecksumAlgorithm"), xml.text(root, "ChecksumType"))

    def complete(
        self,
        upload: Upload,
        parts: Sequence[tuple[int, str]],
        headers: Mapping[str, str],
        *,
        checksums: ObjectChecksums | None = None,
    ) -> Stored:
        """Source: OBS API reference, "Assembling Parts". The object's ETag may be empty (Ceph)."""
        request = StoreRequest(
            "CompleteMultipartUpload",
            "POST",
            upload.target.bucket,
            upload.target.key,
            query=(("uploadId", upload.upload_id),),
            headers={
                **headers,
                **(self._checksum_key_headers if checksums is not None else {}),
                **complete_headers(self.dialect, checksums),
            },
            body=xml.complete_body(parts, checksums.parts if checksums is not None else {}),
            takes_long=True,
        )
        response = self._exchange.send(request)
        root = self._exchange.document(request, response, "ETag", "Location")
        stored = read_stored(
            response,
            self.dialect.headers,
            xml.bare_etag(xml.text(root, "ETag")),
            location=xml.text(root, "Location") or None,
        )
        return replace(stored, checksum=read_elements(partial(xml.text, root)))

    def abort(self, upload: Upload) -> bool:
        """Source: OBS API reference, "Canceling a Multipart Upload"."""
        request = StoreRequest(
            "AbortMultipartUpload",
            "DELETE",
            upload.target.bucket,
            upload.target.key,
            query=(("uploadId", upload.upload_id),),
        )
        try:
            self._exchange.send(request)
        except StoreError as exc:
            if exc.refusal.status != 404 or exc.refusal.code != "NoSuchUpload":
                raise
            return False
        return True

    def list_parts(self, upload: Upload, *, after: int = 0, most: int | None = None) -> Iterator[StoredPart]:
        """Source: OBS API reference, "Listing Uploaded Parts"."""
        fetch = partial(self._fetch_parts, upload.checksum is not None)
        return parts_after(fetch, upload, after, most, self.dialect.limits)

    def list_uploads(self, bucket: str, prefix: str, window: ListWindow = WHOLE_LIST) -> Iterator[OpenUpload]:
        """Source: OBS API reference, "Listing Initiated Multipart Uploads in a Bucket"."""
        return uploads_in(self._exchange.fetch, bucket, prefix, window, self.dialect.limits)

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        """Source: OBS API reference, "Listing Objects in a Bucket"."""
        return objects_after(self._exchange.fetch, bucket, prefix, marker, self.dialect.limits)

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        digests: BodyDigests = NO_DIGESTS,
    ) -> Stored:
        """Source: OBS API reference, "Uploading Objects - PUT". A success redirect is a response 303.

        Raises NetworkError for a 303 that leads elsewhere: that of a proxy's login page.
        """
        redirect = self.dialect.headers.success_redirect
        request = StoreRequest(
            "PutObject",
            "PUT",
            target.bucket,
            target.key,
            headers={**headers, **self._key_headers, **digest_headers(self.dialect.headers, digests)},
            body=open_body,
            also_success=frozenset({303}) if redirect in headers else frozenset(),
        )
        response = self._exchange.send(request)
        is_redirect = response.status in request.also_success
        etag = header_etag(response) if is_redirect else require_etag(response, request.operation)
        location = clean(response.headers.get("location", "")) if is_redirect else ""
        if is_redirect and not location.startswith(headers[redirect or ""]):
            raise NetworkError("garbled", f"{request.operation} was redirected to {location}", sent=True)
        return read_stored(response, self.dialect.headers, etag, location=location or None)

    def head_object(self, target: Target, *, is_copy_source: bool = False) -> ObjectInfo | None:
        """Source: OBS API reference, "Querying Object Metadata"."""
        key_headers = self._source_key_headers if is_copy_source else self._key_headers
        request = StoreRequest("HeadObject", "HEAD", target.bucket, target.key, headers=key_headers)
        try:
            response = self._send_head(request)
        except StoreError as exc:
            if exc.refusal.status == 404 and exc.refusal.code != "NoSuchBucket":
                return None
            raise
        return read_object_info(response, self.dialect.headers)

    def read_object(self, target: Target, first: int, size: int) -> tuple[str, bytes]:
        """Source: OBS API reference, "Downloading Objects"."""
        bucket, key, headers = target.bucket, target.key, self._key_headers
        request = StoreRequest("GetObject", "GET", bucket, key, headers=headers, is_download=True)
        response = self._exchange.download(request, first, size)
        return header_etag(response), response.body

    def lock_object(self, target: Target, version_id: str, lock: ObjectLock) -> None:
        """Source: Amazon S3, "PutObjectRetention"; OBS, "Configuring WORM Retention for an Object"."""
        for operation, name, body in xml.lock_bodies(lock, self.dialect):
            self._exchange.send(
                StoreRequest(
                    operation,
                    "PUT",
                    target.bucket,
                    target.key,
                    query=((name, None), ("versionId", version_id)),
                    headers={"Content-MD5": b64encode(md5(body, usedforsecurity=False).digest()).decode()},
                    body=body,
                )
            )

    def _fetch_parts(self, has_checksums: bool, request: StoreRequest, *required: str) -> xml.Element:
        """Return a page of parts. S3 needs the SSE-C key for it if the upload *has_checksums*, which may be unknown.

        Source: Amazon S3 API reference, "ListParts". Other stores may reject the headers of the key.
        """
        key = self._checksum_key_headers
        first, second = (key, {}) if has_checksums else ({}, key)
        try:
            return self._exchange.fetch(replace(request, headers=first), *required)
        except StoreError as exc:
            if not key or exc.refusal.status not in (400, 501):
                raise
        return self._exchange.fetch(replace(request, headers=second), *required)

    def _send_head(self, request: StoreRequest) -> Response:
        """Send the request for the properties of an object, and for its checksum if the store permits that.

        With encryption by KMS, S3 requires the permission for the key, too; some stores reject the header.
        """
        prefix = self.dialect.headers.checksum
        if prefix is None or self._rejects_checksum_mode:
            return self._exchange.send(request)
        mode = {f"{prefix}mode": "ENABLED"}
        try:
            return self._exchange.send(replace(request, headers={**request.headers, **mode}))
        except StoreError as exc:
            is_forbidden = exc.refusal.code in ("AccessDenied", "Forbidden")
            if exc.refusal.status not in (400, 501) and not is_forbidden:
                raise
        response = self._exchange.send(request)
        self._rejects_checksum_mode = True
        return response


def _part_query(upload: Upload, part_number: int) -> Query:
    return (("partNumber", str(part_number)), ("uploadId", upload.upload_id))


def _key_headers(
    dialect: Dialect, key: CustomerKey | None, *, copy_source: bool = False
) -> Mapping[str, str]:
    return {} if key is None else customer_key_headers(dialect, key, copy_source=copy_source)


def _require_tls(exchange: SignedExchange) -> None:
    """Raise WrongUsage if a secret header would leave this computer without encryption."""
    endpoint, proxy = urlsplit(exchange.endpoint), exchange.proxy
    if endpoint.scheme == "https":
        return
    what = f"an SSE-C key is not sent to {exchange.endpoint}"
    if not is_loopback(endpoint.hostname or ""):
        raise WrongUsage(
            what,
            "The connection is not encrypted, and the services accept such a key only over https",
            run_again("use an encrypted connection", add=("--endpoint", f"https://{endpoint.netloc}")),
        )
    if proxy is not None and not is_loopback(
        urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname or ""
    ):
        raise WrongUsage(
            f"{what} through a proxy",
            "The proxy would receive it without encryption",
            run_again("leave out the proxy", drop=("--proxy",)),
        )
