"""The values of the vendors' SDK: requests, and results made of the store's responses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import unquote

from obsup import events
from obsup.dates import parse_date
from obsup.errors import NextStep, WrongUsage
from obsup.store.answers import xml
from obsup.vendor_names import DEFAULT_PROVIDER

# Headers that a result has besides the vendor's own, whose prefix is left out.
_KEPT = frozenset(
    [
        "content-type",
        "content-md5",
        "content-length",
        "content-language",
        "expires",
        "origin",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "location",
        "date",
        "etag",
        "host",
        "last-modified",
        "content-range",
        "connection",
        "x-reserved-indicator",
    ]
)
_PREFIXES = ("x-amz-meta-", "x-amz-", "x-obs-meta-", "x-obs-")


class Model(dict[str, Any]):
    """A dict whose keys are attributes, too; one that is missing is None. ``fields`` are its positional arguments."""

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) > len(self.fields) or (self.fields and named.keys() - set(self.fields)):
            raise TypeError(f"{type(self).__name__}() takes {', '.join(self.fields)}")
        super().__init__(dict.fromkeys(self.fields) | dict(zip(self.fields, values, strict=False)) | named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class GetResult(Model):
    """The result of every call. ``body`` is a Model, or the error document of the store."""

    fields = (
        "status",
        "reason",
        "errorCode",
        "errorMessage",
        "body",
        "requestId",
        "hostId",
        "resource",
        "header",
        "indicator",
    )


class CompletePart(Model):
    """One part of the list that is assembled."""

    fields = ("partNum", "etag", "crc64", "size")


class CompleteMultipartUploadRequest(Model):
    """The list of parts."""

    fields = ("parts",)


class ListMultipartUploadsRequest(Model):
    """Which open uploads to list."""

    fields = ("delimiter", "prefix", "max_uploads", "key_marker", "upload_id_marker")


class SseCHeader(Model):
    """Encryption with the key of the customer."""

    fields = ("encryption", "key")


class SseKmsHeader(Model):
    """Encryption with a key of the key management service."""

    fields = ("encryption", "key")


class ExtensionGrant(Model):
    """One grant."""

    fields = ("granteeId", "permission")


class UploadFileHeader(Model):
    """Properties of an object."""

    fields = (
        "acl",
        "websiteRedirectLocation",
        "contentType",
        "sseHeader",
        "storageClass",
        "successActionRedirect",
        "expires",
        "extensionGrants",
        "location",
    )


def result_of(response: events.Requested, body: Any = None) -> GetResult:
    """Return the result of *response*; *body* is that of a success."""
    status, headers = response.status or 0, response.headers
    result = GetResult(
        status=status,
        reason=HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "",
        body=body,
        requestId=response.request_id,
        header=[renamed for renamed in map(_renamed, headers.items()) if renamed is not None],
        indicator=headers.get("x-reserved-indicator"),
    )
    if status < 300:
        return result
    try:
        root = xml.parse(response.body)
    except xml.BadXML:
        return result
    names = {"errorCode": "Code", "errorMessage": "Message", "hostId": "HostId", "resource": "Resource"}
    result.update({field: root.findtext(name) for field, name in names.items()})
    result.requestId = root.findtext("RequestId") or response.request_id
    result.body = response.body.decode("utf-8", "replace")
    return result


def _renamed(header: tuple[str, str]) -> tuple[str, str] | None:
    """Return a header as the SDK shows it, or None if it leaves it out."""
    name, value = header
    if name in _KEPT:
        return name, value
    prefix = next((one for one in _PREFIXES if name.startswith(one)), None)
    return (name.removeprefix(prefix), unquote(value)) if prefix else None


def quoted_etag(etag: str) -> str:
    """Return an ETag as it is in a header."""
    return f'"{etag}"'


def local_time(text: str) -> str:
    """Return a date of the store in local time, as the SDK writes it."""
    moment = parse_date(text)
    return text if moment is None else time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(moment))


def encryption_of(stored: Any) -> dict[str, str | None]:
    """Return the fields of a result that confirm the encryption."""
    return {
        "sseKms": stored.sse_kms,
        "sseKmsKey": stored.sse_kms_key,
        "sseC": stored.sse_c,
        "sseCKeyMd5": stored.sse_c_key_md5,
    }


def customer_key_of(header: Mapping[str, Any]) -> bytes:
    """Return the key of an SseCHeader. Raises WrongUsage if it has none."""
    key: str | bytes | None = header["key"]
    if not key:
        raise WrongUsage("SseCHeader without a key", "The object would be stored in plain text")
    return key.encode() if isinstance(key, str) else key


def etags_of(parts: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Return the ETags by part number. Raises WrongUsage for a part named twice, and for a CRC-64."""
    etags: dict[int, str] = {}
    for one in parts:
        refuse_crc64(one.get("crc64"))
        if one["partNum"] in etags:
            raise WrongUsage(f"part {one['partNum']} is named twice", "An object has each part once")
        etags[one["partNum"]] = one["etag"]
    return etags


def refuse_crc64(crc64: object) -> None:
    """Raise WrongUsage for the CRC-64 of a part, which obsup would not send."""
    if crc64:
        raise WrongUsage("crc64 is not supported", "obsup verifies each part itself: leave it out")


def target_of(bucket: str, key: str, *, is_file: bool = False) -> str:
    """Return the target of a call. Raises WrongUsage if it would be another object than the one that is named."""
    if "/" in bucket:
        raise WrongUsage(f"invalid bucket name {bucket!r}", "It must not have a slash")
    if is_file and (not key or key.endswith("/")):
        raise WrongUsage(
            f"invalid key {key!r} for a file",
            "The name of the file would be appended to a key that is empty or ends in a slash",
            NextStep("Give the whole key"),
        )
    return f"{DEFAULT_PROVIDER}://{bucket}/{key}"


def encryption_keywords(header: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the keywords of the API for an SseCHeader or an SseKmsHeader."""
    if header is None:
        return {}
    if not isinstance(header, (SseCHeader, SseKmsHeader)):
        raise WrongUsage(
            f"an encryption header of type {type(header).__name__}",
            "It must be an SseCHeader or an SseKmsHeader",
        )
    if isinstance(header, SseCHeader):
        return {"sse_c_key": customer_key_of(header)}
    return {"sse": header["encryption"] or "kms", "sse_kms_key_id": header["key"]}


def object_keywords(header: UploadFileHeader, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the keywords of the API for the properties of an object."""
    grants = [(one["permission"].lower(), one["granteeId"]) for one in header.extensionGrants or ()]
    return {
        "acl": header.acl or None,
        "content_type": header.contentType or None,
        "storage_class": header.storageClass or None,
        "website_redirect": header.websiteRedirectLocation or header.location or None,
        "success_redirect": header.successActionRedirect or None,
        "expires_days": header.expires,
        "grants": grants or None,
        "metadata": {name: str(value) for name, value in metadata.items()} if metadata else None,
        **encryption_keywords(header.sseHeader),
    }
