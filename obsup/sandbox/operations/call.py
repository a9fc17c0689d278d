"""The input of an operation: the request, the rules that apply to it, and the storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from obsup.sandbox.faults import Fault
from obsup.sandbox.limits import Limits
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import (
    Attributes,
    encryption_headers,
    lock_headers,
    no_object_lock,
    read_attributes,
    read_customer_key,
    read_lock,
    without_options,
)
from obsup.sandbox.storage.disk import Disk
from obsup.sandbox.storage.uploads import Upload, Uploads
from obsup.sandbox.vendors import OSS, OSS4, Vendor
from obsup.sandbox.wire.body import Body, Expected, is_aws_chunked
from obsup.sandbox.wire.digests import Digest
from obsup.sandbox.wire.request import Request

VERSION_ID = "0" * 31 + "1"
"""The only version of every object in a bucket with Object Lock, which always has versions."""


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request. ``now`` is epoch seconds."""

    request: Request
    body: Body
    operation: str
    dialect: str
    vendor: Vendor
    faults: Mapping[str, Fault]
    limits: Limits
    now: float
    disk: Disk
    uploads: Uploads
    encrypts: bool = False

    @property
    def bucket(self) -> str:
        """The bucket addressed."""
        return self.request.bucket

    @property
    def key(self) -> str:
        """The key addressed, decoded."""
        return self.request.key

    def find_upload(self) -> Upload:
        """Return the open upload that the request names. Raises Refused (404 NoSuchUpload)."""
        return self.uploads.find(self.bucket, self.key, self.request.param("uploadId"))

    @property
    def is_oss(self) -> bool:
        """Return whether the client uses OSS and therefore expects CRC-64."""
        return self.dialect in (OSS, OSS4)

    def expected(
        self, algorithm: str = "", *, is_of_body: bool = True, attributes: Attributes | None = None
    ) -> Expected:
        """Return what the headers announce about the body; a checksum of *algorithm* is computed in any case.

        *is_of_body*: checksum headers are those of the body, not those of an object. *attributes* are those of the
        object that the body is written to: S3 requires a digest for one that will be locked.

        Raises Refused (400) without a digest that is required.
        """
        has_checksums = is_of_body and self._has_checksums
        expected = Expected(
            self.request,
            self.vendor,
            with_crc64=self.is_oss,
            algorithm=algorithm,
            has_checksums=has_checksums,
        )
        lock = self.faults.get("object-lock") if self.vendor.name == "s3" and attributes else None
        is_locked = attributes is not None and (attributes.lock_mode or attributes.legal_hold)
        is_required = "require-md5" in self.faults or (lock and (lock.number or is_locked))
        if is_required and not expected.is_checked:
            message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with Object Lock"
            raise Refused(400, "InvalidRequest", f"{message} parameters")
        return expected

    @property
    def _has_checksums(self) -> bool:
        """Whether checksum headers are checked: those of S3, and those of OBS in some regions only."""
        is_obs = self.vendor.name == "obs"
        return "obs-checksums" in self.faults if is_obs else "ignore-checksums" not in self.faults

    def attributes(self) -> Attributes:
        """Return the attributes that the request sets, as far as this store supports them. Raises Refused (400)."""
        attributes = read_attributes(self.request, self.vendor, encrypts=self.encrypts)
        if "ignore-encryption" in self.faults:
            attributes = replace(attributes, encryption="", kms_key_id="", customer_key_md5="")
        if "ignore-checksums" in self.faults:
            attributes = replace(attributes, checksum_algorithm="", checksum_type="")
        lock = {} if "ignore-lock" in self.faults else read_lock(self.request, self.vendor, now=self.now)
        if lock and "object-lock" not in self.faults:
            raise no_object_lock()
        attributes = replace(attributes, **lock)
        return without_options(attributes) if "ignore-options" in self.faults else attributes

    def with_default_retention(self, attributes: Attributes) -> Attributes:
        """Return *attributes* with the retention that is the default of the bucket, unless they have one."""
        default = self.faults.get("object-lock")
        if default is None or not default.number or attributes.lock_mode or self.is_oss:
            return attributes
        return replace(attributes, lock_mode="COMPLIANCE", lock_until=self.now + default.number)

    def lock_headers(self, attributes: Attributes) -> dict[str, str]:
        """Return the headers that show the lock of an object."""
        return {} if "hide-lock" in self.faults else lock_headers(attributes, self.vendor)

    def version_headers(self) -> dict[str, str]:
        """Return the header with the version of an object; none in a bucket without versions."""
        return {self.vendor.header("version-id"): VERSION_ID} if "object-lock" in self.faults else {}

    def customer_key(self, *, of: str = "") -> str:
        """Return the MD5 of the SSE-C key, or nothing; see ``read_customer_key``. Raises Refused (400)."""
        if "ignore-encryption" in self.faults:
            return ""
        return read_customer_key(self.request, self.vendor, of=of)

    def encryption_headers(self, attributes: Attributes) -> dict[str, str]:
        """Return the headers that echo the encryption of an object or part."""
        return {} if "hide-encryption" in self.faults else encryption_headers(attributes, self.vendor)

    def check_length(self) -> None:
        """Raise Refused: 411 MissingContentLength, 400 EntityTooLarge. S3 accepts chunks only as aws-chunked."""
        is_chunked = self.request.has_header("transfer-encoding")
        if self.vendor.name == "s3" and not is_aws_chunked(self.request):
            is_chunked = False
        if not is_chunked and not self.request.has_header("content-length"):
            raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if self.body.length > self.limits.max_part:
            details = {"ProposedSize": str(self.body.length), "MaxSizeAllowed": str(self.limits.max_part)}
            message = "Your proposed upload exceeds the maximum allowed size"
            raise Refused(400, "EntityTooLarge", message, details=details)

    def read_document(self, limit: int, *, is_of_body: bool = True) -> bytes:
        """Return the checked body of a request that carries XML; *is_of_body* as for ``expected``."""
        expected = self.expected(is_of_body=is_of_body)
        text = self.body.read_all(limit)
        digest = Digest(expected.digests)
        digest.update(memoryview(text))
        expected.check(digest)
        return text
