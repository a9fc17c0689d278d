"""A bare client for the sandbox's tests: HMAC-SHA1 signatures of its own, and no manners."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

from obsup.sandbox.sandbox import Sandbox

SIGNED = {"uploads", "uploadId", "partNumber", "location"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def xml(self) -> ET.Element:
        """The document, without its namespace."""
        root = ET.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def text(self, path: str) -> str:
        """The text of an element of the document."""
        return self.xml.findtext(path) or ""

    def texts(self, path: str) -> list[str]:
        """The texts of all such elements."""
        return [element.text or "" for element in self.xml.findall(path)]

    @property
    def code(self) -> str:
        """The error code."""
        return self.text("Code")

    @property
    def etag(self) -> str:
        """The ETag header without its quotes."""
        return self.headers["etag"].strip('"')


class Client:
    """Speaks to one bucket in path style, over one keep-alive connection."""

    def __init__(self, sandbox: Sandbox, dialect: str = "obs", bucket: str = "bucket") -> None:
        self.sandbox = sandbox
        self.scheme = {"obs": "OBS", "aws2": "AWS", "oss1": "OSS"}[dialect]
        self.prefix = {"obs": "x-obs-", "aws2": "x-amz-", "oss1": "x-oss-"}[dialect]
        self.bucket = bucket
        split = urlsplit(sandbox.endpoint)
        self.connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=10)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def headers(
        self, method: str, key: str, query: Mapping[str, str | None], headers: Mapping[str, str], now: float
    ) -> dict[str, str]:
        """Return *headers* with Date and Authorization."""
        lower = {name.lower(): value for name, value in headers.items()}
        date = lower.get("date") or formatdate(now, usegmt=True)
        canonical = "".join(f"{n}:{lower[n]}\n" for n in sorted(lower) if n.startswith(self.prefix))
        name = key if self.scheme == "OSS" else quote(key, safe="/~")
        signed = sorted((n, v) for n, v in query.items() if n in SIGNED)
        sub = "&".join(n if v is None else f"{n}={v}" for n, v in signed)
        text = f"{method}\n{lower.get('content-md5', '')}\n{lower.get('content-type', '')}\n{date}\n"
        text += f"{canonical}/{self.bucket}/{name}" + ("?" + sub if sub else "")
        digest = hmac.new(self.sandbox.secret_key.encode(), text.encode(), hashlib.sha1).digest()
        signature = base64.b64encode(digest).decode()
        authorization = f"{self.scheme} {self.sandbox.access_key}:{signature}"
        return {**headers, "Date": date, "Authorization": authorization}

    def target(self, key: str, query: Mapping[str, str | None]) -> str:
        """Return the request target."""
        pairs = [n if v is None else f"{n}={quote(v, safe='')}" for n, v in query.items()]
        return f"/{self.bucket}/{quote(key, safe='/~')}" + ("?" + "&".join(pairs) if pairs else "")

    def send(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str | None] | None = None,
        *,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
        now: float | None = None,
        unsigned: bool = False,
    ) -> Reply:
        """Send one request. *now*: the client's clock, epoch seconds."""
        query, headers = query or {}, headers or {}
        if method in ("PUT", "POST") and body == b"":
            headers = {**headers, "Content-Length": "0"}
        if not unsigned:
            headers = self.headers(method, key, query, headers, time.time() if now is None else now)
        self.connection.putrequest(method, self.target(key, query), skip_accept_encoding=True)
        sent = {name.lower() for name in headers}
        if body and "content-length" not in sent and "transfer-encoding" not in sent:
            self.connection.putheader("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.connection.putheader(name, value.encode("utf-8"))
        self.connection.endheaders(body or None)
        response = self.connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, answered, response.read())

    def initiate(self, key: str, **headers: str) -> str:
        """Open an upload; underscores in header names stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # Encoded, as XML has no control characters.
        reply = self.send("POST", key, {"uploads": None, "encoding-type": "url"}, headers=named)
        assert reply.status == 200, reply.body
        return reply.text("UploadId")

    def part(
        self, key: str, upload_id: str, number: int, body: Any, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Upload a part."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        return self.send("PUT", key, query, body=body, headers=headers)

    def complete(
        self, key: str, upload_id: str, parts: Mapping[int, str], headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Complete an upload from part numbers and ETags, in the mapping's order."""
        listed = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts.items()
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        return self.send("POST", key, {"uploadId": upload_id}, body=body, headers=headers)

    def upload(self, key: str, parts: list[bytes], **headers: str) -> Reply:
        """Upload an object in parts; returns the answer to Complete."""
        upload_id = self.initiate(key, **headers)
        etags = {n: self.part(key, upload_id, n, body).etag for n, body in enumerate(parts, start=1)}
        return self.complete(key, upload_id, etags)
