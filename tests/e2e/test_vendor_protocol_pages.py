"""The vendors' pages about the request: "Upload Part" of the S3-compatible API of OBS, and "UploadPart" of OSS."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import obsup
from obsup import compat
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.three_ways import Answer, Api, CommandLine, Facade, Given, Way

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
KEY = bytes(range(32))
KEY_DIGEST = base64.b64encode(hashlib.md5(KEY).digest()).decode()
NO_OPTIONS = Given()


class Page(NamedTuple):
    """A page: its provider and signature, the prefix of its headers, and the word that starts Authorization."""

    provider: str
    signature: str
    prefix: str
    word: str


PAGES = {"obs": Page("obs", "v2", "x-amz-", "AWS"), "oss": Page("oss", "oss1", "x-oss-", "OSS")}
every_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A store with one bucket."""
    with Sandbox(aws_vendor="obs", buckets=["bucket"]) as running:
        yield running


def ways_of(
    page: str, sandbox: Sandbox, inside: Inside, keys: tuple[str, str] | None = None, token: str | None = None
) -> dict[str, Way]:
    """Return the ways to call with the protocol of *page*; the facade has that of OBS only."""
    provider, signature, _, _ = PAGES[page]
    access, secret = keys or (sandbox.access_key, sandbox.secret_key)
    where = {"endpoint": sandbox.endpoint, "provider": provider, "signature": signature, "region": "eu-1"}
    words = tuple(word for name, value in where.items() for word in (f"--{name}", value))
    found: dict[str, Way] = {
        "command line": CommandLine(inside, words),
        "Python": Api({**where, "credentials": obsup.Credentials(access, secret, token)}),
    }
    if page == "obs":
        client = compat.ObsClient(
            access, secret, server=sandbox.endpoint, signature=signature, security_token=token
        )
        found["facade"] = Facade(client)
    return found


def begun(way: Way, given: Given = NO_OPTIONS) -> str:
    """Return the id of a new upload."""
    answer = way.initiate("bucket/key", given)
    assert answer.succeeded, answer.message
    upload_id: str = answer.values["uploadId"]
    return upload_id


def last_part(sandbox: Sandbox) -> RequestRecord:
    """Return the last request that sent a part."""
    return [one for one in sandbox.requests if one.operation == "part"][-1]


def headers_of(request: RequestRecord) -> dict[str, str]:
    """Return the headers of a request by their names in lower case."""
    return {name.lower(): value for name, value in request.headers}


@every_page
def test_the_request_of_the_page(page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile) -> None:
    """Part number and upload id are in the query; Host, Date, Content-Length and Authorization are headers."""
    source = make_file(1000)
    for name, way in ways_of(page, sandbox, inside).items():
        upload_id = begun(way)
        assert way.part(source, "bucket/key", 7, upload_id, NO_OPTIONS).succeeded, name
        request = last_part(sandbox)
        assert (request.method, request.part_number, request.upload_id) == ("PUT", 7, upload_id)
        headers = headers_of(request)
        assert headers["host"].startswith("127.0.0.1"), name
        assert headers["content-length"] == "1000"
        assert headers["date"].endswith(" GMT")
        assert headers["authorization"].startswith(f"{PAGES[page].word} {sandbox.access_key}:")
        assert headers["user-agent"].startswith("obsup/")
        assert "expect" not in headers


@every_page
def test_the_response_of_the_page(page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile) -> None:
    """The ETag is the MD5 of the part, in the vendor's spelling; the ids are those of the headers."""
    source, prefix = make_file(1000), PAGES[page].prefix
    digest = hashlib.md5(source.read_bytes()).hexdigest()
    for name, way in ways_of(page, sandbox, inside).items():
        values = way.part(source, "bucket/key", 1, begun(way), NO_OPTIONS).values
        assert values["etag"].lower() == digest, name
        assert values["requestId"]
        if name == "command line":
            assert bool(values["hostId"]) == (page == "obs")
            continue
        headers = dict(values["header"])
        assert {"date", "etag", "content-length"} <= headers.keys()
        if name == "facade":
            assert headers["id-2"]
        if name == "Python":  # the SDK leaves out the prefix
            assert headers[f"{prefix}request-id"] == values["requestId"]
            assert "server" in headers
            assert headers.get(f"{prefix}id-2", "") == values["hostId"]


def test_an_encryption_by_the_store_is_confirmed_with_each_part(
    sandbox: Sandbox, inside: Inside, make_file: MakeFile
) -> None:
    """If Initiate asked for it. OBS names the key, too."""
    source = make_file(1000)
    header = compat.SseKmsHeader(encryption="kms", key="key-1")
    kms = Given(
        ("--sse", "kms", "--sse-kms-key-id", "key-1"),
        {"sse": "kms", "sse_kms_key_id": "key-1"},
        {"sseHeader": header},
    )
    for name, way in ways_of("obs", sandbox, inside).items():
        values = way.part(source, "bucket/key", 1, begun(way, kms), NO_OPTIONS).values
        assert (values["sseKms"], values["sseKmsKey"]) == ("aws:kms", "key-1"), name
    aes = Given(("--sse", "AES256"), {"sse": "AES256"})
    for name, way in ways_of("oss", sandbox, inside).items():
        values = way.part(source, "bucket/key", 1, begun(way, aes), NO_OPTIONS).values
        assert values["sseKms"] == "AES256", name


def test_the_three_headers_of_a_customer_key(
    sandbox: Sandbox, inside: Inside, make_file: MakeFile, tmp_path: Path
) -> None:
    """Algorithm, key and MD5 of the key; the response repeats the first and the last."""
    source, prefix = make_file(1000), "x-amz-server-side-encryption-customer-"
    (tmp_path / "keyfile").write_bytes(KEY)
    (tmp_path / "keyfile").chmod(0o600)
    header = compat.SseCHeader(encryption="AES256", key=KEY)
    given = Given(("--sse-c-key-file", "keyfile"), {"sse_c_key": KEY}, {"sseHeader": header})
    for name, way in ways_of("obs", sandbox, inside).items():
        values = way.part(source, "bucket/key", 1, begun(way, given), given).values
        assert (values["sseC"], values["sseCKeyMd5"]) == ("AES256", KEY_DIGEST), name
        sent = headers_of(last_part(sandbox))
        assert sent[f"{prefix}algorithm"] == "AES256"
        assert sent[f"{prefix}key"] == base64.b64encode(KEY).decode()
        assert sent[f"{prefix}key-md5"] == KEY_DIGEST


def test_a_customer_key_of_512_bits(
    sandbox: Sandbox, inside: Inside, make_file: MakeFile, tmp_path: Path
) -> None:
    """The page allows both lengths."""
    source, key = make_file(1000), KEY + KEY
    (tmp_path / "keyfile").write_bytes(key)
    (tmp_path / "keyfile").chmod(0o600)
    header = compat.SseCHeader(encryption="AES256", key=key)
    given = Given(("--sse-c-key-file", "keyfile"), {"sse_c_key": key}, {"sseHeader": header})
    for name, way in ways_of("obs", sandbox, inside).items():
        assert way.part(source, "bucket/key", 1, begun(way, given), given).succeeded, name
        sent = headers_of(last_part(sandbox))["x-amz-server-side-encryption-customer-key"]
        assert sent == base64.b64encode(key).decode(), name


@every_page
def test_a_security_token_is_sent(
    page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the header of the vendor, with every request."""
    sandbox.require_token = "token-1"
    monkeypatch.setenv("SecurityToken", "token-1")
    for name, way in ways_of(page, sandbox, inside, token="token-1").items():
        assert way.part(make_file(1000), "bucket/key", 1, begun(way), NO_OPTIONS).succeeded, name
        assert headers_of(last_part(sandbox))[f"{PAGES[page].prefix}security-token"] == "token-1"


@every_page
def test_the_md5_of_the_page(page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile) -> None:
    """Content-MD5 is the MD5 of the part in Base64."""
    source = make_file(1000)
    given = Given(("--content-md5",), {"content_md5": True}, {"isAttachMd5": True})
    for name, way in ways_of(page, sandbox, inside).items():
        assert way.part(source, "bucket/key", 1, begun(way), given).succeeded, name
        digest = base64.b64encode(hashlib.md5(source.read_bytes()).digest()).decode()
        assert headers_of(last_part(sandbox))["content-md5"] == digest


@every_page
def test_a_part_that_is_sent_again_replaces_the_first(
    page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile
) -> None:
    """The object has the bytes of the last one."""
    first, second = make_file(1000, "first", 1), make_file(1000, "second", 2)
    for name, way in ways_of(page, sandbox, inside).items():
        upload_id = begun(way)
        for source in (first, second):
            etag = way.part(source, "bucket/key", 1, upload_id, NO_OPTIONS).values["etag"]
        assert way.complete("bucket/key", upload_id, {1: etag}, NO_OPTIONS).succeeded, name
        assert sandbox.object_path("bucket", "key").read_bytes() == second.read_bytes()


@every_page
def test_a_small_part_that_is_not_the_last_is_refused_by_complete(
    page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile
) -> None:
    """Its size cannot be checked before; the upload is kept."""
    small, large = make_file(1000, "small"), make_file(102_400, "large")
    for name, way in ways_of(page, sandbox, inside).items():
        upload_id = begun(way)
        etags = {
            number: way.part(source, "bucket/key", number, upload_id, NO_OPTIONS).values["etag"]
            for number, source in ((1, small), (2, large))
        }
        assert not way.complete("bucket/key", upload_id, etags, NO_OPTIONS).succeeded, name
        assert upload_id in [upload.upload_id for upload in sandbox.uploads()]


@every_page
def test_part_numbers_and_sizes_of_the_page(
    page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile, tmp_path: Path
) -> None:
    """Part numbers are 1 to 10,000, and a part has at most 5 GB: others are refused before a request is sent."""
    source, large = make_file(1000), tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(5 * 1024**3 + 1)
    for name, way in ways_of(page, sandbox, inside).items():
        upload_id = begun(way)
        first = len(sandbox.requests)
        for number in (0, 10_001):
            assert way.part(source, "bucket/key", number, upload_id, NO_OPTIONS).exit_code == 2, name
        assert way.part(large, "bucket/key", 1, upload_id, NO_OPTIONS).exit_code == 2, name
        assert len(sandbox.requests) == first
        assert way.part(source, "bucket/key", 10_000, upload_id, NO_OPTIONS).succeeded, name


# The errors of both pages: what causes them, the status, the code, and the exit code.
ERRORS: Mapping[str, tuple[str, int, str, int]] = {
    "part-number": ("error=400:InvalidArgument,op=part,times=always", 400, "InvalidArgument", 69),
    "part-size": ("error=400:EntityTooLarge,op=part,times=always", 400, "EntityTooLarge", 69),
    "no-permission": ("error=403:AccessDenied,op=part,times=always", 403, "AccessDenied", 77),
    "digest": ("error=400:InvalidDigest,op=part,times=always", 400, "InvalidDigest", 65),
}


@pytest.mark.parametrize("error", ERRORS)
@every_page
def test_an_error_of_the_page(
    page: str, error: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile
) -> None:
    """Status and code of the store, and the exit code; the upload is kept."""
    fault, status, code, exit_code = ERRORS[error]
    for name, way in ways_of(page, sandbox, inside).items():
        upload_id = begun(way)
        sandbox.add_fault(fault)
        assert_refused(way.part(make_file(1000), "bucket/key", 1, upload_id, NO_OPTIONS), status, code, name)
        if name != "facade":
            answer = way.part(make_file(1000), "bucket/key", 1, upload_id, NO_OPTIONS)
            assert answer.exit_code == exit_code, (name, answer.message)
        sandbox.clear_faults()
        assert upload_id in [upload.upload_id for upload in sandbox.uploads()]


def assert_refused(answer: Answer, status: int, code: str, name: str) -> None:
    """Assert that the store rejected the request with this status and code."""
    assert not answer.succeeded, name
    assert (answer.values["status"], answer.values["errorCode"]) == (status, code), (name, answer.message)
    assert answer.values["requestId"]


@every_page
def test_an_unknown_upload_or_bucket(
    page: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile
) -> None:
    """404, NoSuchUpload and NoSuchBucket."""
    source = make_file(1000)
    for name, way in ways_of(page, sandbox, inside).items():
        unknown = way.part(source, "bucket/key", 1, "0" * 32, NO_OPTIONS)
        assert_refused(unknown, 404, "NoSuchUpload", name)
        missing = way.part(source, "nobucket/key", 1, "0" * 32, NO_OPTIONS)
        assert_refused(missing, 404, "NoSuchBucket", name)


@pytest.mark.parametrize("wrong", ["access-key", "secret"])
@every_page
def test_wrong_keys(
    page: str,
    wrong: str,
    sandbox: Sandbox,
    inside: Inside,
    make_file: MakeFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """403: the access key is unknown, or the signature is not that of the secret key."""
    upload_id = begun(ways_of(page, sandbox, inside)["Python"])
    keys = ("unknown", sandbox.secret_key) if wrong == "access-key" else (sandbox.access_key, "wrong")
    monkeypatch.setenv("AccessKeyID", keys[0])
    monkeypatch.setenv("SecretAccessKey", keys[1])
    code = "InvalidAccessKeyId" if wrong == "access-key" else "SignatureDoesNotMatch"
    for name, way in ways_of(page, sandbox, inside, keys).items():
        answer: Any = way.part(make_file(1000), "bucket/key", 1, upload_id, NO_OPTIONS)
        assert_refused(answer, 403, code, name)
        assert answer.exit_code == (0 if name == "facade" else 77)
