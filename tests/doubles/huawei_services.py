"""The services of Huawei Cloud that hand out credentials: STS and pod identity, and the metadata service as a proxy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

OIDC_PATH = "/v5/agencies/assume-with-oidc"
KEY_PATH = "/openstack/latest/securitykey"


class HuaweiServices(ThreadingHTTPServer):
    """Hands out one pair of keys with the current ``token``; ``calls`` has each path with its body or Authorization."""

    daemon_threads = True

    def __init__(self, access_key: str, secret_key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = (access_key, secret_key)
        self.token = "token-1"
        self.life_s = 3600
        self.is_denied = False
        self.calls: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        """The address of every service."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: HuaweiServices

    def do_PUT(self) -> None:
        self._answer("session", None)

    def do_GET(self) -> None:
        self._answer(self._keys("access", "secret", "securitytoken", "expires_at"), None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.is_denied:
            self._answer(json.dumps({"error_code": "PAP5.0001", "error_msg": "may not assume"}), body, 403)
        else:
            names = ("access_key_id", "secret_access_key", "security_token", "expiration")
            self._answer(self._keys(*names), body or self.headers["Authorization"])

    def _keys(self, access: str, secret: str, token: str, expires: str) -> str:
        moment = datetime.now(UTC) + timedelta(seconds=self.server.life_s)
        values = {access: self.server.keys[0], secret: self.server.keys[1], token: self.server.token}
        return json.dumps({"credential": {**values, expires: f"{moment:%Y-%m-%dT%H:%M:%S.000000Z}"}})

    def _answer(self, text: str, body: Any, status: int = 200) -> None:
        self.server.calls.append((urlsplit(self.path).path, body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""
