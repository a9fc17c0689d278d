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


class Known:
    """What the file of digests tells, and what has happened so far."""

    def __init__(self) -> None:
        self.parts: dict[int, Digest] = {}
        self.whole: Digest = ("", "")
        self.object: Digest = ("", "")
        self.size = 0
        self.rate = 0.0
        self.is_there = False
        self.connections = 0
        self.receiving = 0
        self.most = 0
        self.content = 0
        self.lock = threading.Lock()

    def read(self, path: str) -> None:
        """Read the file of digests: see sink.c."""
        with open(path) as file:  # noqa: PTH123 - this file runs by itself, and as fast as it can
            for words in map(str.split, file):
                if words[0] == "object":
                    self.size, self.object = int(words[1]), (words[2], words[3])
                elif words[0] == "put":
                    self.whole = (words[1], words[2])
                else:
                    self.parts[int(words[0])] = (words[1], words[2])


KNOWN = Known()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        KNOWN.connections += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Print nothing."""

    def do_PUT(self) -> None:
        """Take a part or an object, and forget it."""
        received = self._discard()
        with KNOWN.lock:
            KNOWN.content += int(self.headers.get("X-Amz-Decoded-Content-Length") or received)
        number = self._query().get("partNumber")
        if number:
            self._answer(200, digest=KNOWN.parts.get(int(number[0]), KNOWN.parts.get(0)))
        elif "/" in urlsplit(self.path).path.strip("/"):
            KNOWN.is_there = True
            self._answer(200, digest=KNOWN.whole)
        else:
            self._answer(200)

    def do_POST(self) -> None:
        """Initiate or complete."""
        self._discard()
        if "uploadId" not in self._query():
            self._answer(
                200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
            return
        KNOWN.is_there = True
        root = "CompleteMultipartUploadResult"
        body = f'<{root}><Bucket>bucket</Bucket><Key>key</Key><ETag>"{KNOWN.object[0]}"</ETag></{root}>'
        self._answer(200, body, digest=KNOWN.object)

    def do_GET(self) -> None:
        """List nothing."""
        query = self._query()
        if "uploads" in query:
            name = "ListMultipartUploadsResult"
        elif "uploadId" in query:
            name = "ListPartsResult"
        else:
            name = "LocationConstraint" if "location" in query else "ListBucketResult"
        more = "<IsTruncated>false</IsTruncated><NextPartNumberMarker>0</NextPartNumberMarker>"
        inside = "us-east-1" if name == "LocationConstraint" else more
        self._answer(200, f"<{name}>{inside}</{name}>")

    def do_HEAD(self) -> None:
        """Tell of the object, once it is there; and of every bucket."""
        is_bucket = "/" not in urlsplit(self.path).path.strip("/")
        self._answer(200 if is_bucket or KNOWN.is_there else 404, digest=None if is_bucket else KNOWN.object)

    def do_DELETE(self) -> None:
        """Abort."""
        self._answer(204)

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _discard(self) -> int:
        """Throw the body away and return how many bytes it had."""
        with KNOWN.lock:
            KNOWN.receiving += 1
            KNOWN.most = max(KNOWN.most, KNOWN.receiving)
        begun, passed = time.monotonic(), 0
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
                passed += size
            while self.rfile.readline().strip():
                pass
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            got = len(self.rfile.read(min(left, NARROW if KNOWN.rate else BLOCK)))
            if not got:
                break
            left, passed = left - got, passed + got
            if KNOWN.rate:
                time.sleep(max(0.0, begun + passed / KNOWN.rate - time.monotonic()))
        with KNOWN.lock:
            KNOWN.receiving -= 1
        return passed

    def _answer(self, status: int, body: str = "", digest: Digest | None = None) -> None:
        self.send_response(status)
        if digest and digest[0]:
            self.send_header("ETag", f'"{digest[0]}"')
            self.send_header("x-oss-hash-crc64ecma", digest[1])
            self.send_header("x-amz-checksum-crc64ecma", digest[1])
        for name in ("x-obs-request-id", "x-amz-request-id", "x-oss-request-id"):
            self.send_header(name, "1")
        is_object = self.command == "HEAD" and digest is KNOWN.object
        self.send_header("Content-Length", str(KNOWN.size if is_object else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())


def report(_number: int, _frame: FrameType | None) -> None:
    """Say what came in, and end."""
    print(f"connections {KNOWN.connections} at-once {KNOWN.most} content {KNOWN.content}", flush=True)
    os._exit(0)


def main() -> None:
    """Serve until SIGTERM."""
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    if "--digests" in words:
        KNOWN.read(words["--digests"])
    KNOWN.rate = float(words.get("--rate", "0"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if "--cert" in words:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(words["--cert"], words["--key"])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    signal.signal(signal.SIGTERM, report)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
