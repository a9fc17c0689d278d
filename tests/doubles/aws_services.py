"""The services of AWS that hand out credentials: STS, SSO, containers and instances, on one port."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

STS = """<{0}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{0}Result><Credentials>
<AccessKeyId>{1[AccessKeyId]}</AccessKeyId><SecretAccessKey>{1[SecretAccessKey]}</SecretAccessKey>
<SessionToken>{1[Token]}</SessionToken><Expiration>{1[Expiration]}</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/backup/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>
</{0}Result></{0}Response>"""
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
DENIED = (
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>may not assume</Message></Error></ErrorResponse>"
)


class AwsServices(ThreadingHTTPServer):
    """Hands out one pair of keys, each time with another token; ``calls`` has what was asked.

    Each call is the name of an action or a path, and its parameters with the access key that signed.
    """

    daemon_threads = True

    def __init__(self, access_key: str, secret_key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = (access_key, secret_key)
        self._count = itertools.count(1)
        self.life_s = 3600
        self.is_denied = False
        # The metadata service: it requires a session token, and its responses with one are lost (hop limit of 1).
        self.requires_token = False
        self.loses_tokens = False
        self.delay_s = 0.0
        self.calls: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        """The address of every service."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def credentials(self) -> dict[str, str]:
        """Return the keys as containers and instances get them."""
        expires = datetime.now(UTC) + timedelta(seconds=self.life_s)
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "AccessKeyId": self.keys[0],
            "SecretAccessKey": self.keys[1],
            "Token": f"token-{next(self._count)}",
            "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        }


class _Handler(BaseHTTPRequestHandler):
    server: AwsServices

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        values = dict(parse_qsl(body))
        action = values["Action"]
        signer = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        self.server.calls.append((action, {**values, "signer": signer}))
        if self.server.is_denied:
            self._answer(DENIED, 403)
        else:
            self._answer(STS.format(action, self.server.credentials()))

    def do_PUT(self) -> None:
        self.server.calls.append((self.path, {}))
        if self.server.loses_tokens:
            self.rfile.read(1)  # until the client has given up
            return
        self._answer("instance-token")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append((path, headers))
        given: Any = self.server.credentials()
        time.sleep(self.server.delay_s)
        if self.server.requires_token and headers.get("x-aws-ec2-metadata-token") != "instance-token":
            self._answer("", 401)
        elif path == ROLE_PATH:
            self._answer("backup")
        elif path == "/federation/credentials":
            expiration = (datetime.now(UTC).timestamp() + self.server.life_s) * 1000
            role = {
                "accessKeyId": given["AccessKeyId"],
                "secretAccessKey": given["SecretAccessKey"],
                "sessionToken": given["Token"],
                "expiration": int(expiration),
            }
            self._answer(json.dumps({"roleCredentials": role}))
        else:
            self._answer(json.dumps(given))

    def _answer(self, text: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""
