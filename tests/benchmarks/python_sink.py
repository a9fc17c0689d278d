"""The sink of sink.c in Python, for machines without a C compiler: python_sink.py [--digests FILE] [--rate N] …"""

from __future__ import annotations

import os
import signal
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from urllib.parse import parse_qs, urlsplit

BLOCK = 1 << 20
NARROW = 1 << 16

Digest = tuple[str, str]


class State:
    """The digests to return, and the counts so far."""

    def __init__(self) -> None:
        self.parts: dict[int, Digest] = {}
        self.whole: Digest = ("", "")
        self.object: Digest = ("", "")
        self.size = 0
        self.rate = 0.0
        self.is_there = False
        self.connections = 0
        self.receiving = 0
        self.max_receiving = 0
        self.content = 0
        self.lock = threading.Lock()

    def read(self, path: str) -> None:
        """Read the file of digests: see sink.c."""
        with open(path) as file:  # noqa: PTH123 - measured, so it avoids overhead
            for words in map(str.split, file):
                if words[0] == "object":
                    self.size, self.object = int(words[1]), (words[2], words[3])
                elif words[0] == "put":
                    self.whole = (words[1], words[2])
                else:
                    self.parts[int(words[0])] = (words[1], words[2])


STATE = State()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        STATE.connections += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Print nothing."""

    def do_PUT(self) -> None:
        """Receive a part or an object and discard it."""
        received = self._discard()
        with STATE.lock:
            STATE.content += int(self.headers.get("X-Amz-Decoded-Content-Length") or received)
        number = self._query().get("partNumber")
        if number:
            self._respond(200, digest=STATE.parts.get(int(number[0]), STATE.parts.get(0)))
        elif "/" in urlsplit(self.path).path.strip("/"):
            STATE.is_there = True
            self._respond(200, digest=STATE.whole)
        else:
            self._respond(200)

    def do_POST(self) -> None:
        """Initiate or complete."""
        self._discard()
        if "uploadId" not in self._query():
            self._respond(
                200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
            return
        STATE.is_there = True
        root = "CompleteMultipartUploadResult"
        body = f'<{root}><Bucket>bucket</Bucket><Key>key</Key><ETag>"{STATE.object[0]}"</ETag></{root}>'
        self._respond(200, body, digest=STATE.object)

    def do_GET(self) -> None:
        """Return an empty list."""
        query = self._query()
        if "uploads" in query:
            name = "ListMultipartUploadsResult"
        elif "uploadId" in query:
            name = "ListPartsResult"
        else:
            name = "LocationConstraint" if "location" in query else "ListBucketResult"
        more = "<IsTruncated>false</IsTruncated><NextPartNumberMarker>0</NextPartNumberMarker>"
        inside = "us-east-1" if name == "LocationConstraint" else more
        self._respond(200, f"<{name}>{inside}</{name}>")

    def do_HEAD(self) -> None:
        """Return the object once it exists; every bucket exists."""
        is_bucket = "/" not in urlsplit(self.path).path.strip("/")
        self._respond(200 if is_bucket or STATE.is_there else 404, digest=None if is_bucket else STATE.object)

    def do_DELETE(self) -> None:
        """Abort."""
        self._respond(204)

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _discard(self) -> int:
        """Discard the body and return its size in bytes."""
        with STATE.lock:
            STATE.receiving += 1
            STATE.max_receiving = max(STATE.max_receiving, STATE.receiving)
        started, passed = time.monotonic(), 0
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
                passed += size
            while self.rfile.readline().strip():
                pass
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            got = len(self.rfile.read(min(left, NARROW if STATE.rate else BLOCK)))
            if not got:
                break
            left, passed = left - got, passed + got
            if STATE.rate:
                time.sleep(max(0.0, started + passed / STATE.rate - time.monotonic()))
        with STATE.lock:
            STATE.receiving -= 1
        return passed

    def _respond(self, status: int, body: str = "", digest: Digest | None = None) -> None:
        self.send_response(status)
        if digest and digest[0]:
            self.send_header("ETag", f'"{digest[0]}"')
            self.send_header("x-oss-hash-crc64ecma", digest[1])
            self.send_header("x-amz-checksum-crc64ecma", digest[1])
            self.send_header("x-obs-checksum-crc64ecma", digest[1])
        for name in ("x-obs-request-id", "x-amz-request-id", "x-oss-request-id"):
            self.send_header(name, "1")
        is_object = self.command == "HEAD" and digest is STATE.object
        self.send_header("Content-Length", str(STATE.size if is_object else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())


def report(_number: int, _frame: FrameType | None) -> None:
    """Print the counts and exit."""
    print(
        f"connections {STATE.connections} at-once {STATE.max_receiving} content {STATE.content}", flush=True
    )
    os._exit(0)


def main() -> None:
    """Serve until SIGTERM."""
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    if "--digests" in options:
        STATE.read(options["--digests"])
    STATE.rate = float(options.get("--rate", "0"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if "--cert" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["--cert"], options["--key"])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    signal.signal(signal.SIGTERM, report)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
