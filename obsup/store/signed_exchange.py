"""Send a request, signed with current credentials and the store's clock, and check that the response is a success."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from http import HTTPStatus

from msgspec.structs import replace

from obsup import events
from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Address, Dialect, Signable
from obsup.errors import LongResponse, NetworkError, NextStep, Refusal, StoreError, Unsupported
from obsup.store.answers import xml
from obsup.store.answers.refusal import hides_cause, read_refusal
from obsup.store.answers.request import Query, StoreRequest
from obsup.store.answers.server_clock import ServerClock
from obsup.store.endpoint_route import Location, Route
from obsup.store.http.proxy import is_forwarded
from obsup.store.http.settings import Response
from obsup.store.http.transport import Sign, Transport
from obsup.store.interface import CredentialSource
from obsup.store.presigned import PresignedRequest, find_presigned
from obsup.store.request_events import reported


class SignedExchange:
    """Sends requests in one dialect to the location of their bucket, signed. Safe to share between threads.

    *headers* are sent with every request. *is_assumed*: nothing shows yet that the endpoint uses this dialect. With
    *presigned*, only these requests can be sent, and no credentials are needed.
    """

    def __init__(
        self,
        dialect: Dialect,
        route: Route,
        *,
        transport: Transport,
        credentials: CredentialSource,
        clock: ServerClock,
        headers: Mapping[str, str] | None = None,
        observe: events.Observer = events.ignore,
        is_assumed: bool = False,
        presigned: Sequence[PresignedRequest] | None = None,
    ) -> None:
        self.dialect = dialect
        self._observe = observe
        self.endpoint = route.configured.endpoint
        self.proxy = transport.proxy_of(self.endpoint)
        self._is_reached = False
        self._route = route
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._common_headers = headers or {}
        self._is_assumed = is_assumed
        self._presigned = presigned

    def send(self, request: StoreRequest) -> Response:
        """Return the successful response, after at most one redirect, for which the request is signed again.

        Raises StoreError for any other response, NetworkError for none.
        """
        if request.operation in self.dialect.url_encoded_on and not request.plain_keys:
            # A key may contain characters that are invalid in XML.
            request = replace(request, query=(*request.query, ("encoding-type", "url")))
        location = self._route.location_of(request.bucket)
        response = self._send_to(location, request)
        if request.is_done(response):
            self._is_assumed = False
            self._is_reached = True
            return response
        refusal = self._refusal(request, response)
        if self._presigned is not None:
            # A redirect may repeat the signed URL.
            raise StoreError(refusal._replace(location=""))
        if request.method == "HEAD" and hides_cause(response, self.dialect.headers):
            refusal = self._explained(location, request) or refusal
        redirected = self._route.follow(request.bucket, location, refusal)
        if redirected is None:
            raise StoreError(refusal)
        response = self._send_to(redirected, request)
        if request.is_done(response):
            return response
        raise StoreError(self._refusal(request, response))

    def _explained(self, location: Location, request: StoreRequest) -> Refusal | None:
        """Return the refusal of GET in place of that of HEAD, which has no body; None if GET succeeds or fails.

        Only the body says whether the clock, the credentials or the region are wrong, which can be corrected.
        """
        get = replace(request, method="GET", headers={**request.headers, "Range": "bytes=0-0"})
        try:
            response = self._send_to(location, get)
        except NetworkError:
            return None
        return None if get.is_success(response.status) else self._refusal(get, response)

    def document(self, request: StoreRequest, response: Response, *required: str) -> xml.Element:
        """Return the XML document of the response, which must have one of the elements *required*.

        The name of the root is not checked, because the stores use different ones. Raises NetworkError for anything
        that the protocol does not allow.
        """
        try:
            root = xml.parse(response.body)
        except xml.BadXML as exc:
            raise NetworkError("incomplete" if exc.is_incomplete else "garbled", str(exc), sent=True) from exc
        if not any(root.find(name) is not None for name in required):
            message = f"the response to {request.operation} is an unexpected document"
            raise NetworkError("garbled", message, sent=True)
        return root

    def fetch(self, request: StoreRequest, *required: str) -> xml.Element:
        """Send the *request* of a list and return the document of its response, as ``document``."""
        response = self.send(request)
        if not response.body and (response.status != HTTPStatus.OK or "content-length" in response.headers):
            # Not half of a response, which would be a failure of the network.
            message = f"the response to {request.operation} is {response.status} without a body"
            raise NetworkError("garbled", message, sent=True)
        return self.document(request, response, *required)

    def download(self, request: StoreRequest, first: int, size: int) -> Response:
        """Send the *request*, and return the response with *size* bytes of the object from offset *first*.

        An empty object has no range. A store that ignores Range returns the whole object. Raises Unsupported if that is
        too long, NetworkError if another number of bytes arrives.
        """
        span = {"Range": f"bytes={first}-{first + size - 1}"} if size else {}
        try:
            response = self.send(replace(request, headers={**request.headers, **span}))
        except LongResponse as exc:
            raise Unsupported(
                f"{request.resource} cannot be read in ranges",
                "The store ignores the header Range, and returns the whole object, which is too long",
                NextStep("download the object with another tool, and compare it with the file"),
            ) from exc
        body, shown = response.body, response.headers.get("content-range")
        # Caches and gateways may return another range than that of the request.
        if span and shown is not None and not shown.startswith(f"bytes {first}-{first + size - 1}/"):
            raise NetworkError("garbled", f"GetObject returned {shown}, not {span['Range']}", sent=True)
        # rclone returns the range with 200, too. Without an ETag, a longer object could have replaced it unnoticed.
        is_whole = response.status == HTTPStatus.OK and len(body) > size
        if span and is_whole and "etag" in response.headers:
            body = body[first : first + size]
        if len(body) != size:
            message = f"GetObject returned {len(response.body)} bytes, not {size}"
            raise NetworkError("garbled", message, sent=True)
        return replace(response, body=body)

    def _refusal(self, request: StoreRequest, response: Response) -> Refusal:
        refusal = read_refusal(
            response,
            self.dialect.headers,
            operation=request.operation,
            resource=request.resource,
            endpoint=self._route.location_of(request.bucket).endpoint,
        )
        refusal = refusal._replace(
            clock_ahead_s=self._clock.ahead_s(refusal.date),
            is_assumed=self._is_assumed,
            by_proxy=not self._is_reached
            and self.proxy is not None
            and is_forwarded(self.endpoint, self.proxy),
            credentials=self._credentials.current().origin,
            sent_headers=frozenset(name.lower() for name in request.headers),
        )
        # Some stores return NoSuchKey for an unknown upload. For a copy it means that the source does not exist.
        is_unknown_upload = request.operation != "UploadPartCopy" and "uploadId" in dict(request.query)
        if refusal.status == 404 and refusal.code == "NoSuchKey" and is_unknown_upload:
            return refusal._replace(code="NoSuchUpload")
        return refusal

    def _send_to(self, location: Location, request: StoreRequest) -> Response:
        """Return the response of the store at *location*, whatever it is, and report it."""
        send = partial(self._sign_and_send, location, request)
        response = reported(self._observe, self.dialect.headers, request, send)
        # A rejection without request id may be that of a proxy, with its own time. Requests other than HEAD and GET may
        # have waited for their body, or for the object.
        is_of_store = response.status < 300 or self.dialect.headers.request_id in response.headers
        if request.method in ("HEAD", "GET") and is_of_store:
            self._clock.note(response.headers.get("date", ""))
        return response

    def _sign_and_send(self, location: Location, request: StoreRequest) -> Response:
        if self._presigned is not None:
            signed = find_presigned(self._presigned, request)
            return self._send_body(request, signed.address, signed.query, dict(signed.headers), None)
        address = locate(location.endpoint, request.bucket, request.key, location.addressing)
        credentials = self._credentials.current()

        def sign(headers: Mapping[str, str]) -> dict[str, str]:
            signable = Signable(request.method, address, request.query, headers)
            return self.dialect.sign(signable, credentials, region=location.region, now=self._clock.now())

        return self._send_body(request, address, request.query, self._headers(request), sign)

    def _send_body(
        self,
        request: StoreRequest,
        address: Address,
        query: Query,
        headers: Mapping[str, str],
        sign: Sign | None,
    ) -> Response:
        body = nullcontext(request.body) if isinstance(request.body, bytes) else closing(request.body())
        with body as opened:
            return self._transport.exchange(
                request.method,
                address,
                query,
                headers=headers,
                body=opened,
                sign=sign,
                takes_long=request.takes_long,
                is_download=request.is_download,
            )

    def _headers(self, request: StoreRequest) -> dict[str, str]:
        headers = {**self._common_headers, **request.headers}
        if self.dialect.payload_hash_header and isinstance(request.body, bytes):
            headers[self.dialect.payload_hash_header] = hashlib.sha256(request.body).hexdigest()
        return headers
