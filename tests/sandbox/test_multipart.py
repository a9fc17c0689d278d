"""Initiate, part, complete, abort: as each of the three services does it."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from anycrc import Model

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.client import Client
from tests.support.waiting import wait_for

MIB = 1024 * 1024
DIALECTS = ["obs", "aws2", "oss1"]
crc64 = Model("CRC64-XZ").calc
PARTS = [b"first" * 40_000, b"second" * 40_000, b"last"]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def md5_of_md5s(parts: list[bytes]) -> str:
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_parts_become_the_object(sandbox: Sandbox, connect: Callable[..., Client], dialect: str) -> None:
    client = connect(sandbox, dialect)
    reply = client.upload("dir/key", PARTS)
    assert reply.status == 200
    assert sandbox.object_path("bucket", "dir/key").read_bytes() == b"".join(PARTS)
    assert sandbox.directory / "bucket/dir/key" == sandbox.object_path("bucket", "dir/key")
    assert sandbox.uploads() == []
    expected = md5_of_md5s(PARTS)
    assert reply.text("ETag") == f'"{expected.upper() if dialect == "oss1" else expected}"'


def test_etags_of_parts_are_their_md5_and_oss_writes_them_in_capitals(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    for dialect in DIALECTS:
        client = connect(sandbox, dialect)
        reply = client.part("key", client.initiate("key"), 1, b"data")
        wanted = md5(b"data")
        assert reply.headers["etag"] == f'"{wanted.upper() if dialect == "oss1" else wanted}"'


def test_oss_returns_the_crc64_of_parts_objects_and_lists(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    client = connect(sandbox, "oss1")
    upload_id = client.initiate("key")
    replies = [client.part("key", upload_id, n, data) for n, data in enumerate(PARTS, start=1)]
    crcs = [str(crc64(data)) for data in PARTS]
    assert [reply.headers["x-oss-hash-crc64ecma"] for reply in replies] == crcs
    assert client.send("GET", "key", {"uploadId": upload_id}).texts("Part/HashCrc64ecma") == crcs
    whole = str(crc64(b"".join(PARTS)))
    complete = client.complete("key", upload_id, {n: reply.etag for n, reply in enumerate(replies, start=1)})
    assert complete.headers["x-oss-hash-crc64ecma"] == whole
    assert client.send("HEAD", "key").headers["x-oss-hash-crc64ecma"] == whole
    assert (
        client.send("PUT", "put", body=b"123456789").headers["x-oss-hash-crc64ecma"] == "11051210869376104954"
    )


def test_obs_head_names_the_upload_that_made_the_object(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    """In its AWS form too, while S3 has no such header."""
    for vendor, dialect, header in (
        ("s3", "obs", "x-obs-uploadid"),
        ("obs", "aws2", "x-amz-uploadid"),
        ("s3", "aws2", None),
    ):
        client = connect(start(aws_vendor=vendor), dialect)
        upload_id = client.initiate("key")
        client.complete("key", upload_id, {1: client.part("key", upload_id, 1, b"x").etag})
        headers = client.send("HEAD", "key").headers
        found = {name: value for name, value in headers.items() if name.endswith("-uploadid")}
        assert found == ({header: upload_id} if header else {})


def test_upload_ids_look_like_the_vendors(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    ids = {dialect: connect(sandbox, dialect).initiate("key") for dialect in DIALECTS}
    assert [len(ids["obs"]), len(ids["oss1"])] == [32, 32]
    assert len(ids["aws2"]) > 100


def test_a_second_complete_finds_no_upload(client: Client) -> None:
    upload_id = client.initiate("key")
    etag = client.part("key", upload_id, 1, b"x").etag
    assert client.complete("key", upload_id, {1: etag}).status == 200
    again = client.complete("key", upload_id, {1: etag})
    assert (again.status, again.code) == (404, "NoSuchUpload")


def test_of_two_completes_at_once_one_wins(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    clients = [connect(sandbox) for _ in range(8)]
    upload_id = clients[0].initiate("key")
    etag = clients[0].part("key", upload_id, 1, b"x" * MIB).etag
    statuses = []
    threads = [
        threading.Thread(target=lambda c=c: statuses.append(c.complete("key", upload_id, {1: etag}).status))
        for c in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [404] * 7


def test_a_later_part_of_the_same_number_takes_the_place(sandbox: Sandbox, client: Client) -> None:
    upload_id = client.initiate("key")
    first = client.part("key", upload_id, 1, b"old").etag
    second = client.part("key", upload_id, 1, b"new").etag
    assert client.complete("key", upload_id, {1: first}).code == "InvalidPart"
    assert client.complete("key", upload_id, {1: second}).status == 200
    assert sandbox.object_path("bucket", "key").read_bytes() == b"new"


def test_a_part_that_complete_does_not_list_is_discarded(sandbox: Sandbox, client: Client) -> None:
    upload_id = client.initiate("key")
    etags = {n: client.part("key", upload_id, n, b"%d" % n).etag for n in (1, 2, 3)}
    del etags[2]
    assert client.complete("key", upload_id, etags).status == 200
    assert sandbox.object_path("bucket", "key").read_bytes() == b"13"


def test_complete_takes_etags_quoted_or_bare_in_any_case_and_any_namespace(client: Client) -> None:
    upload_id = client.initiate("key")
    etags = [client.part("key", upload_id, n, b"%d" % n).etag for n in (1, 2)]
    body = (
        '<c:CompleteMultipartUpload xmlns:c="urn:x"><c:Part><c:ETag>"' + etags[0].upper() + '"</c:ETag>'
        "<c:PartNumber>1</c:PartNumber></c:Part><c:Part><c:PartNumber>2</c:PartNumber>"
        f"<c:ETag>{etags[1]}</c:ETag></c:Part></c:CompleteMultipartUpload>"
    )
    assert client.send("POST", "key", {"uploadId": upload_id}, body=body.encode()).status == 200


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({2: "b", 1: "a"}, "InvalidPartOrder"),
        ({1: "a", 3: "c"}, "InvalidPart"),
        ({1: "a", 2: "0" * 32}, "InvalidPart"),
        ({}, "MalformedXML"),
    ],
)
def test_a_wrong_list_of_parts_is_refused_and_harms_nothing(
    client: Client, parts: dict[int, str], code: str
) -> None:
    upload_id = client.initiate("key")
    etags = {
        "a": client.part("key", upload_id, 1, b"1").etag,
        "b": client.part("key", upload_id, 2, b"2").etag,
    }
    named = {number: etags.get(name, name) for number, name in parts.items()}
    assert client.complete("key", upload_id, named).code == code
    assert client.complete("key", upload_id, {1: etags["a"], 2: etags["b"]}).status == 200


@pytest.mark.parametrize(
    "body", [b"", b"<CompleteMultipartUpload>", b"<Other/>", b"\xff\xfe", b"x" * (9 * MIB)]
)
def test_an_invalid_list_of_parts_is_malformed(client: Client, body: bytes) -> None:
    upload_id = client.initiate("key")
    assert client.send("POST", "key", {"uploadId": upload_id}, body=body).code == "MalformedXML"


@pytest.mark.parametrize(("dialect", "least"), [("obs", 100 * 1024), ("oss1", 100 * 1024), ("aws2", 5 * MIB)])
def test_every_part_but_the_last_has_the_vendors_least_size(
    start: Callable[..., Sandbox], connect: Callable[..., Client], dialect: str, least: int
) -> None:
    client = connect(start(), dialect)
    refused = client.upload("key", [b"x" * (least - 1), b"x"])
    assert (refused.status, refused.code) == (400, "EntityTooSmall")
    assert client.upload("key", [b"x" * least, b"x"]).status == 200


def test_the_minimum_size_under_aws_signatures_is_that_of_the_vendor(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    assert connect(start(aws_vendor="obs"), "aws2").upload("key", [b"x" * 100 * 1024, b"x"]).status == 200


def test_one_empty_part_is_an_empty_object(sandbox: Sandbox, client: Client) -> None:
    assert client.upload("key", [b""]).status == 200
    assert sandbox.object_path("bucket", "key").read_bytes() == b""


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "", "1.5"])
def test_part_numbers_are_1_to_10000(client: Client, number: str) -> None:
    query = {"partNumber": number, "uploadId": client.initiate("key")}
    reply = client.send("PUT", "key", query, body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_aborted_uploads_are_gone(sandbox: Sandbox, client: Client) -> None:
    upload_id = client.initiate("key")
    etag = client.part("key", upload_id, 1, b"x").etag
    assert client.send("DELETE", "key", {"uploadId": upload_id}).status == 204
    assert list((sandbox.directory / ".sandbox/uploads").iterdir()) == []
    replies = [
        client.send("DELETE", "key", {"uploadId": upload_id}),
        client.part("key", upload_id, 1, b"x"),
        client.complete("key", upload_id, {1: etag}),
        client.send("GET", "key", {"uploadId": upload_id}),
    ]
    assert {(reply.status, reply.code) for reply in replies} == {(404, "NoSuchUpload")}


def test_an_upload_belongs_to_its_key(client: Client) -> None:
    upload_id = client.initiate("key")
    assert client.part("other", upload_id, 1, b"x").code == "NoSuchUpload"


def test_a_part_that_is_on_its_way_when_the_upload_is_aborted_finds_no_upload(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    incoming = sandbox.directory / ".sandbox/incoming"
    first, second = connect(sandbox), connect(sandbox)
    upload_id = first.initiate("key")

    def halves() -> Iterator[bytes]:
        yield b"x" * 1000
        wait_for(lambda: list(incoming.iterdir()))
        assert second.send("DELETE", "key", {"uploadId": upload_id}).status == 204
        yield b"x" * 1000

    assert first.part("key", upload_id, 1, halves(), {"Content-Length": "2000"}).code == "NoSuchUpload"
    assert list(incoming.iterdir()) == []


def test_a_matching_content_md5_is_accepted_and_another_one_refused(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    right = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for dialect, code in (("obs", "BadDigest"), ("aws2", "BadDigest"), ("oss1", "InvalidDigest")):
        client = connect(sandbox, dialect)
        upload_id = client.initiate("key")
        assert client.part("key", upload_id, 1, b"data", {"Content-MD5": right}).status == 200
        refused = client.part("key", upload_id, 2, b"data", {"Content-MD5": wrong})
        assert (refused.status, refused.code) == (400, code)
        malformed = client.part("key", upload_id, 2, b"data", {"Content-MD5": md5(b"data")})
        assert (malformed.status, malformed.code) == (400, "InvalidDigest")
        assert client.send("GET", "key", {"uploadId": upload_id}).texts("Part/PartNumber") == ["1"]


def test_a_content_md5_of_complete_is_checked(client: Client) -> None:
    upload_id = client.initiate("key")
    etag = client.part("key", upload_id, 1, b"x").etag
    wrong = {"Content-MD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}
    assert client.complete("key", upload_id, {1: etag}, wrong).code == "BadDigest"


@pytest.mark.parametrize(
    "header", ["x-obs-checksum-crc64ecma", "x-obs-checksum-sha256", "x-obs-checksum-crc32"]
)
def test_a_checksum_header_is_verified_and_echoed(sandbox: Sandbox, client: Client, header: str) -> None:
    sandbox.add_fault("obs-checksums")
    right = {
        "x-obs-checksum-crc64ecma": str(crc64(b"data")),
        "x-obs-checksum-sha256": base64.b64encode(hashlib.sha256(b"data").digest()).decode(),
        "x-obs-checksum-crc32": "rfPzYw==",
    }[header]
    upload_id = client.initiate("key")
    assert client.part("key", upload_id, 1, b"data", {header: right}).headers[header] == right
    assert client.part("key", upload_id, 1, b"date", {header: right}).code == "BadDigest"


def test_a_leading_slash_of_a_virtual_hosted_key_is_kept(sandbox: Sandbox, client: Client) -> None:
    headers = client.headers("PUT", "/key", {}, {}, time.time())
    client.connection.putrequest("PUT", "//key", skip_host=True)
    for name, value in {**headers, "Host": "bucket.localhost", "Content-Length": "4"}.items():
        client.connection.putheader(name, value)
    client.connection.endheaders(b"data")
    assert client.connection.getresponse().status == 200
    assert sandbox.object_path("bucket", "/key").read_bytes() == b"data"
    assert sandbox.requests[-1].key == "/key"


def test_put_and_part_need_a_content_length(sandbox: Sandbox, client: Client) -> None:
    for query in ({}, {"partNumber": "1", "uploadId": client.initiate("key")}):
        headers = client.headers("PUT", "key", query, {}, time.time())
        client.connection.putrequest("PUT", client.target("key", query))
        for name, value in headers.items():
            client.connection.putheader(name, value)
        client.connection.endheaders()
        reply = client.connection.getresponse()
        assert (reply.status, b"MissingContentLength" in reply.read()) == (411, True)


@pytest.mark.parametrize(("dialect", "status"), [("obs", 200), ("oss1", 200), ("aws2", 411)])
def test_a_chunked_body(sandbox: Sandbox, connect: Callable[..., Client], dialect: str, status: int) -> None:
    """S3 requires the length."""
    client = connect(sandbox, dialect)
    chunks = b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert client.send("PUT", "key", body=chunks, headers={"Transfer-Encoding": "chunked"}).status == status
    assert client.send("PUT", "other", body=b"next").status == 200
    assert status != 200 or sandbox.object_path("bucket", "key").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "header", [{"Content-Length": "-1"}, {"Content-Length": "x"}, {"Transfer-Encoding": "gzip"}]
)
def test_a_body_of_unknown_length_is_refused(client: Client, header: dict[str, str]) -> None:
    reply = client.send("PUT", "key", headers={"Connection": "close", **header}, body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_too_large_a_part_is_refused_before_it_is_read(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    sandbox = start(limits={"max_part": 1000})
    client = connect(sandbox)
    upload_id = client.initiate("key")
    headers = {"Content-Length": str(6 * 1024**3), "Expect": "100-continue"}
    refused = client.part("key", upload_id, 1, None, headers)
    assert (refused.status, refused.code) == (400, "EntityTooLarge")
    assert sandbox.requests[-1].received == 0
    assert client.part("key", upload_id, 1, b"x" * 1000).status == 200


def test_a_client_that_waits_for_100_continue_gets_it(client: Client) -> None:
    headers = client.headers("PUT", "key", {}, {"Expect": "100-continue", "Content-Length": "4"}, time.time())
    client.connection.putrequest("PUT", client.target("key", {}))
    for name, value in headers.items():
        client.connection.putheader(name, value)
    client.connection.endheaders()
    assert client.connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.connection.send(b"data")
    assert client.connection.getresponse().status == 200


def test_copy_takes_an_object_or_a_range_of_one(sandbox: Sandbox, client: Client) -> None:
    client.send("PUT", "sö urce", body=b"0123456789")
    upload_id = client.initiate("key")
    query = {"partNumber": "1", "uploadId": upload_id}
    source = {"x-obs-copy-source": "/bucket/s%C3%B6%20urce"}
    reply = client.send("PUT", "key", query, headers={**source, "x-obs-copy-source-range": "bytes=2-4"})
    assert reply.text("ETag") == f'"{md5(b"234")}"'
    etags = {1: md5(b"234")}
    reply = client.send("PUT", "key", {**query, "partNumber": "2"}, headers=source)
    etags[2] = reply.text("ETag").strip('"')
    assert client.complete("key", upload_id, etags).status == 200
    assert sandbox.object_path("bucket", "key").read_bytes() == b"2340123456789"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-obs-copy-source": "bucket/absent"}, "NoSuchKey"),
        ({"x-obs-copy-source": "absent/key"}, "NoSuchBucket"),
        ({"x-obs-copy-source": "bucket"}, "InvalidArgument"),
        ({"x-obs-copy-source": "bucket/source", "x-obs-copy-source-range": "bytes=10-11"}, "InvalidRange"),
        ({"x-obs-copy-source": "bucket/source", "x-obs-copy-source-range": "2-3"}, "InvalidArgument"),
    ],
)
def test_a_wrong_copy_source_is_refused(client: Client, headers: dict[str, str], code: str) -> None:
    client.send("PUT", "source", body=b"0123456789")
    query = {"partNumber": "1", "uploadId": client.initiate("key")}
    assert client.send("PUT", "key", query, headers=headers).code == code


def test_s3_checks_the_promised_size_of_the_object(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    client = connect(sandbox, "aws2")
    upload_id = client.initiate("key")
    etag = client.part("key", upload_id, 1, b"four").etag
    refused = client.complete("key", upload_id, {1: etag}, {"x-amz-mp-object-size": "5"})
    assert (refused.status, refused.code) == (400, "InvalidRequest")
    assert client.complete("key", upload_id, {1: etag}, {"x-amz-mp-object-size": "4"}).status == 200


def test_oss_rejects_overwriting_on_request(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    client = connect(sandbox, "oss1")
    forbid = {"x-oss-forbid-overwrite": "true"}
    upload_id = client.initiate("key", **forbid)
    etag = client.part("key", upload_id, 1, b"x").etag
    assert client.send("PUT", "key", body=b"first", headers=forbid).status == 200
    replies = [
        client.complete("key", upload_id, {1: etag}, forbid),
        client.send("PUT", "key", body=b"second", headers=forbid),
        client.send("POST", "key", {"uploads": None}, headers=forbid),
    ]
    assert {(reply.status, reply.code) for reply in replies} == {(409, "FileAlreadyExists")}
    assert sandbox.object_path("bucket", "key").read_bytes() == b"first"


@pytest.mark.parametrize(
    ("method", "query"), [("POST", {"restore": None}), ("PUT", {"acl": None}), ("PATCH", {})]
)
def test_an_unknown_operation_is_not_implemented(
    client: Client, monkeypatch: pytest.MonkeyPatch, method: str, query: dict[str, str | None]
) -> None:
    monkeypatch.setattr("tests.sandbox.client.SIGNED", {*query})
    reply = client.send(method, "key", query)
    assert (reply.status, reply.code) == (501, "NotImplemented")


def test_the_unsigned_request_for_the_api_version_succeeds(client: Client) -> None:
    reply = client.send("HEAD", "", {"apiversion": None}, unsigned=True)
    assert (reply.status, reply.headers["x-obs-api"]) == (200, "3.0")


def test_without_a_signature_access_is_denied(client: Client) -> None:
    reply = client.send("GET", "key", unsigned=True)
    assert (reply.status, reply.code) == (403, "AccessDenied")


def test_an_unsupported_authorization_type_is_named(client: Client) -> None:
    reply = client.send("GET", "key", headers={"Authorization": "Bearer x"}, unsigned=True)
    assert reply.status == 400
    assert reply.text("Message") == "Unsupported Authorization Type"


def test_every_response_has_a_request_id_and_the_servers_date(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    sandbox = start(clock=lambda: 1_000_000_000.0)
    for dialect, prefix in (("obs", "x-obs-"), ("aws2", "x-amz-"), ("oss1", "x-oss-")):
        reply = connect(sandbox, dialect).send("HEAD", "absent", now=1_000_000_000.0)
        assert len(reply.headers[prefix + "request-id"]) == 32
        assert reply.headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"


def test_a_skewed_client_gets_the_time_from_the_response(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    client = connect(start())
    reply = client.send("PUT", "key", body=b"x", now=time.time() - 1000)
    assert (reply.status, reply.code) == (403, "RequestTimeTooSkewed")
    assert client.send("PUT", "key", body=b"x").status == 200


def test_oss_puts_the_error_of_head_into_a_header(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    reply = connect(sandbox, "oss1").send("HEAD", "absent")
    assert reply.status == 404
    assert b"<Code>NoSuchKey</Code>" in base64.b64decode(reply.headers["x-oss-err"])


@pytest.mark.parametrize(
    ("announced", "sent", "status", "code"),
    [
        ("x-amz-checksum-crc32", "x-amz-checksum-crc32:rfPzYw==", 200, ""),
        ("x-amz-checksum-crc32", "x-amz-checksum-crc32:AAAAAA==", 400, "BadDigest"),
        ("x-amz-checksum-crc32", "", 400, "MalformedTrailerError"),
        ("x-amz-checksum-crc32", "x-amz-checksum-sha1:rfPzYw==", 400, "MalformedTrailerError"),
        ("x-amz-checksum-crc32", "no colon", 400, "MalformedTrailerError"),
        ("", "x-amz-checksum-crc32:rfPzYw==", 400, "MalformedTrailerError"),
    ],
)
def test_the_trailer_must_be_the_one_announced(
    sandbox: Sandbox, connect: Callable[..., Client], announced: str, sent: str, status: int, code: str
) -> None:
    client = connect(sandbox, "aws2")
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "4",
        **({"x-amz-trailer": announced} if announced else {}),
    }
    body = f"4\r\ndata\r\n0\r\n{sent}\r\n".encode() + (b"\r\n" if sent else b"")
    assert client.send("PUT", "key", body=body, headers=headers).status == status
    assert sandbox.requests[-1].code == code
    assert sandbox.object_path("bucket", "key").exists() is (status == 200)
    assert client.send("PUT", "other", body=b"next").status == 200
