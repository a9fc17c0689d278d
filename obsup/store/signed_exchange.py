"""One call and its answer: signed with the keys and the clock of this moment, and success or StoreError."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing, nullcontext

from msgspec.structs import replace

from obsup import events
from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Dialect, Signable
from obsup.errors import NetworkError, Refusal, StoreError
from obsup.store.answers import xml
from obsup.store.answers.refusal import read_refusal
from obsup.store.answers.request import StoreRequest
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.endpoint_route import Location, Route
from obsup.store.http.settings import Response
from obsup.store.http.transport import Transport
from obsup.store.interface import CredentialSource
from obsup.store.request_events import RequestEvents


class SignedExchange:
    """Sends calls in one dialect to wherever their buckets are. Safe to share between threads."""

    def __init__(
        self,
        dialect: Dialect,
        route: Route,
        *,
        transport: Transport,
        credentials: CredentialSource,
        clock: ServerClock,
        headers: Mapping[str, str],
        observe: events.Observer = events.ignore,
    ) -> None:
        self._dialect = dialect
        self._watch = RequestEvents(observe, dialect.headers.request_id)
        self._route = route
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._own_headers = headers

    def send(self, call: StoreRequest) -> Response:
        """Return the answer that says success, after one redirect at most, which is signed anew.

        Raises StoreError for every other answer, LineError for none.
        """
        if call.operation in self._dialect.url_encoded_on:
            # A key may hold what no XML can, and its answer would be none.
            call = replace(call, query=(*call.query, ("encoding-type", "url")))
        location = self._route.location_of(call.bucket)
        answer = self._watch.tell(call, lambda: self._send_to(location, call))
        if call.is_answered_by(answer.status):
            return answer
        refusal = self.refusal(call, answer)
        place = self._route.follow(call.bucket, location, refusal)
        if place is None:
            raise StoreError(refusal)
        answer = self._watch.tell(call, lambda: self._send_to(place, call))
        if call.is_answered_by(answer.status):
            return answer
        raise StoreError(self.refusal(call, answer))

    def document(self, call: StoreRequest, answer: Response, *signs: str) -> xml.Element:
        """Return the answer's document, which must have one of the elements *signs*: roots have various names.

        Raises StoreError for an <Error> in a 200, LineError for anything else that the protocol does not promise.
        """
        try:
            root = xml.parse(answer.body)
        except xml.BadXML as exc:
            raise NetworkError("incomplete" if exc.is_torn else "garbled", str(exc), sent=True) from exc
        if root.tag == "Error":
            raise StoreError(self.refusal(call, answer))
        if not any(root.find(sign) is not None for sign in signs):
            raise NetworkError("garbled", f"the answer to {call.operation} is another document", sent=True)
        return root

    def ask(self, call: StoreRequest, *signs: str) -> xml.Element:
        """Send *call* and return its answer's document, as ``document`` does."""
        return self.document(call, self.send(call), *signs)

    def refusal(self, call: StoreRequest, answer: Response) -> Refusal:
        """Return what *answer* refuses."""
        refusal = read_refusal(
            answer,
            self._dialect.headers,
            operation=call.operation,
            resource=call.resource,
            endpoint=self._route.location_of(call.bucket).endpoint,
        )
        refusal = refusal._replace(clock_ahead_s=self._clock.ahead_s(refusal.date))
        # Some stores have no word for an upload that they do not know. A copy's NoSuchKey is its source's.
        if refusal.status == 404 and refusal.code == "NoSuchKey" and call.is_about_upload and not call.copies:
            return refusal._replace(code="NoSuchUpload")
        return refusal

    def _send_to(self, location: Location, call: StoreRequest) -> Response:
        address = locate(location.endpoint, call.bucket, call.key, location.addressing)
        credentials = self._credentials.current()

        def sign(headers: Mapping[str, str]) -> dict[str, str]:
            request = Signable(call.method, address, call.query, headers)
            return self._dialect.sign(request, credentials, region=location.region, now=self._clock.now())

        body = nullcontext(call.body) if isinstance(call.body, bytes) else closing(call.body())
        with body as opened:
            return self._transport.exchange(
                call.method,
                address,
                call.query,
                headers=self._headers(call),
                body=opened,
                sign=sign,
                takes_long=call.takes_long,
            )

    def _headers(self, call: StoreRequest) -> dict[str, str]:
        headers = {**self._own_headers, **call.headers}
        if self._dialect.hashes_payload and isinstance(call.body, bytes):
            headers["x-amz-content-sha256"] = hashlib.sha256(call.body).hexdigest()
        return headers
