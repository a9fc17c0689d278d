"""A server that means harm: whatever it says, the terminal obeys nothing, a line stays a line, memory is bounded.

Each answer of the protocol is spoilt in each place; commands end in a documented code, with three lines at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from obsup.exit_status import EXIT_STATUSES
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, response
from tests.support.in_process import Inside
from tests.support.shell import Outcome

CODES = {int(code) for row in EXIT_STATUSES for code in row.codes.split(", ")} - {70}
MIB = 1024 * 1024
# What a terminal might obey, what ends a line, what turns the direction of writing: as far as XML and HTTP bear it.
IN_XML = "\x9b31m\x85\u2028\u202e\r\nNext:  obsup gc bucket\n\ttab\ufeff\U000e0001"
IN_HEADERS = "\x1b[31m\x1b]0;title\x07\x08\x9b2J\x85\x00"
SPOILT = ["code", "message", "request-id", "id-in-body", "region", "endpoint", "location", "header-message"]


def refusal(status: int, spoilt: str) -> Reply:
    """Return an error with *spoilt* spoilt."""

    def field(name: str, value: str) -> str:
        return f"<{name}>{escape(value + (IN_XML if spoilt == FIELDS.get(name) else ''))}</{name}>"

    body = "".join(
        field(name, value)
        for name, value in {
            "Code": "AccessDenied",
            "Message": "Access denied",
            "RequestId": "REQUEST" if spoilt == "id-in-body" else "",
            "HostId": "HOST",
            "Region": "eu-de",
            "Endpoint": "obs.eu-nl.otc.t-systems.com" if spoilt == "endpoint" else "",
        }.items()
    )
    headers = {"x-obs-id-2": IN_HEADERS, "Date": IN_HEADERS, "Retry-After": "9" * 400}
    if spoilt == "request-id":
        headers["x-obs-request-id"] = "ID" + IN_HEADERS
    if spoilt == "location":
        headers["Location"] = "http://127.0.0.1/" + IN_HEADERS
    if spoilt == "header-message":
        headers["x-obs-error-message"] = IN_HEADERS
        body = ""
    return response(status, f"<Error>{body}</Error>" if body else "", headers)


def check_plain(text: str) -> None:
    """Assert that a terminal would obey nothing in *text* but ends of lines and columns."""
    obeyed = {one for one in text if not one.isprintable()} - {"\n", "\t"}
    assert not obeyed, text


FIELDS = {
    "Code": "code",
    "Message": "message",
    "RequestId": "id-in-body",
    "Region": "region",
    "Endpoint": "endpoint",
}


def operation(request: ReceivedRequest) -> str:
    """Return what is asked for."""
    method, target = request.method, request.target
    if method == "HEAD":
        return "head"
    if "partNumber=" in target:
        return "part"
    if "?uploads" in target:
        return "initiate" if method == "POST" else "uploads"
    if "uploadId=" in target:
        return {"POST": "complete", "GET": "parts", "DELETE": "abort"}[method]
    return "put" if method == "PUT" else "list"


def honest(request: ReceivedRequest) -> Reply:
    """Answer as a store that holds nothing, and takes everything."""
    what = operation(request)
    upload_id = "<UploadId>an-upload-id</UploadId>"
    if what == "head":
        return response(404)
    return {
        "initiate": lambda: response(200, f"<R>{upload_id}</R>"),
        "uploads": lambda: response(200, "<R><Bucket>bucket</Bucket><IsTruncated>false</IsTruncated></R>"),
        "parts": lambda: response(200, f"<R>{upload_id}<IsTruncated>false</IsTruncated></R>"),
        "list": lambda: response(200, "<R><Name>bucket</Name><IsTruncated>false</IsTruncated></R>"),
        "part": lambda: response(200, headers={"ETag": '"0123456789abcdef0123456789abcdef"'}),
        "put": lambda: response(200, headers={"ETag": '"0123456789abcdef0123456789abcdef"'}),
        "complete": lambda: response(200, "<R><ETag>x</ETag></R>"),
        "abort": lambda: response(204),
    }[what]()


Spoil = Callable[[ReceivedRequest], "Reply | None"]


class Harmed:
    """Runs commands against a server that spoils what *spoil* returns an answer for."""

    def __init__(self, inside: Inside, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._inside = inside
        self._folder = folder
        self._monkeypatch = monkeypatch

    def run(self, spoil: Spoil, *words: str) -> Outcome:
        """Run one command; assert that what it says and writes is plain, and that its code is documented."""
        with ScriptedServer(lambda request: spoil(request) or honest(request)) as server:
            self._monkeypatch.setenv("OBSUP_ENDPOINT", server.endpoint)
            more = ["-v", "--log-file", "log", "--json"]
            more += ["--retry-for", "0s"] if words[0] not in ("doctor", "verify") else []
            outcome = self._inside.run(*words, *more)
            asked = len(server.received)
        assert outcome.code in CODES
        check_plain(outcome.err)
        check_plain(outcome.out)
        assert len(outcome.out.splitlines()) == 1
        told = json.loads(outcome.out)
        assert told.get("exitCode", 0) == outcome.code
        self._check_lines(outcome, asked)
        return outcome

    def _check_lines(self, outcome: Outcome, asked: int) -> None:
        log = (self._folder / "log").read_text()
        check_plain(log)
        lines = log.splitlines()
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ ", line) for line in lines), lines
        assert sum(" status=" in line for line in lines) <= asked + 2
        said = [line for line in outcome.err.splitlines() if re.match("Error:|Why:|Next:", line)]
        assert [line.partition(":")[0] for line in said] in (["Error", "Why", "Next"], ["Error", "Next"], [])
        (self._folder / "log").unlink()


@pytest.fixture
def harmed(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Harmed:
    """A folder with a source of three parts."""
    inside = Inside(sandbox, tmp_path, monkeypatch)
    (tmp_path / "bigfile").write_bytes(bytes(250_000))
    return Harmed(inside, tmp_path, monkeypatch)


UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K")
COMMANDS = {
    "uploads": ("uploads", "bucket"),
    "parts": ("parts", "bucket/key", "--upload-id", "x"),
    "list": ("doctor", "bucket"),
    "put": ("upload", "bigfile", "bucket/key"),
    "abort": ("abort", "bucket/key", "--upload-id", "x"),
    "head": ("verify", "bigfile", "bucket/key"),
}
OPERATIONS = ["initiate", "part", "complete", "put", "head", "uploads", "parts", "list", "abort"]


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("where", OPERATIONS)
def test_no_text_of_an_error_response_is_interpreted(harmed: Harmed, where: str, spoilt: str) -> None:
    """Code, message, ids and addresses are shown in one line, without what a terminal or a log would obey."""
    command = COMMANDS.get(where, UPLOAD)
    for status in (403, 400, 301):
        harmed.run(lambda one, s=status: refusal(s, spoilt) if operation(one) == where else None, *command)  # type: ignore[misc]


def lists(count: int = 3) -> dict[str, str]:
    """Return lists whose entries are spoilt."""
    evil = escape(IN_XML)
    upload = f"<Upload><Key>k{evil}</Key><UploadId>u{evil}</UploadId><Initiated>{evil}</Initiated></Upload>"
    fields = f"<Size>5</Size><ETag>e{evil}</ETag><LastModified>{evil}</LastModified>"
    part = f"<Part><PartNumber>1</PartNumber>{fields}</Part>"
    return {
        "uploads": f"<R><Bucket>b</Bucket>{upload * count}<IsTruncated>false</IsTruncated></R>",
        "parts": f"<R><UploadId>x</UploadId>{part}<IsTruncated>false</IsTruncated></R>",
        "initiate": f"<R><UploadId>u{evil}</UploadId></R>",
        "complete": f"<R><ETag>e{evil}</ETag><Location>http://{evil}</Location></R>",
    }


@pytest.mark.parametrize("where", lists())
def test_no_value_of_a_response_is_interpreted(harmed: Harmed, where: str) -> None:
    """Keys and upload ids in lists, ETags, dates, the upload id that is then asked for."""
    command = COMMANDS.get(where, UPLOAD)
    harmed.run(lambda one: response(200, lists()[where]) if operation(one) == where else None, *command)


@pytest.mark.parametrize("where", ["part", "put", "complete", "head"])
def test_no_header_is_obeyed(harmed: Harmed, where: str) -> None:
    """ETag, version id, digests, dates: what goes into the result, the receipt and the log."""
    names: tuple[str, ...] = (
        "ETag",
        "x-obs-version-id",
        "x-obs-request-id",
        "Date",
        "Last-Modified",
        "x-obs-uploadId",
    )
    names += ("x-obs-meta-obsup-token", "x-obs-server-side-encryption", "x-obs-checksum-crc64ecma")
    headers = {name: IN_HEADERS + name for name in names}
    body = "<R><ETag>x</ETag></R>" if where == "complete" else ""
    command = COMMANDS.get(where, UPLOAD)
    harmed.run(lambda one: response(200, body, headers) if operation(one) == where else None, *command)
    for name in Path().glob("*.obsup.json"):
        check_plain(name.read_text())


RUDE: dict[str, Reply] = {
    "no HTTP": Reply([b"\x1b[31mSSH-2.0-OpenSSH\r\n"], close=True),
    "a status that is no number": Reply([b"HTTP/1.1 2e2 \x1b[31m\r\n\r\n"], close=True),
    "a status out of range": Reply([b"HTTP/1.1 999 \x1b[31m\r\nContent-Length: 0\r\n\r\n"]),
    "another protocol": Reply([b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"], close=True),
    "a length of 5,000 digits": Reply(
        [b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"], close=True
    ),
    "a negative length": Reply([b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"], close=True),
    "two lengths": Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n"], close=True),
    "chunks of no size": Reply(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[31m\r\n"], close=True
    ),
    "chunks of endless size": Reply(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nx"], close=True
    ),
    "headers without end": Reply([b"HTTP/1.1 200 OK\r\n", *[b"a: b\r\n" * 10_000] * 100], close=True),
    "a header without end": Reply([b"HTTP/1.1 200 OK\r\na: ", *[b"b" * MIB] * 64], close=True),
    "a reason without end": Reply([b"HTTP/1.1 200 ", *[b"b" * MIB] * 64], close=True),
    "a header without a name": Reply([b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n"]),
    "interim answers without end": Reply([b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000] * 100, close=True),
    "a body without end": Reply([b"HTTP/1.1 200 OK\r\n\r\n", *[b" " * MIB] * 64], close=True),
    "a refusal without end": Reply([b"HTTP/1.1 403 No\r\n\r\n<Error><Code>", *[b"x" * MIB] * 64], close=True),
    "a packed bomb": response(200, b"\x1f\x8b\x08\x00" + bytes(1000), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("rude", RUDE)
@pytest.mark.parametrize("where", ["initiate", "part", "complete", "uploads"])
def test_a_malformed_response_is_a_network_error(harmed: Harmed, where: str, rude: str) -> None:
    """Bounded in what is read of it; never a bug, never taken for success."""
    command = COMMANDS.get(where, UPLOAD)
    outcome = harmed.run(lambda one: RUDE[rude] if operation(one) == where else None, *command)
    # Who cannot list uploads, with a checkpoint of its own to be made, goes without.
    assert outcome.code in (75, 69, 77, 65)


BOMBS = {
    "entities": "<!DOCTYPE r [<!ENTITY a 'x'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
    + "]><r>&j;</r>",
    "a file of this machine": "<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><r><UploadId>&a;</UploadId></r>",
    "a document type": "<!DOCTYPE r SYSTEM 'http://127.0.0.1:9/x.dtd'><r><UploadId>x</UploadId></r>",
    "elements within elements": "<r>" * 500_000 + "</r>" * 500_000,
    "elements beside elements": "<r>" + "<a/>" * 2_000_000 + "</r>",
    "attributes": "<r " + " ".join(f'a{n}=""' for n in range(300_000)) + "/>",
    "another encoding": "<?xml version='1.0' encoding='utf-7'?><r/>",
    "no such encoding": "<?xml version='1.0' encoding='\x1b[31m'?><r/>",
    "nothing": "",
    "a page for people": "<html><body>Welcome to <b>nginx</b><br></body></html>",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("status", [200, pytest.param(403, marks=pytest.mark.slow)])
@pytest.mark.parametrize("where", ["initiate", pytest.param("complete", marks=pytest.mark.slow), "uploads"])
def test_xml_is_read_without_entities_and_within_bounds(
    harmed: Harmed, where: str, bomb: str, status: int
) -> None:
    """A document that would grow is not read; what it names is not fetched."""
    command = COMMANDS.get(where, UPLOAD)
    outcome = harmed.run(
        lambda one: response(status, BOMBS[bomb]) if operation(one) == where else None, *command
    )
    assert outcome.code in (75, 69, 77, 65)
    assert "root:" not in outcome.err + outcome.out
