"""Authenticate a request and execute its operation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from obsup.sandbox.faults import Fault, FaultBook, Place
from obsup.sandbox.limits import Limits
from obsup.sandbox.operations import OPERATIONS, unsupported_headers
from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.checksums import check_accepted
from obsup.sandbox.refusals import Refused
from obsup.sandbox.signatures.check import Account, check_signature
from obsup.sandbox.signatures.claim import Claim
from obsup.sandbox.storage.disk import Disk
from obsup.sandbox.storage.names import check_bucket_name
from obsup.sandbox.storage.uploads import Uploads
from obsup.sandbox.vendors import AWS, OBS, OSS, Vendor, vendor_of
from obsup.sandbox.wire.body import Body
from obsup.sandbox.wire.request import Request
from obsup.sandbox.wire.response import Response

SKEW_S = 900.0
"""Allowed clock difference of a client, the same for all three vendors."""


@dataclass(slots=True)
class Service:
    """The rules and the storage of one sandbox. ``account`` may be replaced while it runs."""

    disk: Disk
    uploads: Uploads
    account: Account
    limits: Limits
    faults: FaultBook
    clock: Callable[[], float]
    custom_domains: Mapping[str, str] = field(default_factory=dict)
    only_buckets: frozenset[str] = frozenset()
    """If not empty, no other bucket exists unless it is created."""
    aws_vendor: str = "s3"
    """The vendor whose rules apply to AWS signatures: ``s3`` or ``obs`` (its AWS form)."""
    encrypts: bool = False
    """Objects without encryption headers are encrypted with KMS: no ETag is an MD5 then."""
    dead_tokens: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self, faults: Mapping[str, Fault]) -> float:
        """Return the server's clock in epoch seconds, shifted by limits and faults."""
        skew = faults["skew"].number if "skew" in faults else 0.0
        return self.clock() + self.limits.skew + skew

    def vendor(self, request: Request, claim: Claim | None) -> tuple[str, Vendor]:
        """Return the dialect of a request, guessed if it is unsigned, and its vendor."""
        dialect = claim.dialect if claim is not None else _guess_dialect(request)
        return dialect, vendor_of(dialect, aws_vendor=self.aws_vendor)

    def place(self, request: Request, operation: str, length: int) -> Place:
        """Return the position of the request in the protocol, for the fault rules. *length*: bytes of its body."""
        number = request.param("partNumber")
        part_number = int(number) if number.isdecimal() else None
        is_last = False
        if operation == "part":
            try:
                upload = self.uploads.find(request.bucket, request.key, request.param("uploadId"))
            except Refused:
                upload = None
            is_last = upload is not None and any(part.size > length for part in upload.listed_parts())
        return Place(operation, part_number, request.key, is_last, length)

    def forget_upload(self, request: Request) -> None:
        """Remove the request's upload (a fault)."""
        self.uploads.forget(self.uploads.find(request.bucket, request.key, request.param("uploadId")))

    def expire_token(self, claim: Claim | None) -> None:
        """Reject the request's security token in all later requests (a fault)."""
        with self._lock:
            self.dead_tokens.add(claim.token if claim is not None else "")

    def revive_tokens(self) -> None:
        """Accept all expired tokens again."""
        with self._lock:
            self.dead_tokens.clear()

    def perform(
        self,
        request: Request,
        body: Body,
        *,
        operation: str,
        claim: Claim | None,
        faults: Mapping[str, Fault],
        now: float,
    ) -> Response:
        """Check and execute a request. Raises Refused."""
        if operation == "apiversion":
            return Response(headers={"x-obs-api": "3.0"})
        if claim is None:
            raise Refused(403, "AccessDenied", "Access Denied: the request is not signed.")
        dialect, vendor = self.vendor(request, claim)
        check_signature(request, claim, self.account, now=now, skew_s=SKEW_S)
        self._check_token(claim, vendor)
        dropped = unsupported_headers(request, operation, vendor)
        if operation == "unknown" or dropped:
            message = "A header, a parameter or a method you provided implies functionality not implemented."
            details = {"Header": ", ".join(dropped)} if dropped else {}
            raise Refused(501, "NotImplemented", message, details=details)
        self._check_bucket(request, vendor, operation)
        call = Call(
            request=request,
            body=body,
            operation=operation,
            dialect=dialect,
            vendor=vendor,
            faults=faults,
            limits=self.limits,
            now=now,
            disk=self.disk,
            uploads=self.uploads,
            encrypts=self.encrypts,
        )
        check_accepted(call)
        return OPERATIONS[operation](call)

    def _check_token(self, claim: Claim, vendor: Vendor) -> None:
        with self._lock:
            is_dead = claim.token in self.dead_tokens
        if is_dead:
            raise Refused(*vendor.token_expired, "The provided token has expired.")
        wanted = self.account.token
        if wanted is None or claim.token == wanted:
            return
        if not claim.token:
            raise Refused(403, "InvalidAccessKeyId", "This access key is valid with its security token only.")
        if vendor.name == "oss":
            raise Refused(403, "InvalidSecurityToken", "The security token you provided is invalid.")
        raise Refused(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")

    def _check_bucket(self, request: Request, vendor: Vendor, operation: str) -> None:
        """Create the bucket on first use, or reject an unknown one."""
        if not request.bucket or operation == "create-bucket":
            return
        if self.disk.has_bucket(request.bucket):
            return
        if self.only_buckets or operation == "delete-bucket":
            details = {"BucketName": request.bucket}
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist", details=details)
        check_bucket_name(request.bucket, vendor)
        self.disk.make_bucket(request.bucket)


def _guess_dialect(request: Request) -> str:
    names = " ".join([name for name, _ in request.headers] + [name.lower() for name, _ in request.query])
    if "x-amz-" in names:
        return AWS
    return OSS if "x-oss-" in names else OBS
