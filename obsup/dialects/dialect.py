"""What a dialect is: one value that says all that differs between the vendors' wires. No IO."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from obsup.model import Credentials
from obsup.value import Value

Addressing = Literal["virtual", "path", "cname"]


# What answers with keys of others: here every vendor knows encoding-type=url.
KEYS_LISTED = frozenset({"ListMultipartUploads", "ListObjects"})
KEYS_ANSWERED = KEYS_LISTED | {"InitiateMultipartUpload", "ListParts", "CompleteMultipartUpload"}


class Limits(Value):
    """The service's limits. Sizes are bytes. Source: each vendor's "constraints" of uploading parts."""

    min_part: int
    max_part: int
    max_parts: int
    max_object: int
    max_put: int
    max_key: int
    max_metadata: int
    page: int = 1000


class Address(Value):
    """Where a request goes: what is sent, and what it is about.

    ``host`` has the port where it is not the scheme's own. ``path`` is percent-encoded, as sent. ``key`` is
    None for a request about the bucket.
    """

    scheme: str
    host: str
    path: str
    bucket: str
    key: str | None
    addressing: Addressing


class Signable(Value):
    """A request as it will leave the socket. Query values are decoded; None is a bare name (``?uploads``)."""

    _hidden = ("query", "headers")

    method: str
    address: Address
    # In no repr: either may hold a token, a key or a signature.
    query: tuple[tuple[str, str | None], ...]
    headers: Mapping[str, str]


class Sign(Protocol):
    """Return the headers to add so that the store takes *request*: date, token, hash, Authorization."""

    def __call__(
        self, request: Signable, credentials: Credentials, *, region: str, now: datetime
    ) -> dict[str, str]: ...


class Presign(Protocol):
    """Return the whole query of a URL that anyone may use for *expires_s* seconds from *now*."""

    def __call__(
        self, request: Signable, credentials: Credentials, *, region: str, now: datetime, expires_s: int
    ) -> tuple[tuple[str, str | None], ...]: ...


class HeaderNames(Value):
    """The dialect's name for each concept that obsup sends or reads; None where the vendor has none."""

    security_token: str
    meta: str  # prefix of user metadata
    acl: str | None
    grant: str | None  # prefix; the permission follows
    storage_class: str | None
    website_redirect: str | None
    success_redirect: str | None
    expires_days: str | None
    tagging: str | None
    sse: str | None
    sse_kms_key_id: str | None
    sse_c: str | None  # prefix; algorithm, key, key-MD5 follow
    copy_source: str
    copy_source_range: str
    no_overwrite: tuple[str, str] | None  # (name, value)
    request_id: str
    host_id: str
    version_id: str
    upload_id: str | None  # on HeadObject: the upload that made the object
    crc64: str | None  # in responses: CRC-64/XZ of a part or an object
    error_code: str | None = None  # of a response without a body
    error_message: str | None = None
    encoded_error: str | None = None  # the <Error> document of a response without a body, as Base64
    bucket_region: str | None = None
    retry_after: str | None = None  # besides Retry-After


class Dialect(Value):
    """One provider with one signature. Everything vendor-specific that the other floors need to know.

    ``storage_classes`` and ``acls`` map what users write (upper-case, lower-case) to the vendor's spelling;
    ``sse`` maps ``AES256`` and ``kms`` to the header's value.
    ``acl_on_complete``: the ACL belongs on Complete, not on Initiate (OSS).
    ``no_overwrite_on``: the operations that carry the no-overwrite header.
    ``etag_is_composite``: a multipart object's ETag is documented as md5-of-md5s-N.
    ``url_encoded_on``: the operations whose answers name the key, and do so in URL encoding where asked to.
    ``default_region`` signs where no region is known; ``public_endpoint`` is the vendor's, with ``{region}``
    in it, None where a region alone does not name one.
    ``request_headers`` (lower-case) are said on every request where the user says them: who pays, and the like.
    ``hashes_payload``: x-amz-content-sha256 is the hash of what is small enough, not a word for none (S3).
    ``grantee``: how a grant header names a grantee id. ``metadata_name``: what a metadata name must match.
    ``bucket_characters`` is the inside of a regular expression's class; ``reserved_bucket_starts`` and
    ``_ends`` are refused, as is a key that begins with one of ``refused_key_starts``.
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
    acls: Mapping[str, str]
    grant_permissions: frozenset[str]
    sse: Mapping[str, str]
    needs_region: bool = False
    default_region: str = ""
    public_endpoint: str | None = None
    acl_on_complete: bool = False
    no_overwrite_on: frozenset[str] = frozenset()
    etag_is_composite: bool = True
    url_encoded_on: frozenset[str] = KEYS_LISTED
    request_headers: frozenset[str] = frozenset()
    payload_hash_header: str | None = None
    grantee: str = "id={}"
    metadata_name: str = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
    bucket_characters: str = "a-z0-9.-"
    reserved_bucket_starts: tuple[str, ...] = ()
    reserved_bucket_ends: tuple[str, ...] = ()
    refused_key_starts: str = ""
