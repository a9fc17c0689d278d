"""The operations of HttpStore: one request each, and strict checks of the response."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from obsup.dialects.dialect import Addressing
from obsup.dialects.registry import DIALECTS
from obsup.errors import NetworkError, StoreError, WrongUsage
from obsup.model import Credentials, CustomerKey, Upload, UploadChecksum
from obsup.store.answers.server_clock import ServerClock
from obsup.store.client import HttpStore
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error, response
from tests.support.stores import BytesBody, bytes_body, open_store, target

STORED = response(200, headers={"ETag": '"e"'})
INITIATED = "<InitiateMultipartUploadResult><UploadId>the-id</UploadId></InitiateMultipartUploadResult>"
COMPLETED = "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>"
COPIED = "<CopyPartResult><ETag>&quot;e&quot;</ETag></CopyPartResult>"


def upload(server: ScriptedServer) -> Upload:
    return Upload(target(server.endpoint), "the-id")


def test_namespace_and_white_space_before_xml_are_ignored() -> None:
    """S3 sends white space while it assembles; every deployment has another namespace."""
    body = (
        b"\n \r\n " * 100
        + b'<?xml version="1.0"?>'
        + COMPLETED.format("&quot;e-2&quot;")
        .replace("<CompleteMultipartUploadResult>", '<CompleteMultipartUploadResult xmlns="urn:x">')
        .encode()
    )
    with ScriptedServer(lambda _: response(200, body)) as server, open_store("obs", server.endpoint) as store:
        assert store.complete(upload(server), [(1, "e")], {}).etag == "e-2"


def test_an_empty_etag_of_complete_is_accepted() -> None:
    """Ceph returns <ETag></ETag>."""
    with (
        ScriptedServer(lambda _: response(200, COMPLETED.format(""))) as server,
        open_store("s3-v4", server.endpoint) as store,
    ):
        assert store.complete(upload(server), [(1, "e")], {}).etag == ""


@pytest.mark.parametrize("status", [200, 500])
def test_an_error_of_complete_is_a_refusal_with_any_status(status: int) -> None:
    """The store sends 200 before it has assembled the object."""
    body = "<Error><Code>InternalError</Code><Message>sorry</Message></Error>"
    with (
        ScriptedServer(lambda _: response(status, body)) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(StoreError) as caught,
    ):
        store.complete(upload(server), [(1, "e")], {})
    assert (caught.value.refusal.status, caught.value.refusal.code) == (status, "InternalError")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "incomplete"),
        ("   ", "incomplete"),
        ("<html><body>Welcome to the hotel's network</body></html>", "garbled"),
        ("<CompleteMultipartUploadResult>", "incomplete"),
        ("<CompleteMultipartUploadResult><ETag", "incomplete"),
        ("not XML", "garbled"),
        (INITIATED, "garbled"),
        (
            '<!DOCTYPE x [<!ENTITY a "b">]><CompleteMultipartUploadResult>&a;</CompleteMultipartUploadResult>',
            "garbled",
        ),
        ("<!DOCTYPE x><CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>", "garbled"),
        ("<?xml version='1.0' encoding='klingon'?><CompleteMultipartUploadResult/>", "garbled"),
    ],
)
def test_an_unexpected_document_is_an_error(body: str, kind: str) -> None:
    """For example a 200 from a captive portal. A missing end is a network failure."""
    with (
        ScriptedServer(lambda _: response(200, body)) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(NetworkError) as caught,
    ):
        store.complete(upload(server), [(1, "e")], {})
    assert (caught.value.kind, caught.value.sent) == (kind, True)


@pytest.mark.parametrize(
    "written", ["\x1b", "&#x1b;", "&#27;", "&#x0;", "\ufffe", "&#xFFFF;", "&#xd800;", "&#99999999;"]
)
def test_invalid_characters_of_a_key_do_not_break_the_response(written: str) -> None:
    """S3 writes ``&#x1b;``, others the character itself; valid references are decoded."""
    page = f"<Initiated><Key>a{written}b</Key><UploadId>u&#x26;&#49;&lt;</UploadId></Initiated>"
    with (
        ScriptedServer(lambda _: response(200, page)) as server,
        open_store("s3-v4", server.endpoint) as store,
    ):
        assert store.initiate(target(server.endpoint), {}).upload_id == "u&1<"


@pytest.mark.parametrize("body", ["<InitiateMultipartUploadResult/>", COPIED, ""])
def test_initiate_without_an_upload_id_is_an_error(body: str) -> None:
    with (
        ScriptedServer(lambda _: response(200, body)) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(NetworkError),
    ):
        store.initiate(target(server.endpoint), {})


def test_copy_without_an_etag_is_an_error() -> None:
    """OBS: a success only if the body has one."""
    with (
        ScriptedServer(lambda _: response(200, "<CopyPartResult/>")) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(NetworkError),
    ):
        store.copy_part(upload(server), 1, "/bucket/source")


@pytest.mark.parametrize(
    ("quoted", "bare"),
    [('"ABC"', "ABC"), ("abc", "abc"), ('W/"abc"', "abc"), ('"abc"\r\n evil', 'abc" evil')],
)
def test_the_etag_of_a_part_has_no_quotes(quoted: str, bare: str) -> None:
    """It is otherwise unchanged; a header folded over two lines becomes one line."""
    with (
        ScriptedServer(lambda _: response(200, headers={"ETag": quoted})) as server,
        open_store("obs", server.endpoint) as store,
    ):
        assert store.upload_part(upload(server), 1, bytes_body(b"x")).etag == bare


@pytest.mark.parametrize("headers", [{}, {"ETag": ""}, {"ETag": '""'}, {"Content-Type": "text/html"}])
def test_a_part_and_an_object_without_an_etag_are_errors(headers: dict[str, str]) -> None:
    """The response may be that of a captive portal, which stores nothing."""
    with (
        ScriptedServer(lambda _: response(200, "Welcome!", headers)) as server,
        open_store("obs", server.endpoint) as store,
    ):
        with pytest.raises(NetworkError) as of_part:
            store.upload_part(upload(server), 1, bytes_body(b"x"))
        with pytest.raises(NetworkError) as of_object:
            store.put_object(target(server.endpoint), bytes_body(b"x"), {})
    assert {(one.value.kind, one.value.sent) for one in (of_part, of_object)} == {("garbled", True)}


def _missing(code: str) -> Reply:
    return error(404, code)


VERBS: dict[str, Callable[[HttpStore, Upload], object]] = {
    "part": lambda store, upload: store.upload_part(upload, 1, bytes_body(b"x")),
    "list": lambda store, upload: list(store.list_parts(upload)),
    "complete": lambda store, upload: store.complete(upload, [(1, "e")], {}),
}


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_upload_has_one_code(verb: str, code: str) -> None:
    """Some stores return NoSuchKey for it."""
    with (
        ScriptedServer(lambda _: _missing(code)) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(StoreError) as caught,
    ):
        VERBS[verb](store, upload(server))
    assert caught.value.refusal.code == "NoSuchUpload"


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
def test_abort_of_an_unknown_upload_succeeds(code: str) -> None:
    with ScriptedServer(lambda _: _missing(code)) as server, open_store("obs", server.endpoint) as store:
        store.abort(upload(server))


@pytest.mark.parametrize(
    "reply", [error(404, "NoSuchBucket"), response(404, "<html>not here</html>"), error(403, "AccessDenied")]
)
def test_other_errors_of_abort_are_raised(reply: Reply) -> None:
    """The parts would remain and cost money."""
    with (
        ScriptedServer(lambda _: reply) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(StoreError),
    ):
        store.abort(upload(server))


def test_a_missing_source_of_a_copy_is_not_a_missing_upload() -> None:
    with (
        ScriptedServer(lambda _: error(404, "NoSuchKey")) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(StoreError) as caught,
    ):
        store.copy_part(upload(server), 1, "/bucket/missing")
    assert caught.value.refusal.code == "NoSuchKey"


def test_head_distinguishes_missing_from_forbidden() -> None:
    """Neither has a body: 404 is None, 403 is an error."""
    replies = iter(
        [
            response(404),
            response(403),
            response(200),  # of the GET that asks for the reason
            response(404, headers={"x-obs-error-code": "NoSuchBucket"}),
        ]
    )
    with ScriptedServer(lambda _: next(replies)) as server, open_store("obs", server.endpoint) as store:
        assert store.head_object(target(server.endpoint)) is None
        with pytest.raises(StoreError) as forbidden:
            store.head_object(target(server.endpoint))
        with pytest.raises(StoreError) as no_bucket:
            store.head_object(target(server.endpoint))
    assert (forbidden.value.refusal.status, forbidden.value.refusal.code) == (403, "Forbidden")
    assert no_bucket.value.refusal.code == "NoSuchBucket"


@pytest.mark.parametrize(("request_id", "is_believed"), [("0001", True), ("", False)])
@pytest.mark.parametrize("status", [403, 404])
def test_the_time_of_a_proxy_that_rejects_a_request_is_not_that_of_the_store(
    status: int, request_id: str, is_believed: bool
) -> None:
    """A duration of a retention counts from it: a lock would be too short, with exit 0."""
    headers = {"Date": "Tue, 10 Nov 2026 00:00:00 GMT"}
    if request_id:
        headers["x-obs-request-id"] = request_id
    clock = ServerClock(lambda: datetime(2026, 11, 30, tzinfo=UTC).timestamp())
    with (
        ScriptedServer(lambda _: response(status, headers=headers)) as server,
        open_store("obs", server.endpoint, server_clock=clock) as store,
    ):
        for learned in (False, True):
            if learned:  # from a rejected signature
                clock.learn("Tue, 24 Nov 2026 00:00:00 GMT")
            with suppress(StoreError):
                store.head_object(target(server.endpoint))
            assert clock.true_offset_s == (-20 if is_believed else -6 * learned) * 86400


def test_head_finds_the_region_that_only_a_body_names() -> None:
    """MinIO refuses HEAD with 400 and no header."""

    def script(request: ReceivedRequest) -> Reply:
        if "/us-west-9/" in str(request.header("authorization")):
            return response(200, headers={"ETag": '"e"'})
        if request.method == "HEAD":
            return response(400)
        return error(400, "AuthorizationHeaderMalformed", Region="us-west-9")

    with ScriptedServer(script) as server, open_store("s3-v4", server.endpoint) as store:
        assert store.head_object(target(server.endpoint, provider="s3")) is not None
    assert [one.method for one in server.received] == ["HEAD", "GET", "HEAD"]


def test_a_refusal_of_head_remains_if_nothing_explains_it() -> None:
    """The connection that asks for the reason breaks: the refusal is still final, not a bad network."""
    replies = iter([response(403), Reply([b""], close=True)])
    with (
        ScriptedServer(lambda _: next(replies)) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(StoreError) as forbidden,
    ):
        store.head_object(target(server.endpoint))
    assert forbidden.value.refusal.status == 403


def test_head_reads_the_headers_of_the_dialect() -> None:
    """Upload id, version, checksum and metadata, in any case of the header names."""
    headers = {
        "Content-Length": "42",
        "ETag": '"e-2"',
        "X-Obs-UploadID": "the-id",
        "x-obs-version-id": "v1",
        "x-obs-checksum-crc64ecma": "18446744073709551615",
        "x-obs-meta-Obsup-Token": "mark",
        "x-obs-server-side-encryption": "kms",
        "x-obs-request-id": "r1",
        "Last-Modified": "Sat, 14 Mar 2026 15:09:26 GMT",
    }
    reply = Reply(
        [("HTTP/1.1 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n").encode()]
    )
    with ScriptedServer(lambda _: reply) as server, open_store("obs", server.endpoint) as store:
        info = store.head_object(target(server.endpoint))
    assert info is not None
    assert (info.size, info.etag, info.upload_id, info.version_id) == (42, "e-2", "the-id", "v1")
    assert (info.crc64, info.metadata, info.sse) == (2**64 - 1, {"obsup-token": "mark"}, "kms")
    assert (info.request_id, info.last_modified) == ("r1", headers["Last-Modified"])


def test_a_head_that_no_store_answered_is_not_an_object() -> None:
    """The portal of a network answers everything with 200."""
    with (
        ScriptedServer(lambda _: response(200, "<html>Welcome</html>")) as server,
        open_store("obs", server.endpoint) as store,
        pytest.raises(NetworkError, match="no ETag and no date") as caught,
    ):
        store.head_object(target(server.endpoint))
    assert caught.value.kind == "garbled"


@pytest.mark.parametrize("length", ["-5", "1e9", "４２", "9" * 30])
def test_an_invalid_length_is_unknown(length: str) -> None:
    """It must never equal the size of the source."""
    reply = Reply([f"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: {length}\r\n\r\n".encode()], close=True)
    with ScriptedServer(lambda _: reply) as server, open_store("obs", server.endpoint) as store:
        info = store.head_object(target(server.endpoint))
    assert info is not None
    assert info.size == -1


def test_a_result_has_the_fields_of_the_vendors_tables() -> None:
    headers = {
        "ETag": '"e"',
        "x-obs-request-id": "r1",
        "x-obs-id-2": "h1",
        "x-obs-version-id": "v1",
        "x-obs-server-side-encryption": "kms",
        "x-obs-server-side-encryption-kms-key-id": "k1",
        "x-obs-server-side-encryption-customer-algorithm": "AES256",
        "x-obs-server-side-encryption-customer-key-MD5": "m1",
        "x-obs-checksum-crc64ecma": "7",
    }
    with (
        ScriptedServer(lambda _: response(200, headers=headers)) as server,
        open_store("obs", server.endpoint) as store,
    ):
        stored = store.put_object(target(server.endpoint), bytes_body(b"x"), {})
    assert (stored.status, stored.etag, stored.request_id, stored.host_id) == (200, "e", "r1", "h1")
    assert (stored.version_id, stored.sse_kms, stored.sse_kms_key) == ("v1", "kms", "k1")
    assert (stored.sse_c, stored.sse_c_key_md5, stored.crc64) == ("AES256", "m1", 7)


def test_a_success_redirect_is_a_success() -> None:
    """OBS responds to PutObject with 303 and the requested URL, which obsup does not open."""
    reply = response(303, headers={"Location": "https://done.example/?key=key", "ETag": '"e"'})
    with ScriptedServer(lambda _: reply) as server, open_store("obs", server.endpoint) as store:
        asked = {"success-action-redirect": "https://done.example/"}
        assert store.put_object(target(server.endpoint), bytes_body(b"x"), asked).etag == "e"
        with pytest.raises(StoreError):
            store.put_object(target(server.endpoint), bytes_body(b"x"), {})


KEY = CustomerKey(bytes(range(32)))
AGREED = UploadChecksum("crc64nvme", is_full_object=True)


@pytest.mark.parametrize("name", [name for name, one in DIALECTS.items() if one.headers.sse_c])
def test_a_customer_key_is_sent_with_the_content_but_not_with_complete(name: str) -> None:
    """On initiate, each part, put and HEAD; never on complete, abort and the lists."""
    prefix = DIALECTS[name].headers.sse_c or ""
    replies = {
        "initiate": response(200, INITIATED),
        "part": response(200, headers={"ETag": "e"}),
        "copy": response(200, COPIED),
        "complete": response(200, COMPLETED.format("e")),
        "parts": response(200, "<ListPartsResult><IsTruncated/></ListPartsResult>"),
        "uploads": response(200, "<ListMultipartUploadsResult><IsTruncated/></ListMultipartUploadsResult>"),
        "abort": response(204),
        "put": STORED,
        "head": STORED,
    }
    steps = iter(replies.values())
    with (
        ScriptedServer(lambda _: next(steps)) as server,
        open_store(name, server.endpoint, customer_key=KEY) as store,
    ):
        store.initiate(target(server.endpoint), {})
        store.upload_part(upload(server), 1, bytes_body(b"x"))
        store.copy_part(upload(server), 2, "/bucket/source")
        store.complete(upload(server), [(1, "e")], {})
        list(store.list_parts(upload(server)))
        list(store.list_uploads("bucket", ""))
        store.abort(upload(server))
        store.put_object(target(server.endpoint), bytes_body(b"x"), {})
        store.head_object(target(server.endpoint))
        sent = dict(zip(replies, server.received, strict=True))
    carriers = {step for step, one in sent.items() if one.header(f"{prefix}key") is not None}
    assert carriers == {"initiate", "part", "copy", "put", "head"}
    assert sent["part"].header(f"{prefix}algorithm") == "AES256"
    assert sent["part"].header(f"{prefix}key-MD5") == "tP/LI3N87DFaSk0aoqYgzg=="  # base64 of md5sum's


@pytest.mark.parametrize(("name", "is_sent"), [("s3-v4", True), ("obs", False)])
def test_the_parts_of_an_upload_with_checksums_are_listed_with_the_customer_key(
    name: str, is_sent: bool
) -> None:
    """S3 needs the key to return the checksums. Source: Amazon S3 API reference, "ListParts"."""
    page = response(200, "<ListPartsResult><IsTruncated/></ListPartsResult>")
    with (
        ScriptedServer(lambda _: page) as server,
        open_store(name, server.endpoint, customer_key=KEY) as store,
    ):
        list(store.list_parts(replace(upload(server), checksum=AGREED)))
        header = server.last.header(f"{DIALECTS[name].headers.sse_c}key")
    assert (header is not None) is is_sent


@pytest.mark.parametrize("needs_key", [True, False])
@pytest.mark.parametrize("checksum", [AGREED, None])
def test_parts_are_listed_whether_the_store_needs_the_customer_key_or_rejects_it(
    needs_key: bool, checksum: UploadChecksum | None
) -> None:
    """Whether an upload of another machine has checksums is not known here."""

    def script(request: ReceivedRequest) -> Reply:
        has_key = request.header(f"{DIALECTS['s3-v4'].headers.sse_c}key") is not None
        if has_key is needs_key:
            return response(200, "<ListPartsResult><IsTruncated/></ListPartsResult>")
        return error(400, "InvalidRequest") if needs_key else error(501, "NotImplemented")

    with (
        ScriptedServer(script) as server,
        open_store("s3-v4", server.endpoint, customer_key=KEY) as store,
    ):
        assert list(store.list_parts(replace(upload(server), checksum=checksum))) == []
        assert store.upload_checksum(upload(server)) is None


@pytest.mark.parametrize("name", DIALECTS)
def test_url_encoding_is_requested_if_the_vendor_supports_it(name: str) -> None:
    """OBS and OSS for every response with a key; S3 only for lists of keys."""
    listed = "<ListResult><IsTruncated/></ListResult>"
    replies = {
        "initiate": response(200, INITIATED),
        "part": STORED,
        "parts": response(200, listed),
        "complete": response(200, COMPLETED.format("e")),
        "uploads": response(200, listed),
        "objects": response(200, listed),
        "abort": response(204),
    }
    steps = iter(replies.values())
    with ScriptedServer(lambda _: next(steps)) as server, open_store(name, server.endpoint) as store:
        store.initiate(target(server.endpoint), {})
        store.upload_part(upload(server), 1, bytes_body(b"x"))
        list(store.list_parts(upload(server)))
        store.complete(upload(server), [(1, "e")], {})
        list(store.list_uploads("bucket", ""))
        store.list_objects("bucket", "", "")
        store.abort(upload(server))
        asking = {
            step
            for step, one in zip(replies, server.received, strict=True)
            if "encoding-type=url" in one.target
        }
    own = set() if name.startswith("s3") else {"initiate", "parts", "complete"}
    assert asking == {"uploads", "objects"} | own


def test_customer_key_is_not_sent_without_tls() -> None:
    with (
        pytest.raises(WrongUsage, match="not encrypted"),
        open_store("obs", "http://obs.eu-de.otc.t-systems.com", customer_key=KEY),
    ):
        pass


def test_customer_key_is_sent_with_tls_or_to_this_machine() -> None:
    for endpoint in (
        "https://obs.example",
        "http://127.0.0.1:9000",
        "http://localhost:9000",
        "http://[::1]:9000",
    ):
        with open_store("obs", endpoint, customer_key=KEY):
            pass


def test_customer_key_is_rejected_if_the_vendor_does_not_support_it() -> None:
    with (
        pytest.raises(WrongUsage, match="SSE-C"),
        open_store("oss-v4", "https://oss-cn-hangzhou.aliyuncs.com", customer_key=KEY),
    ):
        pass


def test_body_is_closed_whatever_happens() -> None:
    bodies: list[BytesBody] = []

    def open_body() -> BytesBody:
        bodies.append(BytesBody(b"x" * 100, fails_after=50 if len(bodies) == 2 else None))
        return bodies[-1]

    replies = iter([STORED, response(403), STORED])
    with ScriptedServer(lambda _: next(replies)) as server, open_store("obs", server.endpoint) as store:
        store.upload_part(upload(server), 1, open_body)
        with pytest.raises(StoreError):
            store.upload_part(upload(server), 1, open_body)
        with pytest.raises(RuntimeError):
            store.upload_part(upload(server), 1, open_body)
    assert [body.is_closed for body in bodies] == [True, True, True]


def test_access_key_with_a_colon_is_sent_as_it_is() -> None:
    """Swift's are ACCOUNT:USER."""
    keys = Credentials("account:user", "secret")
    with (
        ScriptedServer(lambda _: STORED) as server,
        open_store("s3-v2", server.endpoint, keys=keys) as store,
    ):
        store.head_object(target(server.endpoint))
        assert re.fullmatch(r"AWS account:user:[A-Za-z0-9+/]+=*", server.last.header("Authorization") or "")


def test_security_token_goes_in_the_dialects_header() -> None:
    keys = Credentials("ak", "sk", "the-token")
    for name, dialect in DIALECTS.items():
        with (
            ScriptedServer(lambda _: STORED) as server,
            open_store(name, server.endpoint, keys=keys) as store,
        ):
            store.head_object(target(server.endpoint))
            assert server.last.header(dialect.headers.security_token) == "the-token"


def test_small_payload_without_tls_is_hashed() -> None:
    """AWS takes an unsigned payload over TLS only."""
    replies = iter([response(200, COMPLETED.format("e")), STORED])
    with ScriptedServer(lambda _: next(replies)) as server, open_store("s3-v4", server.endpoint) as store:
        store.complete(upload(server), [(1, "e")], {})
        store.upload_part(upload(server), 1, bytes_body(b"x"))
        complete, part = server.received
    assert re.fullmatch("[0-9a-f]{64}", complete.header("x-amz-content-sha256") or "")
    assert part.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"


def test_complete_names_the_parts_in_order() -> None:
    """In any order, with any characters in an ETag."""
    with (
        ScriptedServer(lambda _: response(200, COMPLETED.format("e"))) as server,
        open_store("obs", server.endpoint) as store,
    ):
        store.complete(upload(server), [(2, "b<&>"), (1, "a")], {})
        assert server.last.body == (
            b"<CompleteMultipartUpload>"
            b"<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>"
            b"<Part><PartNumber>2</PartNumber><ETag>&quot;b&lt;&amp;&gt;&quot;</ETag></Part>"
            b"</CompleteMultipartUpload>"
        )


def test_store_is_shared_by_threads() -> None:
    """Each request is whole and signed for itself."""

    def script(request: ReceivedRequest) -> Reply:
        number = re.search(r"partNumber=(\d+)", request.target)
        assert number is not None
        return response(200, headers={"ETag": f'"{number[1]}"'})

    results: dict[int, str] = {}
    with ScriptedServer(script) as server, open_store("s3-v4", server.endpoint) as store:

        def send(number: int) -> None:
            results[number] = store.upload_part(upload(server), number, bytes_body(b"%d" % number)).etag

        threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 21)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bodies = {
            one.target.partition("partNumber=")[2].partition("&")[0]: one.body for one in server.received
        }
    assert results == {number: str(number) for number in range(1, 21)}
    assert bodies == {str(number): b"%d" % number for number in range(1, 21)}


@pytest.mark.parametrize("addressing", ["path", "virtual"])
@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_an_endpoint_below_a_path(name: str, addressing: Addressing) -> None:
    """AWS4 signs the path as sent (Supabase); the other signatures sign bucket and key only, as botocore does."""
    now = lambda: 1_790_000_000.0  # noqa: E731
    signatures = []
    with ScriptedServer(lambda _: STORED) as server:
        root = server.endpoint.replace("127.0.0.1", "localhost")
        for prefix in ("", "/storage/v1/s3"):
            with open_store(name, root + prefix, addressing=addressing, clock=now) as store:
                store.put_object(target(root, "a b"), bytes_body(b"x"), {})
            signatures.append(server.last.header("authorization"))
        assert server.last.target == "/storage/v1/s3" + ("/bucket" if addressing == "path" else "") + "/a%20b"
    assert (signatures[0] != signatures[1]) == (name in ("obs-v4", "s3-v4"))
