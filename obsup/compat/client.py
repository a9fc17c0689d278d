"""A client with the calls of the vendors' SDK, each of which is a call of the API of obsup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from obsup import api, events
from obsup.compat.bodies import completed_body, parts_body, uploads_body
from obsup.compat.models import (
    CompleteMultipartUploadRequest,
    GetResult,
    ListMultipartUploadsRequest,
    Model,
    UploadFileHeader,
    customer_key_of,
    encryption_keywords,
    encryption_of,
    etags_of,
    local_time,
    object_keywords,
    quoted_etag,
    refuse_crc64,
    result_of,
    target_of,
)
from obsup.dialects.addressing import is_ip_address
from obsup.errors import ObsupError
from obsup.model import Credentials
from obsup.store.answers import xml
from obsup.vendor_names import DEFAULT_PROVIDER, SIGNATURES

# Parameters of the SDK's client that obsup decides itself.
_DECIDED = frozenset(
    [
        "chunk_size",
        "client_mode",
        "custom_ciphers",
        "is_signature_negotiation",
        "is_use_gmssl",
        "long_conn_mode",
        "max_redirect_count",
        "max_retry_count",
        "pool_size",
        "security_provider_policy",
        "security_providers",
        "trust_env",
        "use_http2",
        "use_http_conns",
    ]
)
_SMALLEST_PART, _LARGEST_PART = 100 * 1024, 5 * 1024**3
Pairs = Mapping[str, str] | None
Seen = list[events.Requested]


class ObsClient:
    """A client with the calls of a multipart upload. *server* is the URL of the store.

    Certificates are verified unless *ssl_verify* is False. Without an access key, credentials are found as on the
    command line.
    """

    def __init__(
        self,
        access_key_id: str = "",
        secret_access_key: str = "",
        is_secure: bool = True,
        server: str = "",
        signature: str = SIGNATURES[0],
        region: str | None = None,
        path_style: bool = False,
        ssl_verify: bool | str | None = None,
        *,
        timeout: float = 60,
        security_token: str | None = None,
        is_cname: bool = False,
        **others: Any,
    ) -> None:
        if unknown := others.keys() - _DECIDED:
            raise TypeError(f"ObsClient() got unexpected arguments: {', '.join(sorted(unknown))}")
        endpoint = server if "://" in server else f"{'https' if is_secure else 'http'}://{server}"
        path_style = path_style or is_ip_address(urlsplit(endpoint).hostname or "")  # as in the SDK
        is_old = (path_style or is_cname) and signature == SIGNATURES[0]
        keys = Credentials(access_key_id, secret_access_key, security_token) if access_key_id else None
        self._store: dict[str, Any] = {
            "endpoint": endpoint if server else None,
            "provider": DEFAULT_PROVIDER,
            "signature": SIGNATURES[1] if is_old else signature,
            "region": region,
            "addressing": "path" if path_style else "cname" if is_cname else None,
            "credentials": keys,
            "ca_bundle": ssl_verify if isinstance(ssl_verify, str) else None,
            "no_verify_tls": True if ssl_verify is False else None,
            "stall_timeout": timeout,
        }

    def close(self) -> None:
        """Do nothing: no connection stays open."""

    def _call(
        self,
        function: Callable[..., Any],
        operation: str,
        *args: Any,
        body: Callable[[Any, Seen], Model | None],
        **given: Any,
    ) -> GetResult:
        """Return the result of *function*, with the response of *operation*. Raises errors without a response."""
        seen: Seen = []

        def observe(event: events.Event) -> None:
            if isinstance(event, events.Requested) and event.status is not None:
                seen.append(event)

        try:
            value = function(*args, observer=observe, **self._store | given)
        except ObsupError as exc:
            failed = [one for one in seen if exc.refusal is not None and one.status == exc.refusal.status]
            if not failed or (failed[-1].status or 0) < 300:
                raise  # an error in a response with status 200 must not look like a success
            return result_of(failed[-1])
        found = [one for one in seen if one.operation == operation] or seen[-1:]
        response = next((one for one in found if (one.status or 0) < 300), found[-1])
        return result_of(response, body(value, found))

    def initiateMultipartUpload(
        self,
        bucketName: str,
        objectKey: str,
        acl: str | None = None,
        storageClass: str | None = None,
        metadata: Pairs = None,
        websiteRedirectLocation: str | None = None,
        contentType: str | None = None,
        sseHeader: Model | None = None,
        expires: int | None = None,
        extensionGrants: list[Model] | None = None,
        extensionHeaders: Pairs = None,
        encoding_type: str | None = None,
    ) -> GetResult:
        """Initiate an upload. The body has ``uploadId``."""
        header = UploadFileHeader(
            acl, websiteRedirectLocation, contentType, sseHeader, storageClass, None, expires, extensionGrants
        )

        def body(upload_id: str, seen: Seen) -> Model:
            confirmed = encryption_of(seen[-1].stored) if seen[-1].stored is not None else {}
            return Model(bucketName=bucketName, objectKey=objectKey, uploadId=upload_id, **confirmed)

        given = {"token": False, "headers": extensionHeaders, **object_keywords(header, metadata)}
        return self._call(
            api.initiate_upload,
            "InitiateMultipartUpload",
            target_of(bucketName, objectKey),
            body=body,
            **given,
        )

    def uploadPart(
        self,
        bucketName: str,
        objectKey: str,
        partNumber: int,
        uploadId: str,
        object: Any = None,  # noqa: A002
        isFile: bool = False,
        partSize: int | None = None,
        offset: int = 0,
        sseHeader: Model | None = None,
        isAttachMd5: bool = False,
        md5: str | None = None,
        content: Any = None,
        progressCallback: events.ProgressCallback | None = None,
        autoClose: bool = True,
        isAttachCrc64: bool = False,
        crc64: str | None = None,
        extensionHeaders: Pairs = None,
    ) -> GetResult:
        """Send one part: a file from *offset*, an object with ``read``, or a text. The body has ``etag``."""
        refuse_crc64(crc64)
        source = object if content is None else content
        given: dict[str, Any] = {"upload_id": uploadId, "md5": md5, "close": autoClose, "is_file": isFile}
        if isFile:
            given |= {"offset": offset, "part_size": partSize}
        elif hasattr(source, "read"):
            given["part_size"] = partSize
        return self._call(
            api.upload_part,
            "UploadPart",
            source,
            target_of(bucketName, objectKey, is_file=isFile),
            int(partNumber),
            body=lambda stored, _: Model(etag=quoted_etag(stored.etag), **encryption_of(stored)),
            content_md5=isAttachMd5 and md5 is None,
            progress=progressCallback,
            headers=extensionHeaders,
            **given | encryption_keywords(sseHeader),
        )

    def copyPart(
        self,
        bucketName: str,
        objectKey: str,
        partNumber: int,
        uploadId: str,
        copySource: str,
        copySourceRange: str | None = None,
        destSseHeader: Model | None = None,
        sourceSseHeader: Model | None = None,
        extensionHeaders: Pairs = None,
    ) -> GetResult:
        """Copy one part of BUCKET/KEY or BUCKET/KEY?versionId=ID. The body has ``etag`` and ``lastModified``."""
        source, _, version_id = copySource.lstrip("/").partition("?versionId=")
        given: dict[str, Any] = {
            "upload_id": uploadId,
            "version_id": version_id or None,
            "copy_source_sse_c_key": customer_key_of(sourceSseHeader)
            if sourceSseHeader is not None
            else None,
            "headers": extensionHeaders,
        }
        if copySourceRange is not None:
            first, _, last = copySourceRange.removeprefix("bytes=").partition("-")
            given["copy_range"] = (int(first), int(last))

        def body(stored: Any, seen: Seen) -> Model:
            moment = local_time(xml.parse(seen[-1].body).findtext("LastModified") or "")
            etag = quoted_etag(stored.etag)
            return Model(etag=etag, lastModified=moment, modifiedDate=moment, **encryption_of(stored))

        target, number = target_of(bucketName, objectKey), int(partNumber)
        given |= encryption_keywords(destSseHeader)
        return self._call(api.copy_part, "UploadPartCopy", source, target, number, body=body, **given)

    def completeMultipartUpload(
        self,
        bucketName: str,
        objectKey: str,
        uploadId: str,
        completeMultipartUploadRequest: CompleteMultipartUploadRequest,
        isAttachCrc64: bool = False,
        extensionHeaders: Pairs = None,
        encoding_type: str | None = None,
    ) -> GetResult:
        """Assemble the object. The list must name every stored part: none is left out silently."""
        etags = etags_of(completeMultipartUploadRequest["parts"])
        return self._call(
            api.complete_upload,
            "CompleteMultipartUpload",
            target_of(bucketName, objectKey),
            body=lambda result, _: completed_body(result, bucketName, objectKey),
            upload_id=uploadId,
            etags=etags,
            headers=extensionHeaders,
        )

    def abortMultipartUpload(
        self, bucketName: str, objectKey: str, uploadId: str, extensionHeaders: Pairs = None
    ) -> GetResult:
        """Abort the upload."""
        target, given = target_of(bucketName, objectKey), {"upload_id": uploadId, "headers": extensionHeaders}
        return self._call(
            api.abort_upload, "AbortMultipartUpload", target, body=lambda _, _seen: None, **given
        )

    def listParts(
        self,
        bucketName: str,
        objectKey: str,
        uploadId: str,
        maxParts: int | None = None,
        partNumberMarker: int | None = None,
        extensionHeaders: Pairs = None,
        encoding_type: str | None = None,
    ) -> GetResult:
        """List the stored parts: *maxParts* of them, or all."""

        return self._call(
            api.list_parts,
            "ListParts",
            target_of(bucketName, objectKey),
            body=lambda listed, seen: parts_body(listed, seen, (bucketName, objectKey, uploadId)),
            upload_id=uploadId,
            max_parts_listed=maxParts,
            part_number_marker=int(partNumberMarker or 0),
            headers=extensionHeaders,
        )

    def listMultipartUploads(
        self,
        bucketName: str,
        multipart: ListMultipartUploadsRequest | None = None,
        extensionHeaders: Pairs = None,
        encoding_type: str | None = None,
    ) -> GetResult:
        """List the open uploads: ``max_uploads`` of *multipart*, or all."""
        wanted = dict(multipart or {})
        prefix = wanted.pop("prefix", None) or ""
        target = target_of(bucketName, prefix)
        return self._call(
            api.list_uploads,
            "ListMultipartUploads",
            target,
            body=lambda listed, seen: uploads_body(listed, seen, bucketName, multipart or {}),
            headers=extensionHeaders,
            **{name: value for name, value in wanted.items() if value is not None},
        )

    def uploadFile(
        self,
        bucketName: str,
        objectKey: str,
        uploadFile: str,
        partSize: int = 9 * 1024 * 1024,
        taskNum: int = 1,
        enableCheckpoint: bool = False,
        checkpointFile: str | None = None,
        checkSum: bool = False,
        metadata: Pairs = None,
        progressCallback: events.ProgressCallback | None = None,
        headers: UploadFileHeader | None = None,
        extensionHeaders: Pairs = None,
        encoding_type: str | None = None,
        isAttachCrc64: bool = False,
    ) -> GetResult:
        """Upload a file; with *enableCheckpoint* a later call resumes it. No failure aborts the upload.

        ``successActionRedirect`` of *headers* applies to a file that fits one request, as the store supports it.
        """
        options = object_keywords(headers or UploadFileHeader(), metadata)
        part_size = min(max(partSize, _SMALLEST_PART), _LARGEST_PART)
        return self._call(
            api.upload_file,
            "CompleteMultipartUpload",
            uploadFile,
            target_of(bucketName, objectKey, is_file=True),
            body=lambda result, _: completed_body(result, bucketName, objectKey),
            part_size=part_size if options["success_redirect"] is None else None,
            jobs=max(1, taskNum),
            no_checkpoint=not enableCheckpoint,
            checkpoint=checkpointFile if enableCheckpoint else None,
            verify_source=checkSum,
            progress=progressCallback,
            headers=extensionHeaders,
            **options,
        )
