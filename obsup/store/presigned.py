"""Parts with presigned URLs, so that a worker needs no credentials.

Until it expires, such a URL is as good as a password: no repr, log or message contains it.
"""

from __future__ import annotations

from contextlib import closing

from obsup import events
from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Address, Dialect, Signable
from obsup.errors import StoreError, WrongUsage, run_again
from obsup.model import Checksum, Stored, Upload
from obsup.store.answers.checksums import request_headers
from obsup.store.answers.refusal import read_refusal
from obsup.store.answers.request import Query, StoreRequest
from obsup.store.answers.result_headers import read_stored, require_etag
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import NO_DIGESTS, BodyDigests, OpenBody
from obsup.store.http.endpoint_route import Route
from obsup.store.http.settings import Response
from obsup.store.http.transport import Transport
from obsup.store.interface import CredentialSource
from obsup.store.request_events import reported
from obsup.value import Value

# A part waits for at most one other part. The largest, 5 GiB at 1 Mbit/s, takes half a day.
URL_LIFETIME_S = 24 * 3600


class PresignedPart(Value):
    """The presigned URL of one part, as plain values that can be sent to a worker.

    ``checksum`` is signed: the part must be sent with it.
    """

    _hidden = ("query",)

    address: Address
    query: Query
    checksum: Checksum | None = None


class PartSigner(Value):
    """Presigns the URLs of parts with the current credentials and the store's clock."""

    _hidden = ("credentials",)

    dialect: Dialect
    route: Route
    credentials: CredentialSource
    clock: ServerClock

    def sign(self, upload: Upload, part_number: int, checksum: Checksum | None = None) -> PresignedPart:
        """Return a URL with which anyone can send this part, with no header but its *checksum*. Raises Denied.

        Source: OBS API reference, "Authentication of Signature in a URL".
        """
        target = upload.target
        location = self.route.location_of(target.bucket)
        address = locate(location.endpoint, target.bucket, target.key, location.addressing)
        query: Query = (("partNumber", str(part_number)), ("uploadId", upload.upload_id))
        signed = self.dialect.presign(
            Signable("PUT", address, query, request_headers(self.dialect.headers, checksum)),
            self.credentials.current(),
            region=location.region,
            now=self.clock.now(),
            expires_s=URL_LIFETIME_S,
        )
        return PresignedPart(address, signed, checksum)


class PresignedStore:
    """A PartStore for one presigned part. It sends the part once, as HttpStore."""

    def __init__(
        self,
        dialect: Dialect,
        transport: Transport,
        presigned: PresignedPart,
        observe: events.Observer = events.ignore,
    ) -> None:
        self._dialect = dialect
        self._transport = transport
        self._presigned = presigned
        self._observe = observe

    def upload_part(
        self,
        upload: Upload,
        part_number: int,  # noqa: ARG002 - the URL contains it
        open_body: OpenBody,
        digests: BodyDigests = NO_DIGESTS,
    ) -> Stored:
        """Send the part and the signed checksum to its URL. Raises WrongUsage for Content-MD5, which is not signed."""
        target, names = upload.target, self._dialect.headers
        if digests.content_md5 is not None:
            raise WrongUsage(
                f"the parts of {target} must have Content-MD5",
                "A presigned URL does not contain it",
                run_again("sign the requests in the workers", drop=("--presign",)),
            )
        request = StoreRequest(
            "UploadPart", "PUT", target.bucket, target.key, self._presigned.query, body=open_body
        )
        response = reported(self._observe, names, request, lambda: self._send(request, open_body))
        if not request.is_success(response.status):
            refusal = read_refusal(
                response,
                names,
                operation=request.operation,
                resource=str(target),
                endpoint=target.endpoint,
            )
            # A redirect may repeat the signed URL.
            raise StoreError(refusal._replace(location=""))
        return read_stored(response, names, require_etag(response, request.operation))

    def _send(self, request: StoreRequest, open_body: OpenBody) -> Response:
        with closing(open_body()) as body:
            return self._transport.exchange(
                request.method,
                self._presigned.address,
                request.query,
                headers=request_headers(self._dialect.headers, self._presigned.checksum),
                body=body,
                sign=None,
            )
