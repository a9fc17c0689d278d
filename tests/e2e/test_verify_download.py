"""obsup verify --download: the bytes of an object that cannot be compared otherwise are compared with the file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup import verify_file
from obsup.errors import DataMismatch
from obsup.events import Event, Requested
from obsup.sandbox.sandbox import Sandbox
from obsup.units import MIB
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer
from tests.support.in_process import Inside

MakeFile = Callable[..., Path]
ENCRYPTED = ("bigfile", "bucket/key", "--sse", "kms")
# More than one request of a download.
SIZE = 5 * MIB


def test_an_encrypted_object_is_downloaded_only_if_that_is_asked_for(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Exit 1 names the option; with it, exit 0 after every byte was compared."""
    make_file(SIZE)
    assert inside.run("upload", *ENCRYPTED).code == 0
    unknown = inside.run("verify", "bigfile", "bucket/key")
    assert (unknown.code, "--download" in unknown.err) == (1, True)
    before = len(sandbox.requests)
    known = inside.run("verify", "bigfile", "bucket/key", "--download", "--json")
    assert (known.code, known.json["status"], known.json["verified"]) == (0, "identical", "content")
    assert [record.method for record in sandbox.requests[before:]] == ["HEAD", "GET", "GET"]
    assert verify_file("bigfile", "bucket/key", download=True).by == "content"


def test_one_byte_that_differs_is_found(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """At both ends of each request, and with the options of many files."""
    content = bytearray(make_file(SIZE).read_bytes())
    assert inside.run("upload", *ENCRYPTED).code == 0
    for offset in (0, 4 * MIB - 1, 4 * MIB, SIZE - 1):
        content[offset] ^= 1
        sandbox.object_path("bucket", "key").write_bytes(content)
        outcome = inside.run("verify", "bigfile", "bucket/key", "--download")
        assert (outcome.code, "bigfile and the object bucket/key differ" in outcome.err) == (65, True)
        content[offset] ^= 1
    assert inside.run("upload", "-r", ".", "bucket/many/", *ENCRYPTED[2:]).code == 0
    many = ("verify", "-r", ".", "bucket/many/", "--download")
    assert inside.run(*many).code == 0
    sandbox.object_path("bucket", "many/bigfile").write_bytes(bytes(SIZE))
    assert inside.run(*many).code == 65


def test_nothing_is_downloaded_if_a_digest_can_be_compared(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Nor if the sizes differ, or the object is missing."""
    source = make_file(SIZE)
    assert inside.run("upload", "bigfile", "bucket/plain").code == 0
    assert inside.run("upload", *ENCRYPTED).code == 0
    before = len(sandbox.requests)
    assert inside.run("verify", "bigfile", "bucket/plain", "--download").code == 0
    source.write_bytes(b"shorter")
    assert inside.run("verify", "bigfile", "bucket/key", "--download").code == 65
    assert {record.method for record in sandbox.requests[before:]} == {"HEAD"}
    assert inside.run("verify", "bigfile", "bucket/missing", "--download").code == 65


def test_content_that_looks_like_a_secret_or_an_error_is_content(inside: Inside, tmp_path: Path) -> None:
    """Responses are searched for the secrets of their requests, and for <Error>; content is not."""
    key = bytes(range(32))
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "key").chmod(0o600)
    own_key = ("--sse-c-key-file", "key")
    (tmp_path / "bigfile").write_bytes(b"<Error>" + base64.b64encode(key) + b"</Error>")
    (tmp_path / "empty").touch()
    for name in ("bigfile", "empty"):
        assert inside.run("upload", name, f"bucket/{name}", *own_key).code == 0
        outcome = inside.run("verify", name, f"bucket/{name}", *own_key, "--download", "--json")
        assert (outcome.code, outcome.json["verified"]) == (0, "content")


def test_an_object_that_is_replaced_in_between_is_not_identical(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The second half of another object with the same size is not taken for that of the first."""
    make_file(SIZE)
    assert inside.run("upload", *ENCRYPTED).code == 0

    def replace_object(event: Event) -> None:
        if isinstance(event, Requested) and event.method == "GET":
            assert inside.run("upload", *ENCRYPTED).code == 0

    with pytest.raises(DataMismatch, match="Another upload replaced the object"):
        verify_file("bigfile", "bucket/key", download=True, observer=replace_object)


@pytest.mark.parametrize(
    ("size", "header", "text"),
    [
        (SIZE, f"Content-Length: {SIZE}", "It has no ETag"),
        (1000, 'ETag: "opaque-1"', "does not return the size"),
        (1000, "Content-Length: 1000", ""),
    ],
    ids=["two requests", "no size", "one request"],
)
def test_an_object_without_an_etag_or_a_size(
    size: int, header: str, text: str, inside: Inside, make_file: MakeFile
) -> None:
    """Another object could take its place between two requests, or be longer: nothing would show that."""
    content = make_file(size).read_bytes()
    date = "Last-Modified: Mon, 30 Nov 2026 20:00:00 GMT"

    def answer(request: ReceivedRequest) -> Reply:
        is_get = request.method == "GET"
        length = f"Content-Length: {size}" if is_get else header
        return Reply([f"HTTP/1.1 200 OK\r\n{date}\r\n{length}\r\n\r\n".encode(), content if is_get else b""])

    with ScriptedServer(answer) as server:
        outcome = inside.run("verify", "bigfile", "bucket/key", "--download", "--endpoint", server.endpoint)
    assert (outcome.code, text in outcome.err) == (1 if text else 0, True), outcome.err
    assert [request.method for request in server.received] == ["HEAD"] + ["GET"] * (not text)


@pytest.mark.parametrize(("size", "code"), [(SIZE, 0), (9 * MIB, 69)], ids=["short", "long"])
def test_a_store_that_ignores_ranges(size: int, code: int, inside: Inside, make_file: MakeFile) -> None:
    """Every response is the whole object. One that is longer than any response is exit 69 at once."""
    source = make_file(size)
    content = source.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nETag: opaque\r\nContent-Length: {size}\r\n\r\n".encode()

    def answer(request: ReceivedRequest) -> Reply:
        return Reply([head, content if request.method == "GET" else b""])

    with ScriptedServer(answer) as server:
        outcome = inside.run("verify", "bigfile", "bucket/key", "--download", "--endpoint", server.endpoint)
        source.write_bytes(content[:-1] + b"#")
        other = inside.run("verify", "bigfile", "bucket/key", "--download", "--endpoint", server.endpoint)
    assert (outcome.code, "ignores the header Range" in outcome.err) == (code, bool(code)), outcome.err
    assert other.code == (code or 65), other.err


def test_another_range_is_not_compared(inside: Inside, make_file: MakeFile) -> None:
    """A cache that returns the first range for each range shows that with Content-Range. The rest could differ."""
    make_file(0).write_bytes(bytes(SIZE))
    head = f"HTTP/1.1 200 OK\r\nETag: opaque\r\nContent-Length: {SIZE}\r\n\r\n".encode()

    def answer(request: ReceivedRequest) -> Reply:
        if request.method == "HEAD":
            return Reply([head])
        first, last = map(int, (request.header("Range") or "").removeprefix("bytes=").split("-"))
        end = last - first
        shown = f"Content-Range: bytes 0-{end}/{SIZE}\r\nContent-Length: {end + 1}"
        return Reply(
            [f"HTTP/1.1 206 Partial Content\r\nETag: opaque\r\n{shown}\r\n\r\n".encode(), bytes(end + 1)]
        )

    with ScriptedServer(answer) as server:
        verify = ("verify", "bigfile", "bucket/key", "--download", "--retry-for", "0s")
        outcome = inside.run(*verify, "--endpoint", server.endpoint)
    assert (outcome.code, "GetObject returned bytes 0-" in outcome.err) == (69, True), outcome.err
