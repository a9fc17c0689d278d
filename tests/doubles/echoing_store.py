"""A store whose responses repeat the request that they answer, in every header and element, in several forms."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.doubles.scripted_server import ReceivedRequest, Reply

HEADERS = (
    *(
        "x-obs-request-id",
        "x-amz-request-id",
        "x-oss-request-id",
        "x-obs-id-2",
        "x-amz-id-2",
        "location",
        "date",
    ),
    *("x-obs-version-id", "x-amz-version-id", "x-oss-version-id", "x-amz-bucket-region", "retry-after"),
    *("x-obs-error-code", "x-obs-error-message", "x-obs-server-side-encryption", "via", "server"),
)
FORMS = ("plain", "url", "base64", "html", "json")


def repeated(request: ReceivedRequest, form: str) -> str:
    """Return the head of *request* on one line, in the encoding *form*."""
    lines = [request.line, *(f"{name}: {value}" for name, value in request.headers)]
    words = [word for name, value in request.headers for word in (name, value, value.rpartition(" ")[2])]
    text = " | ".join([*lines, *words, unquote(request.target), *map(_decoded_basic, words)])
    return {
        "plain": text,
        "url": quote(text, safe=""),
        "base64": base64.b64encode(text.encode()).decode(),
        "html": escape(text).replace("+", "&#x2B;").replace("/", "&#047;"),
        "json": json.dumps(text).replace("/", r"\/"),
    }[form]


def _decoded_basic(word: str) -> str:
    try:
        return base64.b64decode(word, validate=True).decode("ascii")
    except ValueError:
        return ""


class EchoingStore:
    """The script of a ScriptedServer: an upload succeeds, or all its requests have the response *status*."""

    def __init__(self, form: str, *, status: int = 200) -> None:
        self._form = form
        self._status = status
        self._parts: dict[int, bytes] = {}
        self._upload_id = ""

    def __call__(self, request: ReceivedRequest) -> Reply:
        """Return the reply, which is made after the body has arrived."""
        return Reply(self._pieces(request))

    def _pieces(self, request: ReceivedRequest) -> Iterator[bytes]:
        query = dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True))
        echo = repeated(request, self._form)
        own = dict.fromkeys(HEADERS, echo)
        # It confirms the encryption with a customer key, as a store must.
        confirmed = ("customer-algorithm", "customer-key-md5")
        own |= {name: value for name, value in request.headers if name.lower().endswith(confirmed)}
        own["x-oss-err"] = base64.b64encode(_document("Error", {"Code": "Denied", "Message": echo})).decode()
        status, body = self._status, b""
        if status >= 400:
            body = _document("Error", {"Code": "Denied", "Message": echo, "RequestId": echo, "Region": echo})
        elif request.method == "PUT" and "partNumber" in query:
            self._parts[int(query["partNumber"])] = digest = hashlib.md5(request.body).digest()
            own["ETag"] = f'"{digest.hex()}"'
        elif request.method == "PUT":
            own["ETag"] = f'"{hashlib.md5(request.body).hexdigest()}"'
        elif request.method == "POST" and "uploads" in query:
            self._upload_id = "upload-1"
            body = _document("InitiateMultipartUploadResult", {"UploadId": "upload-1", "Bucket": echo})
        elif request.method == "POST":
            body = _document("Result", {"Location": echo, "ETag": self._etag()})
        elif request.method == "HEAD" and len(self._parts) == 0:
            status = 404
        elif request.method == "HEAD":
            own |= {"ETag": f'"{self._etag()}"', "x-obs-meta-note": echo, "x-obs-uploadId": self._upload_id}
        else:
            body = _document("ListResult", {"IsTruncated": "false", "UploadId": "upload-1", "Owner": echo})
        own["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status} {echo if self._form != 'html' else 'Whatever'}"]
        lines += [f"{name}: {value}" for name, value in own.items()]
        yield "\r\n".join([*lines, "", ""]).encode("latin-1")
        yield b"" if request.method == "HEAD" else body

    def _etag(self) -> str:
        parts = [self._parts[number] for number in sorted(self._parts)]
        return f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


def _document(name: str, fields: dict[str, str]) -> bytes:
    return f"<{name}>{''.join(f'<{key}>{_escaped(text)}</{key}>' for key, text in fields.items())}</{name}>".encode()


def _escaped(text: str) -> str:
    return text if "&#" in text else escape(text)
