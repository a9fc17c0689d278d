"""Report every request as an event, for logs and for the doctor."""

from __future__ import annotations

import time
from collections.abc import Callable

from obsup import events
from obsup.errors import NetworkError
from obsup.store.answers.request import StoreRequest
from obsup.store.http.settings import Response
from obsup.text import printable


class RequestEvents:
    """Reports requests to *observe*. *request_id* is the name of the header with the request id."""

    def __init__(
        self,
        observe: events.Observer,
        request_id: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._request_id = request_id
        self._monotonic = monotonic

    def report(self, request: StoreRequest, send: Callable[[], Response]) -> Response:
        """Return the response of *send*, and report it or its failure. Raises what *send* raises."""
        started = self._monotonic()
        try:
            response = send()
        except NetworkError as exc:
            self._emit(request, started, None, failure=str(exc))
            raise
        self._emit(request, started, response)
        return response

    def _emit(
        self, request: StoreRequest, started: float, response: Response | None, failure: str = ""
    ) -> None:
        number = dict(request.query).get("partNumber")
        headers = response.headers if response is not None else {}
        self._observe(
            events.Requested(
                operation=request.operation,
                method=request.method,
                resource=request.resource,
                part_number=int(number) if number else None,
                status=response.status if response is not None else None,
                request_id=printable(headers.get(self._request_id, "")),
                seconds=self._monotonic() - started,
                date=headers.get("date", ""),
                failure=failure,
            )
        )
