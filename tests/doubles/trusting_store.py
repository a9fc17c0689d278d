"""A store that checks no digest: it receives other bytes than were sent, and returns the checksums of the request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qsl, urlsplit

from tests.doubles.scripted_server import ReceivedRequest, Reply, response

CHECKSUM = "x-amz-checksum-"
ENCRYPTION = "x-amz-server-side-encryption"
CUSTOMER_KEY = f"{ENCRYPTION}-customer-key"


@dataclass
class TrustingStore:
    """The script of a ScriptedServer: one bucket of S3, with the objects by path.

    *has_md5s*: ETags are the MD5s of what was received; otherwise they say nothing about it. *has_checksums*: the
    checksums of a request are in its response, and later in that to HeadObject. *encrypts*: so is the encryption that
    it asks for. *damages*: the last bit of each body changes on the way, except of those of one byte.
    """

    has_md5s: bool = True
    has_checksums: bool = False
    encrypts: bool = False
    damages: bool = False
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    open_uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)

    def __call__(self, request: ReceivedRequest) -> Reply:
        """Return the reply, which is made after the body has arrived."""
        return Reply(self._pieces(request))

    def _pieces(self, request: ReceivedRequest) -> Iterator[bytes]:
        yield from self._reply(request).pieces

    def _reply(self, request: ReceivedRequest) -> Reply:
        parts = urlsplit(request.target)
        path, query = parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))
        body = request.body
        if self.damages and request.method == "PUT" and len(body) > 1:
            body = body[:-1] + bytes([body[-1] ^ 1])
        shown = ((CHECKSUM,) if self.has_checksums else ()) + ((ENCRYPTION,) if self.encrypts else ())
        own = {name: text for name, text in request.headers if name.lower().startswith(shown)}
        own.pop(CUSTOMER_KEY, None)
        upload_id = query.get("uploadId", "")
        if upload_id and upload_id not in self.open_uploads:
            return response(404, "<Error><Code>NoSuchUpload</Code></Error>")
        if request.method == "PUT" and upload_id:
            self.open_uploads[upload_id][int(query["partNumber"])] = body
            return response(200, "", own | {"ETag": self._etag(body)})
        if request.method == "PUT":
            self.objects[path] = body, own | {"ETag": self._etag(body)}
            return response(200, "", self.objects[path][1])
        if request.method == "POST" and "uploads" in query:
            upload_id = f"upload-{next(self._numbers)}"
            self.open_uploads[upload_id] = {}
            return response(200, f"<Result><UploadId>{upload_id}</UploadId></Result>", own)
        if request.method == "POST":
            stored = [part for _, part in sorted(self.open_uploads.pop(upload_id).items())]
            digest = b"".join(hashlib.md5(part).digest() for part in stored)
            etag = self._etag(digest).strip('"') + f"-{len(stored)}" * self.has_md5s
            self.objects[path] = b"".join(stored), own | {"ETag": f'"{etag}"'}
            return response(200, f"<Result><ETag>{etag}</ETag></Result>")
        if request.method == "DELETE":
            del self.open_uploads[upload_id]
            return response(204)
        if request.method == "HEAD":
            return self._head(path)
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>x</ETag><Size>{len(part)}</Size></Part>"
            for number, part in self.open_uploads.get(upload_id, {}).items()
        )
        return response(200, f"<List><Bucket>b</Bucket><IsTruncated>false</IsTruncated>{listed}</List>")

    def _head(self, path: str) -> Reply:
        if path not in self.objects:
            return response(404)
        content, headers = self.objects[path]
        lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return Reply(["\r\n".join([*lines, "", ""]).encode()])

    def _etag(self, body: bytes) -> str:
        return f'"{hashlib.md5(body).hexdigest() if self.has_md5s else f"entity {next(self._numbers)}"}"'
