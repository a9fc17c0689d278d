"""Vendor data: names, limits and formats of OBS, S3 and OSS."""

from __future__ import annotations

from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

OBS, AWS, AWS4, OSS, OSS4 = "obs", "aws2", "aws4", "oss1", "oss4"
"""The dialects: the five ways to sign a request."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """Names and limits of one vendor. Sizes are bytes; header names are lower-case."""

    name: str
    prefix: str
    """Prefix of the vendor's headers, for example ``x-obs-``."""
    namespace: str | None
    """The xmlns of responses; clients must not depend on it."""
    min_part: int
    """Minimum size of every part except the last, checked at Complete."""
    max_key: int
    """The longest key, in bytes of UTF-8, of OBS in characters."""
    acl_header: str
    acls: frozenset[str]
    storage_classes: tuple[str, ...]
    """The first is the default, which is not echoed."""
    kms_values: tuple[str, ...]
    """Values of ``…server-side-encryption`` that mean a key service."""
    sse_values: tuple[str, ...]
    kms_key_header: str
    key_too_long: str
    token_expired: tuple[int, str]
    customer_key_sizes: tuple[int, ...] = (32,)
    """Sizes of SSE-C keys, bytes."""
    max_metadata: int = 8 * KIB
    """Names and values of user metadata together, bytes."""
    upper_etag: bool = False
    encodes_responses: bool = True
    """Honours encoding-type=url on every operation, not on the lists of keys only."""
    space: str = "+"
    """How a space is written in a URL-encoded response."""
    digest_mismatch: str = "BadDigest"
    echoes_upload_id: bool = False

    def header(self, name: str) -> str:
        """Return the vendor's spelling of *name*, e.g. ``request-id`` → ``x-obs-request-id``."""
        return self.prefix + name


OBS_VENDOR = Vendor(
    name="obs",
    prefix="x-obs-",
    namespace="http://obs.sandbox.localhost/doc/2015-06-30/",
    min_part=100 * KIB,
    max_key=1024,
    acl_header="x-obs-acl",
    acls=frozenset({"private", "public-read", "public-read-write", "bucket-owner-full-control"}),
    storage_classes=("STANDARD", "WARM", "COLD", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"),
    kms_values=("kms",),
    sse_values=("AES256", "SM4"),
    kms_key_header="x-obs-server-side-encryption-kms-key-id",
    key_too_long="KeyTooLong",
    token_expired=(403, "InvalidAccessKeyId"),
    echoes_upload_id=True,
)

S3_VENDOR = Vendor(
    name="s3",
    prefix="x-amz-",
    namespace="http://s3.amazonaws.com/doc/2006-03-01/",
    min_part=5 * MIB,
    max_key=1024,
    acl_header="x-amz-acl",
    acls=frozenset(
        """private public-read public-read-write authenticated-read aws-exec-read bucket-owner-read
        bucket-owner-full-control log-delivery-write""".split()  # noqa: SIM905 - a table of names reads better as text
    ),
    storage_classes=tuple(
        """STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER_IR GLACIER DEEP_ARCHIVE
        REDUCED_REDUNDANCY""".split()  # noqa: SIM905 - a table of names reads better as text
    ),
    kms_values=("aws:kms", "aws:kms:dsse"),
    sse_values=("AES256",),
    kms_key_header="x-amz-server-side-encryption-aws-kms-key-id",
    max_metadata=2 * KIB,
    encodes_responses=False,
    key_too_long="KeyTooLongError",
    token_expired=(400, "ExpiredToken"),
)

OBS_IN_AWS_FORM = replace(
    OBS_VENDOR,
    prefix="x-amz-",
    namespace="http://obs.sandbox.localhost/doc/2006-03-01/",
    customer_key_sizes=(32, 64),
    acl_header="x-amz-acl",
    acls=S3_VENDOR.acls,
    storage_classes=("STANDARD", "STANDARD_IA", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"),
    kms_values=("aws:kms",),
    sse_values=("AES256",),
    kms_key_header="x-amz-server-side-encryption-aws-kms-key-id",
)

OSS_VENDOR = Vendor(
    name="oss",
    prefix="x-oss-",
    namespace=None,
    min_part=100 * KIB,
    max_key=1023,
    acl_header="x-oss-object-acl",
    acls=frozenset({"default", "private", "public-read", "public-read-write"}),
    storage_classes=("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"),
    kms_values=("KMS",),
    sse_values=("AES256", "SM4"),
    kms_key_header="x-oss-server-side-encryption-key-id",
    upper_etag=True,
    space="%20",
    key_too_long="InvalidObjectName",
    digest_mismatch="InvalidDigest",
    token_expired=(403, "SecurityTokenExpired"),
)


def vendor_of(dialect: str, *, aws_vendor: str = "s3") -> Vendor:
    """Return the vendor whose rules apply to *dialect*.

    S3 and OBS share the AWS signatures, and requests do not differ: *aws_vendor* selects one of the
    two (``s3`` or ``obs``).
    """
    if dialect in (OSS, OSS4):
        return OSS_VENDOR
    if dialect in (AWS, AWS4):
        return S3_VENDOR if aws_vendor == "s3" else OBS_IN_AWS_FORM
    return OBS_VENDOR
