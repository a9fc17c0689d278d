"""Requests with presigned URLs, so that a worker needs no credentials: one part, or one whole object.

Until it expires, such a URL is as good as a password: no repr, log or message contains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Address, Dialect, Signable
from obsup.errors import WrongUsage, run_again
from obsup.model import Checksum, Target, Upload
from obsup.store.answers.checksums import digest_headers
from obsup.store.answers.request import Query, StoreRequest
from obsup.store.answers.server_clock import ServerClock
from obsup.store.endpoint_route import Route
from obsup.store.http.body import BodyDigests
from obsup.store.interface import CredentialSource
from obsup.value import Value

# A part waits for at most one other part. The largest, 5 GiB at 1 Mbit/s, takes half a day.
PART_LIFETIME_S = 24 * 3600
# A whole object is at most 9 MiB. Such a URL publishes it, so it lasts only as long as retries may take.
OBJECT_LIFETIME_S = 3600


class NotSigned(WrongUsage):
    """The request has no presigned URL, or needs a header that is not signed in it."""


class PresignedRequest(Value):
    """One presigned request, as plain values that can be sent to a worker.

    ``headers`` are signed: the request must be sent with them.
    """

    _hidden = ("query",)

    address: Address
    query: Query
    headers: tuple[tuple[str, str], ...] = ()

    def is_for(self, request: StoreRequest) -> bool:
        """Return whether this is the URL of *request*."""
        place = (self.address.bucket, self.address.key) == (request.bucket, request.key)
        return place and request.method == "PUT" and self.query[: len(request.query)] == request.query


class UrlSigner(Value):
    """Presigns requests with the current credentials and the store's clock."""

    _hidden = ("credentials",)

    dialect: Dialect
    route: Route
    credentials: CredentialSource
    clock: ServerClock

    def sign_part(
        self, upload: Upload, part_number: int, checksum: Checksum | None = None
    ) -> PresignedRequest:
        """Return a URL with which anyone can send this part, with no header but its *checksum*. Raises Denied."""
        query: Query = (("partNumber", str(part_number)), ("uploadId", upload.upload_id))
        return self._sign(upload.target, query, {}, BodyDigests(None, checksum), expires_s=PART_LIFETIME_S)

    def sign_object(
        self, target: Target, headers: Mapping[str, str], digests: BodyDigests
    ) -> PresignedRequest:
        """Return a URL with which anyone can put the object with these *headers* and *digests*. Raises Denied."""
        return self._sign(target, (), headers, digests, expires_s=OBJECT_LIFETIME_S)

    def _sign(
        self,
        target: Target,
        query: Query,
        headers: Mapping[str, str],
        digests: BodyDigests,
        *,
        expires_s: int,
    ) -> PresignedRequest:
        """Source: OBS API reference, "Authentication of Signature in a URL"."""
        location = self.route.location_of(target.bucket)
        address = locate(location.endpoint, target.bucket, target.key, location.addressing)
        headers = {**headers, **digest_headers(self.dialect.headers, digests)}
        signed = self.dialect.presign(
            Signable("PUT", address, query, headers),
            self.credentials.current(),
            region=location.region,
            now=self.clock.now(),
            expires_s=expires_s,
        )
        return PresignedRequest(address, signed, tuple(headers.items()))


def find_presigned(presigned: Sequence[PresignedRequest], request: StoreRequest) -> PresignedRequest:
    """Return the signed URL of *request*. Raises NotSigned without one, or if it is not signed with its headers."""
    signed = next((one for one in presigned if one.is_for(request)), None)
    lacking = sorted(name for name, _ in request.headers.items() - (signed.headers if signed else ()))
    if signed is not None and not lacking:
        return signed
    raise NotSigned(
        f"{request.operation} of {request.resource} is not signed{' with ' if lacking else ''}{', '.join(lacking)}",
        "The worker has no credentials, only presigned URLs, and the store requires another request",
        run_again("sign the requests in the workers", drop=("--presign",)),
    )
