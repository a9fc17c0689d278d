"""Every request as an event, for logs and for the doctor."""

from __future__ import annotations

import time
from collections.abc import Callable

from obsup import events
from obsup.errors import NetworkError
from obsup.store.answers.request import StoreRequest
from obsup.store.http.settings import Response
from obsup.text import printable


class RequestEvents:
    """Tells *observe* of each request; ``request_id`` is the name of the header that holds it."""

    def __init__(
        self,
        observe: events.Observer,
        request_id: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._request_id = request_id
        self._monotonic = monotonic

    def tell(self, call: StoreRequest, send: Callable[[], Response]) -> Response:
        """Return what *send* answers for *call*, told of in any case. Raises what *send* raises."""
        begun = self._monotonic()
        try:
            answer = send()
        except NetworkError as exc:
            self._say(call, begun, None, failure=str(exc))
            raise
        self._say(call, begun, answer)
        return answer

    def _say(self, call: StoreRequest, begun: float, answer: Response | None, failure: str = "") -> None:
        number = dict(call.query).get("partNumber")
        headers = answer.headers if answer is not None else {}
        self._observe(
            events.Requested(
                operation=call.operation,
                method=call.method,
                resource=call.resource,
                part_number=int(number) if number else None,
                status=answer.status if answer is not None else None,
                request_id=printable(headers.get(self._request_id, "")),
                seconds=self._monotonic() - begun,
                date=headers.get("date", ""),
                failure=failure,
            )
        )
