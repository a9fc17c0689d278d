"""Object attributes, read from the headers of Initiate, PutObject and Complete."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from obsup.sandbox.refusals import Refused
from obsup.sandbox.vendors import Vendor
from obsup.sandbox.wire.request import Request

STANDARD_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
)
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"
_CHECKSUM_TYPES = {
    "crc32": (COMPOSITE, FULL_OBJECT),
    "crc32c": (COMPOSITE, FULL_OBJECT),
    "crc64nvme": (FULL_OBJECT,),
    "sha1": (COMPOSITE,),
    "sha256": (COMPOSITE,),
}
"""The types that an upload can have per algorithm; the first is the default."""
_MAX_TAGS = 10


@dataclass(frozen=True, slots=True)
class Attributes:
    """The stored attributes of an object. Header names are lower-case."""

    headers: dict[str, str] = field(default_factory=dict)
    """The standard headers as sent; the default Content-Type is not stored."""
    metadata: dict[str, str] = field(default_factory=dict)
    """User metadata without the vendor's prefix."""
    storage_class: str = ""
    acl: str = ""
    grants: dict[str, str] = field(default_factory=dict)
    tagging: str = ""
    expires_days: int | None = None
    website_redirect: str = ""
    encryption: str = ""
    """Value of the server-side-encryption header."""
    kms_key_id: str = ""
    customer_key_md5: str = ""
    """SSE-C: base64 of the MD5 of the customer's key."""
    checksum_algorithm: str = ""
    """Of a multipart upload to S3, lower-case."""
    checksum_type: str = ""
    lock_mode: str = ""
    """The mode of the retention: GOVERNANCE or COMPLIANCE."""
    lock_until: float = 0.0
    """The end of the retention, in epoch seconds."""
    legal_hold: bool = False

    def is_locked(self, now: float) -> bool:
        """Return whether the object can neither be replaced nor deleted."""
        return self.legal_hold or (bool(self.lock_mode) and self.lock_until > now)


def read_attributes(request: Request, vendor: Vendor, *, encrypts: bool = False) -> Attributes:
    """Read and check the attributes that *request* sets, without the lock. *encrypts*: KMS is the bucket's default.

    Raises Refused (400): InvalidArgument, InvalidStorageClass, MetadataTooLarge, InvalidTag,
    InvalidRedirectLocation, InvalidEncryptionAlgorithmError.
    """
    encryption = _read_encryption(request, vendor)
    customer_key_md5 = read_customer_key(request, vendor)
    if encrypts and not (encryption or customer_key_md5):
        encryption = vendor.kms_values[0]
    checksum_algorithm, checksum_type = _read_checksum(request, vendor)
    return Attributes(
        headers=_read_standard_headers(request),
        metadata=_read_metadata(request, vendor),
        storage_class=_read_storage_class(request, vendor),
        acl=read_acl(request, vendor),
        grants={
            name.removeprefix(vendor.header("grant-")): value
            for name, value in request.headers
            if name.startswith(vendor.header("grant-"))
        },
        tagging=_read_tagging(request, vendor),
        expires_days=_read_expires_days(request, vendor),
        website_redirect=_read_redirect(request, vendor),
        encryption=encryption,
        kms_key_id=request.header(vendor.kms_key_header) if encryption in vendor.kms_values else "",
        customer_key_md5=customer_key_md5,
        checksum_algorithm=checksum_algorithm,
        checksum_type=checksum_type,
    )


def read_lock(request: Request, vendor: Vendor, *, now: float) -> dict[str, Any]:
    """Return the attributes of the lock that the headers of *request* ask for; none without one.

    Raises Refused (400 InvalidArgument).
    """
    names = [vendor.header(f"object-lock-{name}") for name in ("mode", "retain-until-date", "legal-hold")]
    mode, until, hold = (request.header(name) for name in names)
    lock: dict[str, Any] = {}
    if bool(mode) != bool(until):
        raise Refused(400, "InvalidArgument", f"{names[1]} and {names[0]} must both be supplied")
    if mode:
        lock_until = lock_date(until, vendor, now=now, is_header=True)
        lock = {"lock_mode": lock_mode(mode, vendor), "lock_until": lock_until}
    if hold not in ("", "ON", "OFF"):
        raise Refused(400, "InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'")
    return lock | ({"legal_hold": hold == "ON"} if hold else {})


def lock_mode(mode: str, vendor: Vendor) -> str:
    """Return the mode of a retention. Raises Refused (400 InvalidArgument) if the vendor does not have it."""
    if mode not in (("COMPLIANCE",) if vendor.name == "obs" else ("GOVERNANCE", "COMPLIANCE")):
        raise Refused(400, "InvalidArgument", "Unknown wormMode directive.")
    return mode


def lock_date(text: str, vendor: Vendor, *, now: float, is_header: bool) -> float:
    """Return the end of a retention in epoch seconds: *text* is ISO 8601 or, in a document for OBS, milliseconds.

    Raises Refused (400 InvalidArgument) unless it is a date in the future.
    """
    try:
        if vendor.name == "obs" and not is_header:
            until = int(text) / 1000
        else:
            moment = datetime.fromisoformat(text)
            until = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError as exc:
        raise Refused(
            400, "InvalidArgument", "The retain until date must be provided in ISO 8601 format"
        ) from exc
    if until <= now:
        raise Refused(400, "InvalidArgument", "The retain until date must be in the future!")
    return until


def no_object_lock() -> Refused:
    """Return the error for a lock of an object in a bucket without Object Lock."""
    return Refused(400, "InvalidRequest", "Bucket is missing Object Lock Configuration")


def lock_headers(attributes: Attributes, vendor: Vendor) -> dict[str, str]:
    """Return the headers that show the lock of an object."""
    headers = {}
    if attributes.lock_mode:
        until = datetime.fromtimestamp(attributes.lock_until, UTC).isoformat(timespec="milliseconds")
        headers[vendor.header("object-lock-mode")] = attributes.lock_mode
        headers[vendor.header("object-lock-retain-until-date")] = until.replace("+00:00", "Z")
    if attributes.legal_hold:
        headers[vendor.header("object-lock-legal-hold")] = "ON"
    return headers


def without_options(attributes: Attributes) -> Attributes:
    """Return only the encryption, as a store keeps it that ignores all other options."""
    return Attributes(
        encryption=attributes.encryption,
        kms_key_id=attributes.kms_key_id,
        customer_key_md5=attributes.customer_key_md5,
    )


def read_acl(request: Request, vendor: Vendor) -> str:
    """Return the canned ACL. Raises Refused (400 InvalidArgument) if the vendor does not support it."""
    acl = request.header(vendor.acl_header)
    if acl and acl not in vendor.acls:
        raise Refused(400, "InvalidArgument", f"Unsupported ACL: {vendor.acl_header}: {acl}")
    return acl


def read_customer_key(request: Request, vendor: Vendor, *, of: str = "") -> str:
    """Return the MD5 of the SSE-C key as sent (base64), or nothing. Raises Refused (400).

    *of* is ``copy-source-`` for the key of the source of a copy.
    """
    prefix = vendor.header(f"{of}server-side-encryption-customer-")
    sent = [request.header(prefix + name) for name in ("algorithm", "key", "key-md5")]
    if not any(sent) or vendor.name == "oss":
        return ""
    algorithm, key, key_md5 = sent
    if algorithm != "AES256":
        raise Refused(400, "InvalidEncryptionAlgorithmError", f"{prefix}algorithm must be AES256.")
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error as exc:
        raise Refused(400, "InvalidArgument", f"{prefix}key is not base64.") from exc
    if len(raw) not in vendor.customer_key_sizes:
        sizes = " or ".join(map(str, vendor.customer_key_sizes))
        raise Refused(400, "InvalidArgument", f"{prefix}key must hold {sizes} bytes, not {len(raw)}.")
    if key_md5 != base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode("ascii"):
        raise Refused(
            400, "InvalidArgument", "The calculated MD5 hash of the key did not match the hash sent."
        )
    return key_md5


def is_etag_opaque(attributes: Attributes, vendor: Vendor) -> bool:
    """Return whether the ETag is not an MD5 (SSE-KMS, SSE-C)."""
    return bool(attributes.customer_key_md5) or attributes.encryption in vendor.kms_values


def encryption_headers(attributes: Attributes, vendor: Vendor) -> dict[str, str]:
    """Return the headers that echo the encryption of an object or part."""
    headers = {}
    if attributes.customer_key_md5:
        prefix = vendor.header("server-side-encryption-customer-")
        headers[prefix + "algorithm"] = "AES256"
        headers[prefix + "key-MD5"] = attributes.customer_key_md5
    if attributes.encryption:
        headers[vendor.header("server-side-encryption")] = attributes.encryption
    if attributes.kms_key_id:
        headers[vendor.kms_key_header] = attributes.kms_key_id
    return headers


def _read_standard_headers(request: Request) -> dict[str, str]:
    """Return the standard headers; aws-chunked is a transfer encoding of the request, not one of the object."""
    headers = {name: request.header(name) for name in STANDARD_HEADERS if request.has_header(name)}
    encodings = [one.strip() for one in headers.get("content-encoding", "").split(",")]
    if "aws-chunked" in encodings:
        headers["content-encoding"] = ", ".join(one for one in encodings if one != "aws-chunked")
    return {name: value for name, value in headers.items() if value or name != "content-encoding"}


def _read_metadata(request: Request, vendor: Vendor) -> dict[str, str]:
    prefix = vendor.header("meta-")
    names = {name for name, _ in request.headers if name.startswith(prefix)}
    metadata = {name.removeprefix(prefix): request.header(name) for name in sorted(names)}
    size = sum(len(name.encode()) + len(value.encode("utf-8", "replace")) for name, value in metadata.items())
    if size > vendor.max_metadata:
        message = f"Your metadata headers exceed the maximum allowed metadata size of {vendor.max_metadata}."
        raise Refused(400, "MetadataTooLarge", message)
    for name in metadata:
        if vendor.name == "oss" and not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise Refused(400, "InvalidArgument", f"Metadata name {name!r}: letters, digits and - only.")
    return metadata


def _read_storage_class(request: Request, vendor: Vendor) -> str:
    value = request.header(vendor.header("storage-class"))
    if value and value not in vendor.storage_classes:
        code = "InvalidArgument" if vendor.name == "oss" else "InvalidStorageClass"
        raise Refused(400, code, f"The storage class you specified is not valid: {value}")
    return value


def _read_tagging(request: Request, vendor: Vendor) -> str:
    value = request.header(vendor.header("tagging"))
    try:
        pairs = parse_qsl(value, keep_blank_values=True, errors="strict")
    except ValueError as exc:
        raise Refused(400, "InvalidArgument", "The tagging header must be k=v&k2=v2, URL-encoded.") from exc
    if len(pairs) > _MAX_TAGS or len({name for name, _ in pairs}) != len(pairs):
        raise Refused(400, "InvalidTag", f"At most {_MAX_TAGS} tags, each key once.")
    return value


def _read_expires_days(request: Request, vendor: Vendor) -> int | None:
    # The header keeps its OBS name in OBS's AWS form too.
    value = request.header("x-obs-expires") if vendor.name == "obs" else ""
    if not value:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise Refused(400, "InvalidArgument", f"x-obs-expires must be a number of days, not {value!r}.")
    return int(value)


def _read_redirect(request: Request, vendor: Vendor) -> str:
    if vendor.name == "oss":
        return ""
    value = request.header(vendor.header("website-redirect-location"))
    if value and (not value.startswith(("/", "http://", "https://")) or len(value) > 2048):
        message = "The website redirect location must begin with /, http:// or https://."
        raise Refused(400, "InvalidRedirectLocation", message)
    return value


def _read_checksum(request: Request, vendor: Vendor) -> tuple[str, str]:
    """Return algorithm and type of the checksums of an upload. Raises Refused (400 InvalidRequest)."""
    algorithm = request.header("x-amz-checksum-algorithm").lower() if vendor.name == "s3" else ""
    wanted = request.header("x-amz-checksum-type").upper() if vendor.name == "s3" else ""
    types = _CHECKSUM_TYPES.get(algorithm, ())
    if (algorithm or wanted) and (not types or wanted not in ("", *types)):
        message = f"The {wanted or 'checksum'} type cannot be used with the {algorithm or 'null'} checksum algorithm."
        raise Refused(400, "InvalidRequest", message)
    return algorithm, wanted or (types[0] if types else "")


def _read_encryption(request: Request, vendor: Vendor) -> str:
    value = request.header(vendor.header("server-side-encryption"))
    if value and value not in vendor.kms_values + vendor.sse_values:
        code = "InvalidArgument" if vendor.name == "s3" else "InvalidEncryptionAlgorithmError"
        raise Refused(400, code, f"The encryption request you specified is not valid: {value}")
    prefix = vendor.header("server-side-encryption-customer-")
    if value and any(request.has_header(prefix + name) for name in ("algorithm", "key", "key-md5")):
        message = f"A customer key cannot be combined with the encryption {value}."
        raise Refused(400, "InvalidArgument", message)
    if request.has_header(vendor.kms_key_header) and value not in vendor.kms_values:
        message = (
            f"{vendor.kms_key_header} is only valid with a key service, not with {value or 'no encryption'}."
        )
        raise Refused(400, "InvalidArgument", message)
    return value
