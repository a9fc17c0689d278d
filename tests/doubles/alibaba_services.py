"""The services of Alibaba Cloud that hand out credentials, behind a proxy: their addresses cannot be changed.

It answers for the metadata service (http), and for STS, whose certificate the library must trust.
"""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

METADATA = "http://100.100.100.200"
ROLES = "/latest/meta-data/ram/security-credentials/"


class AlibabaServices(ThreadingHTTPServer):
    """Hands out one pair of keys with the current ``token``; ``calls`` has each host and path, with its parameters."""

    daemon_threads = True

    def __init__(self, access_key: str, secret_key: str, sts: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = (access_key, secret_key)
        self.token = "token-1"
        self.life_s = 3600
        self.is_denied = False
        self.sts = sts
        self.calls: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def credentials(self) -> dict[str, str]:
        """Return the keys as all of these services return them."""
        expires = datetime.now(UTC) + timedelta(seconds=self.life_s)
        return {
            "Code": "Success",
            "AccessKeyId": self.keys[0],
            "AccessKeySecret": self.keys[1],
            "SecurityToken": self.token,
            "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        }


class _Handler(BaseHTTPRequestHandler):
    server: AlibabaServices
    protocol_version = "HTTP/1.1"
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.connection: Any = self.server.sts.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        # The request was one of HTTP/1.0.
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def do_PUT(self) -> None:
        self._answer("session")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        given: Any = self.server.credentials()
        if self.server.is_denied:
            self._answer(json.dumps({"Code": "NoPermission", "Message": "may not assume"}), 403)
        elif self.host.startswith("sts"):
            self._answer(json.dumps({"Credentials": given}))
        else:
            self._answer("backup" if path == ROLES else json.dumps(given))

    def do_POST(self) -> None:
        self.do_GET()

    def _answer(self, text: str, status: int = 200) -> None:
        parts = urlsplit(self.path)
        host = self.host or parts.netloc or self.headers["Host"]
        self.server.calls.append((f"{host}{parts.path}", dict(parse_qsl(parts.query))))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Stay silent."""
