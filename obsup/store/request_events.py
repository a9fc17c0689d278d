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


def reported(
    observe: events.Observer, names: HeaderNames, request: StoreRequest, send: Callable[[], Response]
) -> Response:
    """Return the response of *send*, and report it or its failure to *observe*. Raises what *send* raises."""
    if observe is events.ignore:
        return send()
    started = time.monotonic()
    try:
        response = send()
    except NetworkError as exc:
        observe(_event(request, names, None, time.monotonic() - started, failure=str(exc)))
        raise
    observe(_event(request, names, response, time.monotonic() - started))
    return response


def _event(
    request: StoreRequest, names: HeaderNames, response: Response | None, seconds: float, failure: str = ""
) -> events.Requested:
    number = dict(request.query).get("partNumber")
    headers = response.headers if response is not None else {}
    is_done = response is not None and request.is_done(response)
    return events.Requested(
        operation=request.operation,
        method=request.method,
        resource=request.resource,
        part_number=int(number) if number else None,
        status=response.status if response is not None else None,
        request_id=printable(headers.get(names.request_id, "")),
        seconds=seconds,
        date=headers.get("date", ""),
        failure=failure,
        stored=read_stored(response, names, "") if response is not None and is_done else None,
        headers=headers,
        body=response.body if response is not None else b"",
    )
