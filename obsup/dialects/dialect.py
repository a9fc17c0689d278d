"""The type of a dialect: one value with everything that differs between the protocols of the vendors. No IO."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from msgspec import field

from obsup.model import Credentials
from obsup.units import GIB
from obsup.value import Value

Addressing = Literal["virtual", "path", "cname"]


KEY_LISTS = frozenset({"ListMultipartUploads", "ListObjects"})
"""The operations that list keys. All vendors support encoding-type=url for them."""

KEY_RESPONSES = KEY_LISTS | {"InitiateMultipartUpload", "ListParts", "CompleteMultipartUpload"}
"""The operations whose responses contain a key."""


class Limits(Value):
    """The limits of the service, by default those that all vendors have. Sizes are bytes.

    Source: "constraints" of uploading parts, by vendor; in the API references, 5 GB is 5 GiB.
    ``max_key`` is bytes of UTF-8, or characters if ``counts_characters``. ``equal_parts``: all parts but the last must
    have the same size.
    """

    min_part: int
    max_key: int
    max_metadata: int
    max_part: int = 5 * GIB
    max_parts: int = 10_000
    max_object: int = 10_000 * 5 * GIB
    max_put: int = 5 * GIB
    page: int = 1000
    counts_characters: bool = False
    equal_parts: bool = False


class Address(Value):
    """Where a request goes, and the bucket and key that it is about.

    ``host`` includes the port unless it is the default of the scheme. ``path`` is percent-encoded, as sent; it begins
    with the ``prefix`` of the endpoint. ``key`` is None for a request about the bucket.
    """

    scheme: str
    host: str
    path: str
    bucket: str
    key: str | None
    addressing: Addressing
    prefix: str = ""


class Signable(Value):
    """A request as it will be sent. Query values are decoded; None is a name without a value (``?uploads``)."""

    _hidden = ("query", "headers")

    method: str
    address: Address
    # Both may contain a token, a key or a signature.
    query: tuple[tuple[str, str | None], ...]
    headers: Mapping[str, str]


class Sign(Protocol):
    """Return the headers that authenticate *request*: date, token, hash, Authorization."""

    def __call__(
        self, request: Signable, credentials: Credentials, *, region: str, now: datetime
    ) -> dict[str, str]: ...


class Presign(Protocol):
    """Return the complete query of a URL that anyone can use for *expires_s* seconds from *now*."""

    def __call__(
        self, request: Signable, credentials: Credentials, *, region: str, now: datetime, expires_s: int
    ) -> tuple[tuple[str, str | None], ...]: ...


class HeaderNames(Value):
    """The header for each concept that obsup sends or reads; None if the vendor has no such header."""

    security_token: str
    meta: str  # the prefix of user metadata
    storage_class: str
    sse: str
    sse_kms_key_id: str
    copy_source: str
    copy_source_range: str
    request_id: str
    host_id: str
    version_id: str
    acl: str
    grant: str | None = None  # a prefix that the permission follows
    website_redirect: str | None = None
    success_redirect: str | None = None
    expires_days: str | None = None
    tagging: str | None = None
    sse_c: str | None = None  # a prefix that algorithm, key and key-MD5 follow
    copy_source_sse_c: str | None = None  # as sse_c, of the key that decrypts the source of a copy
    no_overwrite: tuple[str, str] | None = None  # (name, value)
    upload_id: str | None = None  # of HeadObject: the upload that created the object
    crc64: str | None = None  # in responses: CRC-64/XZ of a part or an object
    checksum: str | None = None  # a prefix that the algorithm of a checksum follows
    error_code: str | None = None  # of a response without a body
    error_message: str | None = None
    encoded_error: str | None = None  # the <Error> document of a response without a body, as Base64
    bucket_region: str | None = None
    retry_after: str | None = None  # besides Retry-After
    retention_mode: str | None = None
    retain_until: str | None = None
    legal_hold: str | None = None


def headers_like_s3(prefix: str, *, sse_kms_key_id: str) -> HeaderNames:
    """Return the headers that OBS has in common with S3: under its own *prefix*, or under that of S3."""
    return HeaderNames(
        security_token=f"{prefix}security-token",
        meta=f"{prefix}meta-",
        storage_class=f"{prefix}storage-class",
        sse=f"{prefix}server-side-encryption",
        sse_kms_key_id=prefix + sse_kms_key_id,
        copy_source=f"{prefix}copy-source",
        copy_source_range=f"{prefix}copy-source-range",
        request_id=f"{prefix}request-id",
        host_id=f"{prefix}id-2",
        version_id=f"{prefix}version-id",
        acl=f"{prefix}acl",
        grant=f"{prefix}grant-",
        website_redirect=f"{prefix}website-redirect-location",
        sse_c=f"{prefix}server-side-encryption-customer-",
        copy_source_sse_c=f"{prefix}copy-source-server-side-encryption-customer-",
        retention_mode=f"{prefix}object-lock-mode",
        retain_until=f"{prefix}object-lock-retain-until-date",
    )


class Dialect(Value):
    """One provider with one signature.

    ``prefix`` is that of the vendor's own headers.
    ``storage_classes`` maps the values of the option (upper-case) to those of the vendor; ``acls`` are those of --acl;
    ``sse`` maps ``AES256`` and ``kms`` to the value of the header.
    ``needs_region``: the signature contains the region; ``default_region`` is used if none is known.
    ``public_endpoint`` contains ``{region}``; None if the region does not determine the endpoint.
    ``acl_on_complete``: Complete sends the ACL, not Initiate (OSS).
    ``no_overwrite_on``: the operations that send the no-overwrite header.
    ``etag_is_composite``: the ETag of a multipart object is documented as MD5 of MD5s, hyphen, number of parts.
    ``url_encoded_on``: the operations that URL-encode keys in their responses on request.
    ``request_headers`` (lower-case) are sent with every request if the user sets them, for example request-payer.
    ``payload_hash_header``: the header with the SHA-256 of a small body; None if the body is not signed.
    ``redirects_only_root``: a website redirect has no effect on keys with a slash.
    ``customer_key_bytes`` are the sizes of SSE-C keys that the service documents.
    ``retention_modes`` maps the modes of --retention to those of the vendor. ``locks_later``: the headers of the upload
    may have no effect, and then the retention is set afterwards; ``retention_in_ms``: with a date in milliseconds.
    ``grantee`` is the format of a grantee id in a grant header. ``metadata_name`` is the pattern of a metadata name.
    ``checksums`` are the algorithms that a service is known to confirm, empty if it rejects their headers, None if
    nothing is known.
    ``bucket_characters`` is the inside of a character class. Buckets must not begin with one of
    ``reserved_bucket_starts`` or end with one of ``reserved_bucket_ends``, keys not begin with a character of
    ``refused_key_starts``.
    """

    name: str
    provider: str
    signature: str
    title: str
    prefix: str
    sign: Sign
    presign: Presign
    headers: HeaderNames
    limits: Limits
    storage_classes: Mapping[str, str]
    acls: tuple[str, ...]
    grant_permissions: frozenset[str]
    sse: Mapping[str, str]
    needs_region: bool = False
    default_region: str = ""
    public_endpoint: str | None = None
    acl_on_complete: bool = False
    no_overwrite_on: frozenset[str] = frozenset()
    etag_is_composite: bool = True
    url_encoded_on: frozenset[str] = KEY_LISTS
    request_headers: frozenset[str] = frozenset()
    payload_hash_header: str | None = None
    redirects_only_root: bool = False
    customer_key_bytes: tuple[int, ...] = (32,)
    retention_modes: Mapping[str, str] = field(default_factory=dict)
    locks_later: bool = False
    retention_in_ms: bool = False
    grantee: str = "id={}"
    metadata_name: str = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
    bucket_characters: str = "a-z0-9.-"
    reserved_bucket_starts: tuple[str, ...] = ()
    reserved_bucket_ends: tuple[str, ...] = ()
    refused_key_starts: str = ""
    checksums: tuple[str, ...] | None = None
