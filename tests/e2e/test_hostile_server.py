"""A malicious server: no control character reaches the terminal, messages stay on one line, and memory is bounded.

Every field of every response is malicious in turn; commands exit with a documented code and three lines at most.
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
from tests.support.matrix import mostly_slow
from tests.support.shell import Outcome

CODES = {int(code) for row in EXIT_STATUSES for code in row.codes.split(", ")} - {70}
MIB = 1024 * 1024
# Escape sequences, line ends and changes of the writing direction, as far as XML and HTTP allow them.
IN_XML = "\x9b31m\x85\u2028\u202e\r\nNext:  obsup gc bucket\n\ttab\ufeff\U000e0001"
IN_HEADERS = "\x1b[31m\x1b]0;title\x07\x08\x9b2J\x85\x00"
MALICIOUS_FIELDS = [
    "code",
    "message",
    "request-id",
    "id-in-body",
    "region",
    "endpoint",
    "location",
    "header-message",
]


def refusal(status: int, malicious_field: str) -> Reply:
    """Return an error response with malicious text in *malicious_field*."""

    def field(name: str, value: str) -> str:
        return f"<{name}>{escape(value + (IN_XML if malicious_field == FIELDS.get(name) else ''))}</{name}>"

    body = "".join(
        field(name, value)
        for name, value in {
            "Code": "AccessDenied",
            "Message": "Access denied",
            "RequestId": "REQUEST" if malicious_field == "id-in-body" else "",
            "HostId": "HOST",
            "Region": "eu-de",
            "Endpoint": "obs.eu-nl.otc.t-systems.com" if malicious_field == "endpoint" else "",
        }.items()
    )
    headers = {"x-obs-id-2": IN_HEADERS, "Date": IN_HEADERS, "Retry-After": "9" * 400}
    if malicious_field == "request-id":
        headers["x-obs-request-id"] = "ID" + IN_HEADERS
    if malicious_field == "location":
        headers["Location"] = "http://127.0.0.1/" + IN_HEADERS
    if malicious_field == "header-message":
        headers["x-obs-error-message"] = IN_HEADERS
        body = ""
    return response(status, f"<Error>{body}</Error>" if body else "", headers)


def check_plain(text: str) -> None:
    """Assert that *text* contains no control characters except newlines and tabs."""
    control_characters = {character for character in text if not character.isprintable()} - {"\n", "\t"}
    assert not control_characters, text


FIELDS = {
    "Code": "code",
    "Message": "message",
    "RequestId": "id-in-body",
    "Region": "region",
    "Endpoint": "endpoint",
}


def operation(request: ReceivedRequest) -> str:
    """Return the operation of a request."""
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


def normal_response(request: ReceivedRequest) -> Reply:
    """Respond like an empty store that accepts everything."""
    name = operation(request)
    upload_id = "<UploadId>an-upload-id</UploadId>"
    if name == "head":
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
    }[name]()


MaliciousResponse = Callable[[ReceivedRequest], "Reply | None"]


class HostileServer:
    """Runs commands against a server that sends the malicious responses of a function."""

    def __init__(self, inside: Inside, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._inside = inside
        self._folder = folder
        self._monkeypatch = monkeypatch

    def run(self, malicious: MaliciousResponse, *arguments: str) -> Outcome:
        """Run a command with the responses of *malicious*, if any; check its output, its log and its exit code."""
        with ScriptedServer(lambda request: malicious(request) or normal_response(request)) as server:
            self._monkeypatch.setenv("OBSUP_ENDPOINT", server.endpoint)
            more = ["-v", "--log-file", "log", "--json"]
            more += ["--retry-for", "0s"] if arguments[0] not in ("doctor", "verify") else []
            outcome = self._inside.run(*arguments, *more)
            request_count = len(server.received)
        assert outcome.code in CODES
        check_plain(outcome.err)
        check_plain(outcome.out)
        assert len(outcome.out.splitlines()) == 1
        result = json.loads(outcome.out)
        assert result.get("exitCode", 0) == outcome.code
        self._check_lines(outcome, request_count)
        return outcome

    def _check_lines(self, outcome: Outcome, request_count: int) -> None:
        log = (self._folder / "log").read_text()
        check_plain(log)
        lines = log.splitlines()
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ ", line) for line in lines), lines
        assert sum(" status=" in line for line in lines) <= request_count + 2
        messages = [line for line in outcome.err.splitlines() if re.match("Error:|Why:|Next:", line)]
        assert [line.partition(":")[0] for line in messages] in (
            ["Error", "Why", "Next"],
            ["Error", "Next"],
            [],
        )
        (self._folder / "log").unlink()


@pytest.fixture
def hostile_server(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> HostileServer:
    """Commands in a folder with a source of three parts."""
    inside = Inside(sandbox, tmp_path, monkeypatch)
    (tmp_path / "bigfile").write_bytes(bytes(250_000))
    return HostileServer(inside, tmp_path, monkeypatch)


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


@pytest.mark.parametrize("malicious_field", MALICIOUS_FIELDS)
@pytest.mark.parametrize("affected", mostly_slow(OPERATIONS, "initiate", "part", "uploads"))
def test_no_text_of_an_error_response_is_interpreted(
    hostile_server: HostileServer, affected: str, malicious_field: str
) -> None:
    """Code, message, ids and addresses are printed on one line, without control characters."""
    command = COMMANDS.get(affected, UPLOAD)
    for status in (403, 400, 301):
        hostile_server.run(
            lambda request, s=status: refusal(s, malicious_field) if operation(request) == affected else None,  # type: ignore[misc]
            *command,
        )


def malicious_bodies(count: int = 3) -> dict[str, str]:
    """Return responses with malicious values, by operation; lists have *count* entries."""
    text = escape(IN_XML)
    upload = f"<Upload><Key>k{text}</Key><UploadId>u{text}</UploadId><Initiated>{text}</Initiated></Upload>"
    fields = f"<Size>5</Size><ETag>e{text}</ETag><LastModified>{text}</LastModified>"
    part = f"<Part><PartNumber>1</PartNumber>{fields}</Part>"
    return {
        "uploads": f"<R><Bucket>b</Bucket>{upload * count}<IsTruncated>false</IsTruncated></R>",
        "parts": f"<R><UploadId>x</UploadId>{part}<IsTruncated>false</IsTruncated></R>",
        "initiate": f"<R><UploadId>u{text}</UploadId></R>",
        "complete": f"<R><ETag>e{text}</ETag><Location>http://{text}</Location></R>",
    }


@pytest.mark.parametrize("affected", malicious_bodies())
def test_no_value_of_a_response_is_interpreted(hostile_server: HostileServer, affected: str) -> None:
    """Keys and upload ids in lists, ETags, dates, and the upload id that later requests contain."""
    command = COMMANDS.get(affected, UPLOAD)
    hostile_server.run(
        lambda request: (
            response(200, malicious_bodies()[affected]) if operation(request) == affected else None
        ),
        *command,
    )


@pytest.mark.parametrize("affected", ["part", "put", "complete", "head"])
def test_no_header_is_interpreted(hostile_server: HostileServer, affected: str) -> None:
    """ETag, version id, digests and dates are written to the result, the receipt and the log."""
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
    body = "<R><ETag>x</ETag></R>" if affected == "complete" else ""
    command = COMMANDS.get(affected, UPLOAD)
    hostile_server.run(
        lambda request: response(200, body, headers) if operation(request) == affected else None, *command
    )
    for path in Path().glob("*.obsup.json"):
        check_plain(path.read_text())


MALFORMED_RESPONSES: dict[str, Reply] = {
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
    "a compressed body": response(200, b"\x1f\x8b\x08\x00" + bytes(1000), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("malformed", MALFORMED_RESPONSES)
@pytest.mark.parametrize(
    "affected", mostly_slow(["initiate", "part", "complete", "uploads"], "part", "uploads")
)
def test_a_malformed_response_is_a_network_error(
    hostile_server: HostileServer, affected: str, malformed: str
) -> None:
    """obsup reads a limited amount, and reports neither success nor an internal error."""
    command = COMMANDS.get(affected, UPLOAD)
    outcome = hostile_server.run(
        lambda request: MALFORMED_RESPONSES[malformed] if operation(request) == affected else None, *command
    )
    # A failed ListMultipartUploads alone does not stop an upload that makes a new checkpoint.
    assert outcome.code in (75, 69, 77, 65)


HOSTILE_DOCUMENTS = {
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


@pytest.mark.parametrize("document", HOSTILE_DOCUMENTS)
@pytest.mark.parametrize("status", [200, pytest.param(403, marks=pytest.mark.slow)])
@pytest.mark.parametrize("affected", mostly_slow(["initiate", "complete", "uploads"], "uploads"))
def test_xml_is_read_without_entities_and_within_bounds(
    hostile_server: HostileServer, affected: str, document: str, status: int
) -> None:
    """Entities are not expanded, and external documents are not fetched."""
    command = COMMANDS.get(affected, UPLOAD)
    outcome = hostile_server.run(
        lambda request: (
            response(status, HOSTILE_DOCUMENTS[document]) if operation(request) == affected else None
        ),
        *command,
    )
    assert outcome.code in (75, 69, 77, 65)
    assert "root:" not in outcome.err + outcome.out
