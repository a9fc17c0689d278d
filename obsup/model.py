"""The immutable values that all packages share. Sizes and offsets are bytes."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import field

from obsup.dates import parse_date
from obsup.text import quoted
from obsup.value import MD5Hex, NotNegative, Positive, Value


class Target(Value):
    """Where an object goes: a key in a bucket at an endpoint of a provider (``obs``, ``s3``, ``oss``)."""

    provider: str
    endpoint: str
    bucket: str
    key: str

    @property
    def name(self) -> str:
        """BUCKET/KEY, unquoted: for a command line, not for a message."""
        return f"{self.bucket}/{self.key}"

    def below(self, name: str) -> Target:
        """Return the target of *name* below this one, whose key is a prefix."""
        return Target(self.provider, self.endpoint, self.bucket, self.key + name)

    def __str__(self) -> str:
        return quoted(self.name)


class Part(Value):
    """One window on the source. Part numbers start at 1."""

    number: int
    offset: int
    size: int


class Checksum(Value, array_like=True):
    """A checksum of S3: the algorithm (``crc64nvme``, ``crc32c``, ``crc32``, ``sha256``, ``sha1``), and its value.

    The value is Base64, as in headers; that of checksums of parts (composite) ends with a hyphen and the number of
    parts. The algorithm ``crc64`` is that of OBS, whose value is a decimal number.
    """

    algorithm: str
    value: str

    @classmethod
    def of(cls, algorithm: str, raw: bytes) -> Checksum:
        """Return the checksum with these bytes."""
        return cls(algorithm, b64encode(raw).decode())

    @property
    def raw(self) -> bytes:
        """The bytes of a checksum that is not composite."""
        return b64decode(self.value)

    @property
    def is_composite(self) -> bool:
        """Whether it is a checksum of checksums of parts."""
        return "-" in self.value


class UploadChecksum(Value, rename="camel"):
    """The checksum that a store agreed to for an upload: each part has one, and so has the object.

    ``is_full_object``: that of the object is the checksum of its bytes; otherwise, of the checksums of its parts.
    """

    algorithm: str
    is_full_object: bool

    @property
    def is_proof(self) -> bool:
        """Whether the object's checksum verifies its content as an MD5 does."""
        return self.is_full_object or self.algorithm in ("sha256", "sha1")


class ObjectChecksums(Value):
    """What Complete sends: the checksums of ``parts`` by number, that of the ``whole`` object, its size in bytes."""

    parts: Mapping[int, Checksum]
    whole: Checksum | None
    size: int


class Receipt(Value):
    """What the store confirmed for one part, and the digests computed while sending it.

    ``etag`` has no quotes; its case is the store's. ``md5`` is lower-case hex, ``crc64`` the CRC-64/XZ of
    the part, ``checksum`` the one that was sent with it; each is None if it was not computed. ``is_unproven``: it was
    read by a host that may see another file, so its content must be compared with the source.
    """

    number: Positive
    size: NotNegative
    etag: str
    md5: MD5Hex | None = None
    crc64: int | None = None
    is_unproven: bool = False
    checksum: Checksum | None = None

    @property
    def listed(self) -> StoredPart:
        """The part as ListParts shows it."""
        return StoredPart(self.number, self.size, self.etag, crc64=self.crc64, checksum=self.checksum)


class SourceStat(Value, rename="camel"):
    """The identity of the source file at one point in time."""

    size: NotNegative
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int


# The metadata of an object that has the token of its upload.
TOKEN_NAME = "obsup-token"


class Upload(Value):
    """One multipart upload: its upload id, and the random token in the object's metadata that identifies it as ours.

    ``is_found``: the response to Initiate was lost, and a list of open uploads has this one. Only the token of the
    object shows that it is ours. ``checksum`` is what the store agreed to, None for none.
    """

    target: Target
    upload_id: str
    token: str | None = None
    is_found: bool = False
    checksum: UploadChecksum | None = None

    @property
    def abort_command(self) -> tuple[str, ...]:
        """The command that aborts it."""
        return ("obsup", "abort", self.target.name, "--upload-id", self.upload_id)


class Credentials(Value):
    """An access key, its secret and, for temporary keys, the security token.

    ``expires`` is seconds since the epoch. ``repr`` omits the secret, and pickling fails: a worker on
    another machine finds its own credentials.
    """

    _hidden = ("secret_key", "token")

    access_key: str
    secret_key: str
    token: str | None = None
    expires: float | None = None
    origin: str = "the caller"

    def __reduce__(self) -> Any:
        raise TypeError("credentials are never pickled: each worker resolves its own")


class CustomerKey(Value):
    """An SSE-C key: raw bytes, as many as the dialect accepts. As secret as credentials."""

    _hidden = ("key",)

    key: bytes

    @property
    def digest(self) -> str:
        """Identifies the key without revealing it, in hex."""
        return hmac.digest(self.key, b"obsup SSE-C key", "sha256").hex()[:32]

    @property
    def md5(self) -> str:
        """The MD5 of the key in Base64, with which requests and responses name it."""
        return b64encode(hashlib.md5(self.key, usedforsecurity=False).digest()).decode()

    def __reduce__(self) -> Any:
        raise TypeError("an SSE-C key is never pickled: each worker reads its own file")


class ObjectOptions(Value):
    """The options of the object, independent of the vendor; a dialect converts them to headers.

    ``grants`` are (permission, grantee id) pairs; ``expires_days`` counts from the last modification;
    ``headers`` are sent unchanged (the vendors' extensionHeaders).
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    expires_header: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    acl: str | None = None
    grants: tuple[tuple[str, str], ...] = ()
    storage_class: str | None = None
    website_redirect: str | None = None
    success_redirect: str | None = None
    expires_days: int | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    no_overwrite: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    retention: Literal["governance", "compliance"] | None = None
    retain_until: str | None = None
    legal_hold: bool = False


class StoredPart(Value):
    """One entry of ListParts. ``crc64`` and ``checksum`` are None unless the store lists them (OSS, S3)."""

    number: int
    size: int
    etag: str
    last_modified: str = ""
    crc64: int | None = None
    checksum: Checksum | None = None

    @property
    def receipt(self) -> Receipt:
        """The part as the receipt of what the store returned; no MD5 was computed."""
        return Receipt(self.number, self.size, self.etag, None, self.crc64, checksum=self.checksum)


class ListWindow(Value):
    """Which open uploads to list: those after the markers, at most ``most``.

    ``upload_id_marker`` needs ``key_marker``, and then also lists later uploads of that key. Keys that are equal up to
    the first ``delimiter`` after the prefix are one entry.
    """

    delimiter: str = ""
    key_marker: str = ""
    upload_id_marker: str = ""
    most: int | None = None


class OpenUpload(Value):
    """One entry of ListMultipartUploads. ``initiated`` is the store's text (ISO 8601).

    ``is_prefix``: the common beginning of several keys, up to the delimiter of the list; it has only a key.
    """

    key: str
    upload_id: str
    initiated: str
    is_prefix: bool = False

    @property
    def initiated_s(self) -> float | None:
        """The date of the initiation in seconds since the epoch, or None if the store returned no valid date."""
        return parse_date(self.initiated)


class StoredObject(Value):
    """One entry of ListObjects. ``last_modified`` is the store's text (ISO 8601)."""

    key: str
    size: int
    etag: str
    last_modified: str = ""


class ObjectPage(Value):
    """One page of ListObjects, ascending by key; ``marker`` requests the next page, None if this is the last one."""

    objects: tuple[StoredObject, ...]
    marker: str | None


class Stored(Value):
    """The store's response for a part or an object that it stored, with the fields of the vendors' result tables.

    ``date`` is the Date header; of a part, ``size`` is how many bytes were sent, ``source_version_id`` what was copied.
    """

    status: int
    etag: str
    request_id: str = ""
    host_id: str = ""
    version_id: str | None = None
    location: str | None = None
    crc64: int | None = None
    sse_kms: str | None = None
    sse_kms_key: str | None = None
    sse_c: str | None = None
    sse_c_key_md5: str | None = None
    date: str = ""
    size: int | None = None
    checksum: Checksum | None = None
    source_version_id: str | None = None


class Initiated(Value):
    """The store's response to Initiate: the upload id, and the headers, which may confirm the encryption.

    ``is_found``: the response was lost, and a list of open uploads has this one. ``checksum`` is what the response
    confirms for the parts.
    """

    upload_id: str
    response: Stored = Stored(200, "")
    is_found: bool = False
    checksum: UploadChecksum | None = None


class ObjectLock(Value, rename="camel"):
    """The lock of an object: ``retention`` is governance or compliance, ``retain_until`` an ISO 8601 date in UTC."""

    retention: str | None = None
    retain_until: str | None = None
    legal_hold: bool = False


class ObjectInfo(Value):
    """The response of HeadObject. ``metadata`` keys are lower-case; ``upload_id`` is None if it is not returned.

    ``headers`` are all headers of the response, with lower-case names. ``checksum`` may be composite.
    """

    _hidden = ("headers",)

    size: int
    etag: str
    metadata: Mapping[str, str]
    upload_id: str | None = None
    version_id: str | None = None
    crc64: int | None = None
    request_id: str = ""
    last_modified: str = ""
    sse: str | None = None
    lock: ObjectLock | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    checksum: Checksum | None = None

    def may_have(self, size: int | None) -> bool:
        """Return whether *size* does not contradict the response; without a valid Content-Length, none does."""
        return self.size < 0 or size in (None, self.size)
