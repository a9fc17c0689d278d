"""The vendor's page "Uploading a Part", row by row: command line, Python API, and facade."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import obsup
from obsup import compat
from obsup.local.state.lock import UploadLock
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import MutatingRelay, Wire, framed
from tests.support.in_process import Inside
from tests.support.three_ways import Api, Facade, Given, Way, three_ways, with_headers

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
KEY = "0123456789abcdef0123456789abcdef"
KEY_DIGEST = base64.b64encode(hashlib.md5(KEY.encode()).digest()).decode()
INDICATOR = {"x-reserved-indicator": "indicator-1", "x-reserved": "a trademark"}
NO_OPTIONS = Given()


@pytest.fixture
def sandbox() -> Any:
    """A store with the rules of the vendor of the page."""
    with Sandbox(aws_vendor="obs", buckets=["bucket"]) as running:
        yield running


@pytest.fixture
def ways(sandbox: Sandbox, inside: Inside) -> dict[str, Way]:
    """The three ways to call it."""
    return three_ways(sandbox, inside)


def begun(way: Way, given: Given = NO_OPTIONS, target: str = "bucket/key") -> str:
    """Return the id of a new upload."""
    upload_id: str = way.initiate(target, given).values["uploadId"]
    return upload_id


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def headers_of(request: RequestRecord) -> dict[str, str]:
    """Return the headers of a request by their names in lower case."""
    return {name.lower(): value for name, value in request.headers}


def last_part(sandbox: Sandbox) -> RequestRecord:
    """Return the last request that sent a part, which has more than the one byte of a trial."""
    return [one for one in sandbox.requests if one.operation == "part" and one.received != 1][-1]


WINDOWS: dict[str, tuple[Given, int, int]] = {
    "offset-and-partSize": (
        Given(
            ("--offset", "1000", "--part-size", "150000"),
            {"offset": 1000, "part_size": 150_000},
            {"offset": 1000, "partSize": 150_000},
        ),
        1000,
        151_000,
    ),
    "offset": (Given(("--offset", "1000"), {"offset": 1000}, {"offset": 1000}), 1000, 400_000),
    "none": (NO_OPTIONS, 0, 400_000),
    "beyond-the-end": (
        Given(
            ("--offset", "300000", "--part-size", "9M"),
            {"offset": 300_000, "part_size": "9M"},
            {"offset": 300_000, "partSize": 9 * 1024 * 1024},
        ),
        300_000,
        400_000,
    ),
    "nothing": (Given(("--offset", "400000"), {"offset": 400_000}, {"offset": 400_000}), 400_000, 400_000),
}


@pytest.mark.parametrize("window", WINDOWS)
def test_a_part_of_a_file(window: str, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """isFile, offset and partSize: the sent bytes are those of the window; by default to the end of the file."""
    given, first, end = WINDOWS[window]
    source = make_file(400_000)
    expected = source.read_bytes()[first:end]
    for name, way in ways.items():
        answer = way.part(source, "bucket/key", 1, begun(way), given)
        assert (answer.succeeded, answer.values.get("etag")) == (True, md5(expected)), (name, answer.message)
        assert last_part(sandbox).received == len(expected)


@pytest.mark.parametrize("content", ["text", "readable", "nothing"])
def test_the_content_of_a_part(content: str, ways: dict[str, Way], sandbox: Sandbox, inside: Inside) -> None:
    """Object: a text (UTF-8), anything with read, or nothing. The command line reads it from standard input."""
    texts = {"text": "größer", "readable": "read", "nothing": ""}
    data = texts[content].encode()

    def source() -> Any:
        return io.BytesIO(data) if content == "readable" else texts[content]

    api, facade = ways["Python"], ways["facade"]
    assert isinstance(api, Api)
    assert isinstance(facade, Facade)
    upload_id = begun(api)
    stored = obsup.upload_part(source(), "bucket/key", 1, upload_id=upload_id, is_file=False, **api.always)
    result = facade.client.uploadPart("bucket", "key", 2, upload_id, source())
    assert (stored.etag, result.body.etag) == (md5(data), f'"{md5(data)}"')
    (upload,) = sandbox.uploads()
    assert upload.parts == {1: len(data), 2: len(data)}


@pytest.mark.parametrize("closes", [True, False])
def test_an_open_object_is_closed_or_left_open(closes: bool, ways: dict[str, Way]) -> None:
    """autoClose; partSize bytes are read of it."""
    api, facade = ways["Python"], ways["facade"]
    assert isinstance(api, Api)
    assert isinstance(facade, Facade)
    upload_id = begun(api)
    for call in (
        lambda stream: obsup.upload_part(
            stream, "bucket/key", 1, upload_id=upload_id, part_size=5, close=closes, **api.always
        ),
        lambda stream: facade.client.uploadPart(
            "bucket", "key", 1, upload_id, stream, partSize=5, autoClose=closes
        ),
    ):
        stream = io.BytesIO(b"0123456789")
        call(stream)
        assert stream.closed == closes
        if not closes:
            assert stream.read() == b"56789"


def test_part_numbers_are_1_to_10000(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """Others are refused before anything is sent."""
    source = make_file(1000)
    for name, way in ways.items():
        upload_id = begun(way)
        for number in (1, 10_000):
            assert way.part(source, "bucket/key", number, upload_id, NO_OPTIONS).succeeded, (name, number)
        first = len(sandbox.requests)
        for number in (0, 10_001):
            assert way.part(source, "bucket/key", number, upload_id, NO_OPTIONS).exit_code == 2, (
                name,
                number,
            )
        assert len(sandbox.requests) == first


def test_a_part_that_is_sent_again_replaces_the_first(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Each response has the ETag of its own bytes; the object is made of the last ones."""
    first, second = make_file(1000, "first", 1), make_file(1000, "second", 2)
    for name, way in ways.items():
        upload_id = begun(way)
        etags = [
            way.part(one, "bucket/key", 1, upload_id, NO_OPTIONS).values["etag"] for one in (first, second)
        ]
        assert etags == [md5(first.read_bytes()), md5(second.read_bytes())]
        assert way.complete("bucket/key", upload_id, {1: etags[1]}, NO_OPTIONS).succeeded, name
        assert sandbox.object_path("bucket", "key").read_bytes() == second.read_bytes()


def test_only_the_last_part_may_be_smaller_than_100_kb(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """This is checked when the parts are assembled: no part is the last one until then. The upload is kept."""
    small, large = make_file(1000, "small"), make_file(102_400, "large")
    for name, way in ways.items():
        upload_id = begun(way)
        sent = {
            number: way.part(source, "bucket/key", number, upload_id, NO_OPTIONS).values["etag"]
            for number, source in ((1, large), (2, small))
        }
        assert way.complete("bucket/key", upload_id, sent, NO_OPTIONS).succeeded, name
        upload_id = begun(way, target=f"bucket/{name.replace(' ', '-')}")
        target = f"bucket/{name.replace(' ', '-')}"
        sent = {
            number: way.part(source, target, number, upload_id, NO_OPTIONS).values["etag"]
            for number, source in ((1, small), (2, large))
        }
        assert not way.complete(target, upload_id, sent, NO_OPTIONS).succeeded, name
        assert upload_id in [upload.upload_id for upload in sandbox.uploads()]


def test_a_part_has_at_most_5_gb(ways: dict[str, Way], sandbox: Sandbox, tmp_path: Path) -> None:
    """A larger one is refused before anything is sent. The file is sparse."""
    source = tmp_path / "large"
    source.touch()
    with source.open("r+b") as file:
        file.truncate(5 * 1024**3 + 1)
    for name, way in ways.items():
        upload_id = begun(way)
        first = len(sandbox.requests)
        answer = way.part(source, "bucket/key", 1, upload_id, NO_OPTIONS)
        assert (answer.succeeded, answer.exit_code) == (False, 2), (name, answer.message)
        assert len(sandbox.requests) == first


def test_the_md5_of_a_part(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """isAttachMd5 computes it; md5 is given in Base64, and a part with another one is not sent."""
    source = make_file(1000)
    text = base64.b64encode(hashlib.md5(source.read_bytes()).digest()).decode()
    other = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for name, way in ways.items():
        upload_id = begun(way)
        for given in (
            Given(("--content-md5",), {"content_md5": True}, {"isAttachMd5": True}),
            Given(("--md5", text), {"md5": text}, {"md5": text}),
            Given(("--md5", text), {"md5": text}, {"md5": text, "isAttachMd5": True}),
        ):
            assert way.part(source, "bucket/key", 1, upload_id, given).succeeded, name
            assert headers_of(last_part(sandbox)).get("content-md5") == text
        first = len(sandbox.requests)
        given = Given(("--md5", other), {"md5": other}, {"md5": other})
        assert way.part(source, "bucket/key", 1, upload_id, given).exit_code == 65, name
        assert len(sandbox.requests) == first


@pytest.mark.parametrize("header", ["x-obs-request-payer", "x-other"])
def test_a_header_of_the_request(
    header: str, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """extensionHeaders: any header but those that describe the object, which are refused."""

    def given(name: str) -> Given:
        return Given(
            ("--header", f"{name}: a value"),
            {"headers": {name: "a value"}},
            {"extensionHeaders": {name: "a value"}},
        )

    for name, way in ways.items():
        upload_id = begun(way)
        assert way.part(make_file(1000), "bucket/key", 1, upload_id, given(header)).succeeded, name
        assert headers_of(last_part(sandbox))[header] == "a value", name
        first = len(sandbox.requests)
        for described in ("x-obs-storage-class", "x-obs-meta-a", "Cache-Control"):
            answer = way.part(make_file(1000), "bucket/key", 1, upload_id, given(described))
            assert (answer.succeeded, answer.exit_code) == (False, 2), name
        assert len(sandbox.requests) == first


def test_the_progress_of_a_part(ways: dict[str, Way], make_file: MakeFile) -> None:
    """Transferred bytes, total bytes and seconds."""
    source = make_file(400_000)
    calls: list[tuple[Any, ...]] = []
    given = Given(
        ("--progress", "json"),
        {"progress": lambda *values: calls.append(values)},
        {"progressCallback": lambda *values: calls.append(values)},
    )
    for name in ("Python", "facade"):
        calls.clear()
        assert ways[name].part(source, "bucket/key", 1, begun(ways[name]), given).succeeded
        assert calls[-1][:2] == (400_000, 400_000), name
        assert isinstance(calls[-1][2], float)
    way = ways["command line"]
    answer = way.part(source, "bucket/key", 1, begun(way), given)
    last = json.loads(answer.message.splitlines()[-1])
    assert (last["transferred"], last["total"]) == (400_000, 400_000)


SSE_C = compat.SseCHeader(encryption="AES256", key=KEY)
SSE = Given(("--sse-c-key-file", "keyfile"), {"sse_c_key": KEY.encode()}, {"sseHeader": SSE_C})
KMS = Given(
    ("--sse", "kms", "--sse-kms-key-id", "key-1"),
    {"sse": "kms", "sse_kms_key_id": "key-1"},
    {"sseHeader": compat.SseKmsHeader(encryption="kms", key="key-1")},
)
# How the upload is initiated, what is given with the part, and what the response confirms.
ENCRYPTED: dict[str, tuple[Given, Given, dict[str, str | None]]] = {
    "none": (NO_OPTIONS, NO_OPTIONS, {}),
    "kms": (KMS, NO_OPTIONS, {"sseKms": "kms", "sseKmsKey": "key-1"}),
    "sse-c": (SSE, SSE, {"sseC": "AES256", "sseCKeyMd5": KEY_DIGEST}),
}
NOT_CONFIRMED = dict.fromkeys(("sseKms", "sseKmsKey", "sseC", "sseCKeyMd5"))


@pytest.mark.parametrize("encryption", ENCRYPTED)
def test_the_result_of_a_part(
    encryption: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile, tmp_path: Path
) -> None:
    """UploadPartResponse and GetResult, every field."""
    initiated, given, confirmed = ENCRYPTED[encryption]
    source = make_file(1000)
    (tmp_path / "keyfile").write_text(KEY)
    (tmp_path / "keyfile").chmod(0o600)
    with MutatingRelay(sandbox.port, lambda answer: Wire(framed(with_headers(answer, INDICATOR)))) as relay:
        endpoint = relay.endpoint.replace("127.0.0.1", "localhost")
        for name, way in three_ways(sandbox, inside, endpoint=endpoint).items():
            answer = way.part(source, "bucket/key", 1, begun(way, initiated), given)
            expected: dict[str, Any] = {**NOT_CONFIRMED, **confirmed}
            if name != "command line":
                expected |= {"reason": "OK", "indicator": "indicator-1", "status": 200}
                assert {"date", "etag"} <= dict(answer.values["header"]).keys()
            if name == "Python":
                assert dict(answer.values["header"])["x-reserved"] == "a trademark"
            assert {field: answer.values.get(field) for field in expected} == expected, name
            assert len(answer.values["etag"]) == 32
            if encryption == "none":
                assert answer.values["etag"] == md5(source.read_bytes())
            assert answer.values["requestId"]
    sent = headers_of(last_part(sandbox))
    prefix = "x-obs-server-side-encryption-customer-"
    if encryption == "sse-c":
        assert sent[f"{prefix}algorithm"] == "AES256"
        assert sent[f"{prefix}key"] == base64.b64encode(KEY.encode()).decode()
        assert sent[f"{prefix}key-md5"] == KEY_DIGEST
    else:
        assert not [header for header in sent if "encryption" in header]


def test_a_key_has_32_characters(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """An SSE-C key of another length is refused before anything is sent."""
    source = make_file(1000)
    (source.parent / "keyfile").write_text(KEY[:31])
    (source.parent / "keyfile").chmod(0o600)
    short = compat.SseCHeader(encryption="AES256", key=KEY[:31])
    given = Given(SSE.cli, {"sse_c_key": KEY[:31].encode()}, {"sseHeader": short})
    for name, way in ways.items():
        answer = way.part(source, "bucket/key", 1, "an-upload", given)
        assert (answer.succeeded, answer.exit_code) == (False, 78 if name == "command line" else 2)
        assert KEY[:31] not in answer.message
    assert sandbox.requests == []


def test_the_error_of_a_part(sandbox: Sandbox, inside: Inside, make_file: MakeFile) -> None:
    """GetResult of a failure, every field: the upload id is unknown."""
    source = make_file(1000)
    with MutatingRelay(sandbox.port, lambda answer: Wire(framed(with_headers(answer, INDICATOR)))) as relay:
        endpoint = relay.endpoint.replace("127.0.0.1", "localhost")
        for name, way in three_ways(sandbox, inside, endpoint=endpoint).items():
            answer = way.part(source, "bucket/key", 1, "0" * 32, NO_OPTIONS)
            values = answer.values
            assert not answer.succeeded
            assert (values["status"], values["errorCode"]) == (404, "NoSuchUpload"), name
            assert values["errorMessage"]
            assert values["requestId"]
            assert values["hostId"]
            if name != "command line":
                assert (values["reason"], values["indicator"]) == ("Not Found", "indicator-1"), name
                assert values["resource"].strip("/") == "bucket/key", name
                assert "date" in dict(values["header"])
                assert "<Code>NoSuchUpload</Code>" in values["body"], name


def test_without_the_permission_the_upload_is_kept(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The bucket's owner, or PutObject, is needed."""
    source = make_file(1000)
    for name, way in ways.items():
        upload_id = begun(way)
        sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
        answer = way.part(source, "bucket/key", 1, upload_id, NO_OPTIONS)
        assert (answer.succeeded, answer.values["status"]) == (False, 403), name
        assert answer.exit_code == (0 if name == "facade" else 77)
        sandbox.clear_faults()
        assert way.part(source, "bucket/key", 1, upload_id, NO_OPTIONS).succeeded, name


def test_credentials_of_the_samples(
    sandbox: Sandbox, inside: Inside, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AccessKeyID, SecretAccessKey and SecurityToken of the environment; and as arguments."""
    sandbox.require_token = "token-1"
    endpoint, keys = f"http://localhost:{sandbox.port}", (sandbox.access_key, sandbox.secret_key)
    source, given = make_file(1000), Given()
    given_keys = obsup.Credentials(*keys, "token-1")
    arguments = compat.ObsClient(*keys, server=endpoint, security_token="token-1")
    ways: list[Way] = [Api({"endpoint": endpoint, "credentials": given_keys}), Facade(arguments)]
    assert all(way.upload(source, "bucket/key", given).succeeded for way in ways)
    monkeypatch.setenv("AccessKeyID", keys[0])
    monkeypatch.setenv("SecretAccessKey", keys[1])
    found = [three_ways(sandbox, inside)["command line"], Api({"endpoint": endpoint})]
    found.append(Facade(compat.ObsClient(server=endpoint)))
    assert not any(way.upload(source, "bucket/key", given).succeeded for way in found)
    monkeypatch.setenv("SecurityToken", "token-1")
    assert all(way.upload(source, "bucket/key", given).succeeded for way in found)


def test_a_part_that_is_being_sent_is_not_sent_again(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Another process that sends the part holds its lock; afterwards the part is free."""
    source, given = make_file(1000), Given(("--if-running", "fail"), {"if_running": "fail"})
    target = obsup.Target("obs", f"http://localhost:{sandbox.port}", "bucket", "key")
    for name, way in ways.items():
        upload_id = begun(way)
        with UploadLock(target, part=(upload_id, 1)):
            answer = way.part(source, "bucket/key", 1, upload_id, given)
            assert (answer.succeeded, answer.exit_code) == (False, 75), name
            assert way.part(source, "bucket/key", 2, upload_id, given).succeeded, name
        assert way.part(source, "bucket/key", 1, upload_id, given).succeeded, name


def test_parts_are_sent_concurrently(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """In any order, by several threads."""
    source, size = make_file(500_000), 102_400
    for name in ("Python", "facade"):
        way = ways[name]
        upload_id = begun(way)

        def send(number: int, way: Way = way, upload_id: str = upload_id) -> str:
            offset = (number - 1) * size
            given = Given((), {"offset": offset, "part_size": size}, {"offset": offset, "partSize": size})
            etag: str = way.part(source, "bucket/key", number, upload_id, given).values["etag"]
            return etag

        numbers = [5, 4, 3, 2, 1]
        with ThreadPoolExecutor(5) as pool:
            etags = dict(zip(numbers, pool.map(send, numbers), strict=True))
        assert way.complete("bucket/key", upload_id, etags, NO_OPTIONS).succeeded, name
        assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_the_type_of_the_object_is_given_when_the_upload_is_initiated(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """It is that of the object."""
    given = Given(
        ("--content-type", "text/plain"), {"content_type": "text/plain"}, {"contentType": "text/plain"}
    )
    for name, way in ways.items():
        upload_id = begun(way, given)
        etag = way.part(make_file(1000), "bucket/key", 1, upload_id, NO_OPTIONS).values["etag"]
        assert way.complete("bucket/key", upload_id, {1: etag}, NO_OPTIONS).succeeded, name
        stored = sandbox.object_metadata("bucket", "key").attributes.headers
        assert stored["content-type"] == "text/plain"


def test_parts_are_stored_until_the_upload_is_completed_or_aborted(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Only then does the vendor stop billing for them."""
    source = make_file(1000)
    for name, way in ways.items():
        upload_id = begun(way)
        etag = way.part(source, "bucket/key", 1, upload_id, NO_OPTIONS).values["etag"]
        other = begun(way)
        assert len(sandbox.uploads()) == 2
        assert way.complete("bucket/key", upload_id, {1: etag}, NO_OPTIONS).succeeded, name
        assert way.abort("bucket/key", other).succeeded, name
        assert sandbox.uploads() == []
