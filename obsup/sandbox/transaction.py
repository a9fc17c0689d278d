"""One request and its response: read, apply faults, execute, record, send."""

from __future__ import annotations

import contextlib
import enum
import io
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from obsup.sandbox.faults import Fault
from obsup.sandbox.operations import name_operation
from obsup.sandbox.refusals import ConnectionLost, Refused, ResetConnection
from obsup.sandbox.request_records import Journal, RequestRecord
from obsup.sandbox.service import Service
from obsup.sandbox.signatures.claim import Claim, read_claim
from obsup.sandbox.wire.body import BLOCK, Body
from obsup.sandbox.wire.chunks import ChunkedStream
from obsup.sandbox.wire.request import PATH_STYLE, parse_request
from obsup.sandbox.wire.response import Response, error, http_date

_DRAIN_LIMIT = 64 * 1024 * 1024
"""A rejected body is read up to this many bytes to keep the connection; a longer one closes it."""
_LINE_ERRORS = (ConnectionError, ssl.SSLError)
_LINGER_S = 2.0
_PAGE = b"<!DOCTYPE html><html><body>Welcome!<br>Please accept our terms of use.</body></html>"


class Ending(enum.Enum):
    """What happens to the connection after a request."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Wire:
    """The head of a request and its connection."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    stream: io.BufferedIOBase
    connection: socket.socket
    number: int
    """The number of the connection, from 1."""
    stopping: threading.Event

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the server. Raises ConnectionLost."""
        if self.stopping.wait(seconds):
            raise ConnectionLost("the sandbox stops")


class Transaction:
    """Handles one request. Call ``run()`` once."""

    def __init__(self, wire: Wire, service: Service, journal: Journal) -> None:
        self._wire = wire
        self._service = service
        self._journal = journal
        self._request_id = uuid.uuid4().hex.upper()
        self._request = parse_request(wire.method, "/", wire.headers)
        self._claim: Claim | None = None
        self._operation = "unknown"
        self._faults: Mapping[str, Fault] = {}
        self._stream = wire.stream
        self._body = Body(wire.stream, 0)
        self._keep_open = True

    def run(self) -> Ending:
        """Execute the request, record it, and respond as far as the faults allow."""
        try:
            response = self._perform()
        except (ConnectionLost, *_LINE_ERRORS) as lost:
            self._record(status=0, code="")
            return Ending.RESET if isinstance(lost, ResetConnection) else Ending.CLOSE
        self._keep_open = self._drain() and self._keep_open
        if "drop-answer" in self._faults:
            self._record(status=0, code=response.code)
            return Ending.CLOSE
        self._record(status=response.status, code=response.code)
        try:
            return self._send(response)
        except _LINE_ERRORS:
            return Ending.CLOSE

    def _perform(self) -> Response:
        """Return the response, including error responses. Raises ConnectionLost if none is sent."""
        try:
            self._open_body()
            self._request = parse_request(
                self._wire.method,
                self._wire.target,
                self._wire.headers,
                custom_domains=self._service.custom_domains,
            )
            self._operation = name_operation(self._request)
            place = self._service.place(self._request, self._operation, self._body.length)
            self._faults = self._service.faults.strike(place)
            self._claim = read_claim(self._request)
            self._strike_connection()
            self._strike_service()
            response = self._service.perform(
                self._request,
                self._body,
                operation=self._operation,
                claim=self._claim,
                faults=self._faults,
                now=self._service.now(self._faults),
            )
        except Refused as refused:
            return self._refuse(refused)
        except _LINE_ERRORS:
            raise
        except OSError as exc:  # The sandbox's disk is full or was removed.
            return self._refuse(Refused(500, "InternalError", f"We encountered an internal error: {exc}"))
        if "garble-answer" in self._faults:
            return Response(headers={"Content-Type": "text/html"}, body=_PAGE)
        late = self._faults.get("error-after") or self._faults.get("error-in-200")
        return self._refuse(_refusal(late)) if late is not None else response

    def _record(self, *, status: int, code: str) -> None:
        number = self._request.param("partNumber")
        self._journal.add(
            RequestRecord(
                time=time.time(),
                method=self._wire.method,
                operation=self._operation,
                bucket=self._request.bucket,
                key=self._request.key,
                upload_id=self._request.param("uploadId"),
                part_number=int(number) if number.isdecimal() else None,
                dialect=self._claim.dialect if self._claim is not None else "",
                status=status,
                code=code,
                received=self._body.received,
                fault=" ".join(fault.text for fault in self._faults.values()) or None,
                connection=self._wire.number,
                headers=tuple(self._wire.headers),
            )
        )

    def _open_body(self) -> None:
        stream = self._wire.stream
        length = self._request.header("content-length", "0")
        encoding = self._request.header("transfer-encoding").lower()
        if encoding == "chunked":
            stream = ChunkedStream(stream)
            length = self._request.header("x-amz-decoded-content-length", "0")
        if not length.isdecimal() or encoding not in ("", "chunked"):
            # The start of the next request is unknown.
            self._keep_open = False
            raise Refused(400, "InvalidArgument", f"Invalid length of the body: {length!r} {encoding}")
        self._stream = stream
        self._body = Body(stream, int(length), before_first_read=self._continue)

    def _pace_body(self, bytes_per_s: float) -> None:
        started = time.monotonic()

        def pace(received: int) -> None:
            self._wire.wait(max(0.0, started + received / bytes_per_s - time.monotonic()))

        self._body = Body(
            self._stream,
            self._body.length,
            before_first_read=self._continue,
            after_read=pace,
            block=int(min(max(bytes_per_s / 20, 1), BLOCK)),
        )

    def _expects_continue(self) -> bool:
        return self._request.header("expect").lower() == "100-continue"

    def _continue(self) -> None:
        if self._expects_continue():
            self._wire.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _strike_connection(self) -> None:
        """Apply connection faults. Raises ConnectionLost."""
        faults = self._faults
        if "slow" in faults:
            self._pace_body(faults["slow"].number)
        if "delay" in faults:
            self._wire.wait(faults["delay"].number)
        if "stall" in faults:
            self._wire.wait(faults["stall"].number)
            raise ConnectionLost("stalled")
        for kind, loss in (("drop-request", ConnectionLost), ("reset", ResetConnection)):
            if kind in faults:
                for _ in self._body.blocks(min(int(faults[kind].number), self._body.length)):
                    pass
                raise loss(faults[kind].text)

    def _strike_service(self) -> None:
        """Apply service faults that precede execution. Raises Refused."""
        faults = self._faults
        if "expire-token" in faults:
            self._service.expire_token(self._claim)
        if "forget-upload" in faults:
            self._service.forget_upload(self._request)
        if "virtual-only" in faults and self._request.addressing == PATH_STYLE and self._request.bucket:
            message = "The bucket you are attempting to access must be addressed using a virtual host name."
            raise Refused(403, "SecondLevelDomainForbidden", message)
        if "only-region" in faults:
            self._require_region(faults["only-region"].code)
        if "error" in faults:
            self._keep_open = not faults["error"].early
            raise _refusal(faults["error"])
        if "error-in-200" in faults and not faults["error-in-200"].done:
            raise _refusal(faults["error-in-200"])

    def _require_region(self, region: str) -> None:
        signed = self._claim.scope[1] if self._claim is not None and self._claim.scope else region
        if signed != region:
            message = (
                f"The authorization header is malformed; the region {signed!r} is wrong; expecting {region!r}"
            )
            raise Refused(400, "AuthorizationHeaderMalformed", message)

    def _refuse(self, refused: Refused) -> Response:
        _, vendor = self._service.vendor(self._request, self._claim)
        return error(refused, self._request, vendor, self._request_id)

    def _drain(self) -> bool:
        """Read the rest of the body; return False if the connection cannot be reused."""
        if not self._keep_open or (self._body.left and self._body.is_untouched and self._expects_continue()):
            return False
        try:
            return self._body.drain(_DRAIN_LIMIT)
        except (ConnectionLost, *_LINE_ERRORS):
            return False

    def _send(self, response: Response) -> Ending:
        is_head = self._wire.method == "HEAD"
        head = self._head(response)
        body = b"" if is_head else response.body
        if "truncate-answer" in self._faults:
            if response.stream is not None and not is_head:
                body = b"".join(response.stream)
            cut = len(head) + len(body) // 2 if body else len(head) // 2
            self._wire.connection.sendall((head + body)[:cut])
            return Ending.CLOSE
        self._wire.connection.sendall(head + body)
        if response.stream is not None and not is_head:
            for block in response.stream:
                self._wire.connection.sendall(block)
        if self._keep_open:
            return Ending.KEEP
        self._linger()
        return Ending.CLOSE

    def _head(self, response: Response) -> bytes:
        _, vendor = self._service.vendor(self._request, self._claim)
        headers = {
            "Server": "obsup-sandbox",
            "Date": http_date(self._service.now(self._faults)),
            vendor.header("request-id"): self._request_id,
            **({vendor.header("id-2"): self._request_id} if vendor.prefix != "x-oss-" else {}),
            **response.headers,
        }
        if response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers["Content-Length"] = str(
                len(response.body) if response.length is None else response.length
            )
        if not self._keep_open or self._request.header("connection").lower() == "close":
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {response.status} {_reason(response.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def _linger(self) -> None:
        """Close in two steps, so that data still sent by the client does not destroy the response."""
        deadline = time.monotonic() + _LINGER_S
        with contextlib.suppress(OSError):  # it is still sending or has disconnected
            self._wire.connection.shutdown(socket.SHUT_WR)
            self._wire.connection.settimeout(_LINGER_S)
            while time.monotonic() < deadline and self._wire.connection.recv(BLOCK):
                pass


def _refusal(fault: Fault) -> Refused:
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    return Refused(fault.status, fault.code, f"The sandbox was told to fail: {fault.text}", headers=headers)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
