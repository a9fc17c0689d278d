"""The store over HTTP: each verb is one request in the dialect's words, and its answer read with suspicion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.dialects.endpoints import is_loopback
from obsup.dialects.object_headers import customer_key_headers
from obsup.errors import NetworkError, StoreError, WrongUsage, run_again
from obsup.model import CustomerKey, ObjectInfo, ObjectPage, OpenUpload, Stored, StoredPart, Target, Upload
from obsup.store.answers import xml
from obsup.store.answers.listings import all_parts, all_uploads, objects_behind
from obsup.store.answers.request import Query, StoreRequest
from obsup.store.answers.result_headers import header_etag, named_etag, read_object_info, read_stored
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import OpenBody
from obsup.store.http.endpoint_route import Route
from obsup.store.http.transport import Transport
from obsup.store.interface import CredentialSource
from obsup.store.signed_exchange import SignedExchange


class HttpStore:
    """An ObjectStore at an endpoint. Each verb tries once, and signs with the keys and the clock of this moment.

    *headers* are said on every request. Raises WrongUsage for a *customer_key* (SSE-C) that would travel without TLS.
    """

    def __init__(
        self,
        dialect: Dialect,
        route: Route,
        *,
        transport: Transport,
        credentials: CredentialSource,
        clock: ServerClock,
        customer_key: CustomerKey | None = None,
        headers: Mapping[str, str] | None = None,
        observe: events.Observer = events.ignore,
    ) -> None:
        self.dialect = dialect
        self._exchange = SignedExchange(
            dialect,
            route,
            transport=transport,
            credentials=credentials,
            clock=clock,
            headers=headers or {},
            observe=observe,
        )
        self._key_headers: Mapping[str, str] = {}
        if customer_key is not None:
            _check_private(route.configured.endpoint)
            self._key_headers = customer_key_headers(dialect, customer_key)

    def initiate(self, target: Target, headers: Mapping[str, str]) -> str:
        """Source: OBS API reference, "Initiating a Multipart Upload"."""
        call = StoreRequest(
            "InitiateMultipartUpload",
            "POST",
            target.bucket,
            target.key,
            query=(("uploads", None),),
            headers={**headers, **self._key_headers},
        )
        upload_id = xml.text(self._exchange.ask(call, "UploadId"), "UploadId")
        if not upload_id:
            raise NetworkError("garbled", "the answer to initiate names no upload id", sent=True)
        return upload_id

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, *, content_md5: str | None = None
    ) -> Stored:
        """Source: OBS API reference, "Uploading a Part"."""
        call = StoreRequest(
            "UploadPart",
            "PUT",
            upload.target.bucket,
            upload.target.key,
            query=_part_query(upload, part_number),
            headers={**self._key_headers, **_digest_header(content_md5)},
            body=open_body,
        )
        answer = self._exchange.send(call)
        return read_stored(answer, self.dialect.headers, named_etag(answer, call.operation))

    def copy_part(
        self, upload: Upload, part_number: int, source: str, *, byte_range: tuple[int, int] | None = None
    ) -> Stored:
        """Source: OBS API reference, "Copying a Part". Success only if the body has an ETag."""
        names = self.dialect.headers
        headers = {names.copy_source: source, **self._key_headers}
        if byte_range is not None:
            headers[names.copy_source_range] = f"bytes={byte_range[0]}-{byte_range[1]}"
        call = StoreRequest(
            "UploadPartCopy",
            "PUT",
            upload.target.bucket,
            upload.target.key,
            query=_part_query(upload, part_number),
            headers=headers,
            takes_long=True,
        )
        answer = self._exchange.send(call)
        etag = xml.bare_etag(xml.text(self._exchange.document(call, answer, "ETag"), "ETag"))
        if not etag:
            raise NetworkError("garbled", "the answer to copy names no ETag", sent=True)
        return read_stored(answer, names, etag)

    def complete(
        self, upload: Upload, parts: Sequence[tuple[int, str]], headers: Mapping[str, str]
    ) -> Stored:
        """Source: OBS API reference, "Assembling Parts". The object's ETag may be empty (Ceph)."""
        call = StoreRequest(
            "CompleteMultipartUpload",
            "POST",
            upload.target.bucket,
            upload.target.key,
            query=(("uploadId", upload.upload_id),),
            headers=headers,
            body=xml.complete_body(parts),
            takes_long=True,
        )
        answer = self._exchange.send(call)
        root = self._exchange.document(call, answer, "ETag", "Location")
        return read_stored(
            answer,
            self.dialect.headers,
            xml.bare_etag(xml.text(root, "ETag")),
            location=xml.text(root, "Location") or None,
        )

    def abort(self, upload: Upload) -> None:
        """Source: OBS API reference, "Canceling a Multipart Upload"."""
        call = StoreRequest(
            "AbortMultipartUpload",
            "DELETE",
            upload.target.bucket,
            upload.target.key,
            query=(("uploadId", upload.upload_id),),
        )
        try:
            self._exchange.send(call)
        except StoreError as exc:
            if exc.refusal.status != 404 or exc.refusal.code != "NoSuchUpload":
                raise

    def list_parts(self, upload: Upload) -> Iterator[StoredPart]:
        """Source: OBS API reference, "Listing Uploaded Parts"."""
        return all_parts(self._exchange.ask, upload, self.dialect.limits)

    def list_uploads(self, bucket: str, prefix: str) -> Iterator[OpenUpload]:
        """Source: OBS API reference, "Listing Initiated Multipart Uploads in a Bucket"."""
        return all_uploads(self._exchange.ask, bucket, prefix, self.dialect.limits)

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        """Source: OBS API reference, "Listing Objects in a Bucket"."""
        return objects_behind(self._exchange.ask, bucket, prefix, marker, self.dialect.limits)

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        *,
        content_md5: str | None = None,
    ) -> Stored:
        """Source: OBS API reference, "Uploading Objects - PUT", which answers a success redirect with 303."""
        redirect = self.dialect.headers.success_redirect
        call = StoreRequest(
            "PutObject",
            "PUT",
            target.bucket,
            target.key,
            headers={**headers, **self._key_headers, **_digest_header(content_md5)},
            body=open_body,
            also_success=frozenset({303}) if redirect in headers else frozenset(),
        )
        answer = self._exchange.send(call)
        is_redirect = answer.status in call.also_success
        etag = header_etag(answer) if is_redirect else named_etag(answer, call.operation)
        return read_stored(answer, self.dialect.headers, etag)

    def head_object(self, target: Target) -> ObjectInfo | None:
        """Source: OBS API reference, "Querying Object Metadata". 403 is no answer to whether it is there."""
        call = StoreRequest("HeadObject", "HEAD", target.bucket, target.key, headers=self._key_headers)
        try:
            answer = self._exchange.send(call)
        except StoreError as exc:
            if exc.refusal.status == 404 and exc.refusal.code != "NoSuchBucket":
                return None
            raise
        return read_object_info(answer, self.dialect.headers)


def _part_query(upload: Upload, part_number: int) -> Query:
    return (("partNumber", str(part_number)), ("uploadId", upload.upload_id))


def _digest_header(content_md5: str | None) -> dict[str, str]:
    return {} if content_md5 is None else {"Content-MD5": content_md5}


def _check_private(endpoint: str) -> None:
    """Raise WrongUsage where a secret header would be readable on the way to *endpoint*."""
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise WrongUsage(
            f"an SSE-C key is not sent to {endpoint}",
            "The connection is not encrypted, and the services accept such a key only over https",
            run_again("use an encrypted connection", add=("--endpoint", f"https://{parts.netloc}")),
        )
