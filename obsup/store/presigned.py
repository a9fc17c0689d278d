"""Parts whose URL was signed elsewhere: who sends them holds no credentials.

Such a URL is as good as a password until it expires: it stands in no repr, no log and no message.
"""

from __future__ import annotations

from contextlib import closing

from obsup import events
from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Address, Dialect, Signable
from obsup.errors import StoreError
from obsup.model import Stored, Upload
from obsup.store.answers.refusal import read_refusal
from obsup.store.answers.request import Query, StoreRequest
from obsup.store.answers.result_headers import named_etag, read_stored
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import OpenBody
from obsup.store.http.endpoint_route import Route
from obsup.store.http.settings import Response
from obsup.store.http.transport import Transport
from obsup.store.interface import CredentialSource
from obsup.store.request_events import RequestEvents
from obsup.value import Value

# A part waits behind at most one other; the longest, 5 GiB over a line of 1 Mbit/s, takes half a day.
VALID_S = 24 * 3600


class PresignedPart(Value):
    """The URL of one part, signed, in pieces. Plain values that may travel to whoever is to send the part."""

    _hidden = ("query",)

    address: Address
    query: Query


class PartSigner:
    """Signs the URLs of parts with the keys and the clock of this moment."""

    def __init__(
        self, dialect: Dialect, route: Route, *, credentials: CredentialSource, clock: ServerClock
    ) -> None:
        self._dialect = dialect
        self._route = route
        self._credentials = credentials
        self._clock = clock

    def sign(self, upload: Upload, part_number: int) -> PresignedPart:
        """Return a URL under which anyone may send this part, without further headers. Raises Denied.

        Source: OBS API reference, "Authentication of Signature in a URL".
        """
        target = upload.target
        location = self._route.location_of(target.bucket)
        address = locate(location.endpoint, target.bucket, target.key, location.addressing)
        query: Query = (("partNumber", str(part_number)), ("uploadId", upload.upload_id))
        signed = self._dialect.presign(
            Signable("PUT", address, query, {}),
            self._credentials.current(),
            region=location.region,
            now=self._clock.now(),
            expires_s=VALID_S,
        )
        return PresignedPart(address, signed)


class PresignedStore:
    """A PartStore for one presigned part. Tries once, as HttpStore does."""

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
        self._watch = RequestEvents(observe, dialect.headers.request_id)

    def upload_part(
        self,
        upload: Upload,
        part_number: int,  # noqa: ARG002 - the URL says which
        open_body: OpenBody,
        *,
        content_md5: str | None = None,
    ) -> Stored:
        """Send the part to its URL. *content_md5* is not part of what was signed, and so cannot be sent."""
        assert content_md5 is None, "a presigned part has no Content-MD5"
        target = upload.target
        call = StoreRequest(
            "UploadPart", "PUT", target.bucket, target.key, self._presigned.query, body=open_body
        )
        answer = self._watch.tell(call, lambda: self._send(call, open_body))
        names = self._dialect.headers
        if not 200 <= answer.status < 300:
            refusal = read_refusal(
                answer,
                names,
                operation=call.operation,
                resource=str(target),
                endpoint=target.endpoint,
            )
            # A redirect may repeat the signed URL.
            raise StoreError(refusal._replace(location=""))
        return read_stored(answer, names, named_etag(answer, call.operation))

    def _send(self, call: StoreRequest, open_body: OpenBody) -> Response:
        with closing(open_body()) as body:
            return self._transport.exchange(
                call.method,
                self._presigned.address,
                call.query,
                headers={},
                body=body,
                sign=None,
            )
