"""Report every request as an event, for logs and for the doctor."""

from __future__ import annotations

import time
from collections.abc import Callable

from obsup import events
from obsup.dialects.dialect import HeaderNames
from obsup.errors import NetworkError
from obsup.store.answers.request import StoreRequest
from obsup.store.answers.result_headers import read_stored
from obsup.store.http.settings import Response
from obsup.text import printable


class RequestEvents:
    """Reports requests to *observe*. *names* are the headers of the dialect."""

    def __init__(
        self,
        observe: events.Observer,
        names: HeaderNames,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._names = names
        self._monotonic = monotonic

    def report(self, request: StoreRequest, send: Callable[[], Response]) -> Response:
        """Return the response of *send*, and report it or its failure. Raises what *send* raises."""
        if self._observe is events.ignore:
            return send()
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
        is_success = response is not None and request.is_success(response.status)
        self._observe(
            events.Requested(
                operation=request.operation,
                method=request.method,
                resource=request.resource,
                part_number=int(number) if number else None,
                status=response.status if response is not None else None,
                request_id=printable(headers.get(self._names.request_id, "")),
                seconds=self._monotonic() - started,
                date=headers.get("date", ""),
                failure=failure,
                stored=read_stored(response, self._names, "")
                if response is not None and is_success
                else None,
                headers=headers,
                body=response.body if response is not None else b"",
            )
        )
