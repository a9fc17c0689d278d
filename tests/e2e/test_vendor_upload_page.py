"""The vendor's page "Uploading an Object - Resumable", row by row: command line, Python API, and facade."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import obsup
from obsup import compat
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import MutatingRelay, Wire, framed
from tests.support.in_process import Inside
from tests.support.three_ways import Given, Way, three_ways, with_headers
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
KEY = "0123456789abcdef0123456789abcdef"
KEY_DIGEST = base64.b64encode(hashlib.md5(KEY.encode()).digest()).decode()
KEY_ID = "region-1:domain-1:key/4f1cd4de-ab64-4807-920a-47fc42e7f0d0"
KMS, SSE_C = compat.SseKmsHeader, compat.SseCHeader
IN_PARTS = Given(("--part-size", "150000"), {"part_size": 150_000}, {"partSize": 150_000})


@pytest.fixture
def sandbox() -> Any:
    """A store with the rules of the vendor of the page."""
    with Sandbox(aws_vendor="obs", buckets=["bucket"]) as running:
        yield running


@pytest.fixture
def ways(sandbox: Sandbox, inside: Inside) -> dict[str, Way]:
    """The three ways to call it."""
    return three_ways(sandbox, inside)


def joined(*given: Given) -> Given:
    """Return the options of all *given* together."""
    cli = tuple(word for one in given for word in one.cli)
    api = {name: value for one in given for name, value in one.api.items()}
    sdk = {name: value for one in given for name, value in one.sdk.items()}
    return Given(cli, api, sdk)


def option(*cli: str, api: dict[str, Any], **header: Any) -> Given:
    """Return an option of the object; *header* is a field of the SDK's UploadFileHeader."""
    return Given(cli, api, {"headers": compat.UploadFileHeader(**header)})


def acl(value: str) -> Given:
    return option("--acl", value, api={"acl": value}, acl=value)


def storage_class(value: str) -> Given:
    return option("--storage-class", value, api={"storage_class": value}, storageClass=value)


def grant(permission: str) -> Given:
    name = permission.lower().replace("_", "-")
    grants = [compat.ExtensionGrant(granteeId="domain-1", permission=permission)]
    return option("--grant", f"{name}=domain-1", api={"grants": [(name, "domain-1")]}, extensionGrants=grants)


def redirect(location: str) -> Given:
    return option("--website-redirect", location, api={"website_redirect": location}, location=location)


def kms(key_id: str = "") -> Given:
    words = ("--sse", "kms", *(("--sse-kms-key-id", key_id) if key_id else ()))
    api = {"sse": "kms"} | ({"sse_kms_key_id": key_id} if key_id else {})
    return option(*words, api=api, sseHeader=KMS(encryption="kms", key=key_id or None))


def metadata(**values: str) -> Given:
    words = tuple(word for name, value in values.items() for word in ("--metadata", f"{name}={value}"))
    return Given(words, {"metadata": values}, {"metadata": values})


SSE = option(
    *("--sse-c-key-file", "keyfile"),
    api={"sse_c_key": KEY.encode()},
    sseHeader=SSE_C(encryption="AES256", key=KEY),
)
HEAD, CLASS, GRANT = compat.HeadPermission, compat.StorageClass, compat.Permission
PREFIX = "x-obs-"
ENCRYPTION = f"{PREFIX}server-side-encryption"
# The option, the header of Initiate, and its value.
SENT: dict[str, tuple[Given, str, str]] = {
    "acl-private": (acl(HEAD.PRIVATE), f"{PREFIX}acl", "private"),
    "acl-public-read": (acl(HEAD.PUBLIC_READ), f"{PREFIX}acl", "public-read"),
    "acl-public-read-write": (acl(HEAD.PUBLIC_READ_WRITE), f"{PREFIX}acl", "public-read-write"),
    "acl-bucket-owner-full-control": (
        acl(HEAD.BUCKET_OWNER_FULL_CONTROL),
        f"{PREFIX}acl",
        "bucket-owner-full-control",
    ),
    "location-object": (redirect("/page.html"), f"{PREFIX}website-redirect-location", "/page.html"),
    "location-url": (
        redirect("http://a.example/"),
        f"{PREFIX}website-redirect-location",
        "http://a.example/",
    ),
    "contentType": (
        option("--content-type", "text/x-own", api={"content_type": "text/x-own"}, contentType="text/x-own"),
        "content-type",
        "text/x-own",
    ),
    "contentType-by-suffix": (Given(), "content-type", "text/html"),
    "storageClass-STANDARD": (storage_class(CLASS.STANDARD), f"{PREFIX}storage-class", "STANDARD"),
    "storageClass-WARM": (storage_class(CLASS.WARM), f"{PREFIX}storage-class", "WARM"),
    "storageClass-COLD": (storage_class(CLASS.COLD), f"{PREFIX}storage-class", "COLD"),
    "grant-READ": (grant(GRANT.READ), f"{PREFIX}grant-read", "id=domain-1"),
    "grant-READ_ACP": (grant(GRANT.READ_ACP), f"{PREFIX}grant-read-acp", "id=domain-1"),
    "grant-WRITE_ACP": (grant(GRANT.WRITE_ACP), f"{PREFIX}grant-write-acp", "id=domain-1"),
    "grant-FULL_CONTROL": (grant(GRANT.FULL_CONTROL), f"{PREFIX}grant-full-control", "id=domain-1"),
    "expires": (option("--expires-days", "3", api={"expires_days": 3}, expires=3), f"{PREFIX}expires", "3"),
    "metadata": (metadata(colour="Light blue"), f"{PREFIX}meta-colour", "Light blue"),
    "sse-kms": (kms(), ENCRYPTION, "kms"),
    "sse-kms-key": (kms("key-1"), f"{ENCRYPTION}-kms-key-id", "key-1"),
    "sse-kms-key-of-a-domain": (kms(KEY_ID), f"{ENCRYPTION}-kms-key-id", KEY_ID),
    "sse-c": (SSE, f"{ENCRYPTION}-customer-algorithm", "AES256"),
    "sse-c-key": (SSE, f"{ENCRYPTION}-customer-key", base64.b64encode(KEY.encode()).decode()),
    "sse-c-key-md5": (SSE, f"{ENCRYPTION}-customer-key-MD5", KEY_DIGEST),
    "extensionHeaders": (
        Given(
            ("--header", "x-obs-request-payer: requester"),
            {"headers": {"x-obs-request-payer": "requester"}},
            {"extensionHeaders": {"x-obs-request-payer": "requester"}},
        ),
        "x-obs-request-payer",
        "requester",
    ),
}


@pytest.mark.parametrize("row", SENT)
def test_a_property_of_the_object_is_sent(
    row: str, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """Every way sends the same header, and the object has the bytes of the file."""
    given, header, value = SENT[row]
    source = make_file(250_000)
    (tmp_path / "keyfile").write_text(KEY)
    (tmp_path / "keyfile").chmod(0o600)
    for name, way in ways.items():
        first, key = len(sandbox.requests), f"{name.replace(' ', '-')}.html"
        assert way.upload(source, f"bucket/{key}", joined(IN_PARTS, given)).succeeded, name
        initiated = [one for one in sandbox.requests[first:] if one.operation == "initiate"]
        assert initiated
        for request in initiated:
            sent = {known.lower(): text for known, text in request.headers}
            assert sent.get(header.lower()) == value, name
        assert sandbox.object_path("bucket", key).read_bytes() == source.read_bytes()


# What the vendor does not accept. The SDK drops an unknown ACL silently; no way sends anything.
REFUSED: dict[str, tuple[Given, str]] = {
    "acl-public-read-delivered": (acl(HEAD.PUBLIC_READ_DELIVERED), "public-read-delivered"),
    "acl-public-read-write-delivered": (acl(HEAD.PUBLIC_READ_WRITE_DELIVERED), "public-read-write-delivered"),
    "grant-WRITE": (grant(GRANT.WRITE), "write"),
    "location-start": (redirect("page.html"), "page.html"),
    "location-length": (redirect("/" + "x" * 2048), "at most 2048 bytes"),
    "metadata-size": (metadata(a="x" * 8192), "8192 bytes"),
    "metadata-ascii": (metadata(a="größer"), "ASCII"),
    "storageClass": (storage_class("FROZEN"), "FROZEN"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_an_invalid_value_is_refused(
    row: str, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Before anything is sent; the message has the value or the limit."""
    given, message = REFUSED[row]
    source = make_file(250_000)
    for name, way in ways.items():
        answer = way.upload(source, "bucket/page.html", joined(IN_PARTS, given))
        assert (answer.succeeded, answer.exit_code) == (False, 2), name
        assert message in answer.message, name
    assert sandbox.requests == []


@pytest.mark.parametrize("days", [-1, 1.5, "3"])
def test_days_until_an_object_expires_are_a_whole_number(
    days: Any, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """At least 0. The command line reads ``3`` as a number, so it is not tried there."""
    source = make_file(1000)
    given = option("--expires-days", str(days), api={"expires_days": days}, expires=days)
    for name, way in ways.items():
        if name != "command line" or days != "3":
            assert way.upload(source, "bucket/key", given).exit_code == 2, name
    assert sandbox.requests == []


ENDPOINT, SCHEME = "https://obs.eu-de.otc.t-systems.com", "obs://"
BUCKETS = {
    "length": ["ab", "a" * 64],
    "characters": ["Bucket", "my_bucket"],
    "address": ["192.168.0.1"],
    "ends": ["-bucket", "bucket-", ".bucket", "bucket."],
    "dots": ["my..bucket"],
    "dot-and-hyphen": ["my-.bucket", "my.-bucket"],
}


@pytest.mark.parametrize("rule", BUCKETS)
def test_an_invalid_bucket_name_is_refused(
    rule: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile
) -> None:
    """By every way, before anything is sent. Private stores allow shorter names, so the host is the vendor's."""
    source, ways = make_file(1000), three_ways(sandbox, inside, endpoint=ENDPOINT)
    for bucket in BUCKETS[rule]:
        for name, way in ways.items():
            target = f"{SCHEME if name == 'command line' else ''}{bucket}/key"
            for answer in (
                way.upload(source, target, Given()),
                way.part(source, target, 1, "an-upload", Given()),
            ):
                assert (answer.exit_code, "invalid bucket name" in answer.message) == (2, True), (
                    bucket,
                    name,
                )


def test_a_key_has_1_to_1024_characters(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """Characters, not bytes: the key of 1,024 has 3,072 bytes."""
    source, key = make_file(1000), "对象/" * 341 + "x"
    for name, way in ways.items():
        assert way.upload(source, f"bucket/{key}", Given()).succeeded, name
        assert sandbox.object_path("bucket", key).read_bytes() == source.read_bytes()
        sandbox.object_path("bucket", key).unlink()
        upload_id = way.initiate(f"bucket/{key}", Given()).values["uploadId"]
        assert way.part(source, f"bucket/{key}", 1, upload_id, Given()).succeeded, name
    first = len(sandbox.requests)
    for name, way in ways.items():
        assert way.part(source, f"bucket/{key}x", 1, "an-upload", Given()).exit_code == 2, name
        for invalid in (key + "x", ""):
            if invalid or name == "facade":  # elsewhere the name of the file is appended to "bucket/"
                assert way.upload(source, f"bucket/{invalid}", Given()).exit_code == 2, name
    assert len(sandbox.requests) == first


def test_part_sizes_are_100_kb_to_5_gb(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """The facade raises a smaller size to 100 KB and lowers a larger one to 5 GB, as the SDK does."""
    source = make_file(250_000)
    for name, way in ways.items():
        first = len(sandbox.requests)
        smallest = Given(("--part-size", "100K"), {"part_size": "100K"}, {"partSize": 102_400})
        assert way.upload(source, "bucket/key", smallest).succeeded, name
        parts = [one.part_number for one in sandbox.requests[first:] if one.operation == "part"]
        assert sorted(map(int, map(str, parts))) == [1, 2, 3]
        first = len(sandbox.requests)
        for size in (102_399, 5 * 1024**3 + 1):
            if name != "facade":
                given = Given(("--part-size", str(size)), {"part_size": size}, {"partSize": size})
                assert way.upload(source, "bucket/key", given).exit_code == 2, (name, size)
        assert len(sandbox.requests) == first


def test_buckets_with_parts_of_at_least_5_mb(
    inside: Inside, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buckets of OBS 2.0 show this when the parts are assembled: they are sent again, as larger ones."""
    source = make_file(6_000_000)
    given = Given(("--part-size", "1M"), {"part_size": "1M"}, {"partSize": 1024 * 1024})
    with Sandbox(aws_vendor="obs", limits={"min_part": 5 * 1024 * 1024}) as store:
        monkeypatch.setenv("AccessKeyID", store.access_key)
        monkeypatch.setenv("SecretAccessKey", store.secret_key)
        for name, way in three_ways(store, inside).items():
            assert way.upload(source, f"bucket/{name}", given).succeeded, name
            assert store.object_path("bucket", name).read_bytes() == source.read_bytes()
        assert store.uploads() == []


def test_a_part_has_9_mb_by_default(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    source = make_file(9 * 1024 * 1024 + 1)
    for name, way in ways.items():
        first = len(sandbox.requests)
        assert way.upload(source, "bucket/key", Given()).succeeded, name
        parts = {one.part_number: one.received for one in sandbox.requests[first:] if one.operation == "part"}
        assert parts == {1: 9 * 1024 * 1024, 2: 1}


def test_up_to_10000_parts_are_in_flight(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """taskNum is 1 to 10,000; with 1 there is one connection for all parts."""
    source = make_file(1_000_000)
    for name, way in ways.items():
        for count in (1, 10_000):
            first = sandbox.connections
            given = Given(("--jobs", str(count)), {"jobs": count}, {"taskNum": count})
            assert way.upload(source, "bucket/key", joined(IN_PARTS, given)).succeeded, (name, count)
            assert (sandbox.connections - first == 1) == (count == 1), (name, count)
        given = Given(("--jobs", "10001"), {"jobs": 10_001}, {"taskNum": 10_001})
        assert way.upload(source, "bucket/key", given).exit_code == 2, name


CHECKPOINT: dict[str, Given] = {
    "default": Given((), {}, {"enableCheckpoint": True}),
    "named": Given(
        ("--checkpoint", "here.json"),
        {"checkpoint": "here.json"},
        {"enableCheckpoint": True, "checkpointFile": "here.json"},
    ),
    "none": Given(("--no-checkpoint",), {"no_checkpoint": True}, {"enableCheckpoint": False}),
}


@pytest.mark.parametrize("row", CHECKPOINT)
def test_an_interrupted_upload_is_resumed(
    row: str, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """A checkpoint is beside the source, or where it was asked for, and the second call sends only what is missing.

    Without a checkpoint obsup finds the upload in the store's list.
    """
    source, given = make_file(1_000_000), joined(IN_PARTS, CHECKPOINT[row])
    once = joined(given, Given(("--jobs", "1"), {"jobs": 1}, {"taskNum": 1}))
    for name, way in ways.items():
        target = f"bucket/{name.replace(' ', '-')}"
        sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
        failed = way.upload(source, target, once)
        assert (failed.succeeded, failed.values.get("errorCode")) == (False, "AccessDenied"), name
        (state,) = [path.name for path in tmp_path.glob("*.json")] or [""]
        expected = {"named": state == "here.json", "none": state == ""}
        assert expected.get(row, state.startswith("bigfile.") and state.endswith(".obsup.json")), (
            name,
            state,
        )
        ((_, _, _, stored),) = sandbox.uploads()
        if state:
            recorded = json.loads((tmp_path / state).read_text())["parts"]
            assert {one["partNumber"] for one in recorded} == stored.keys(), name
        sandbox.clear_faults()
        first = len(sandbox.requests)
        assert way.upload(source, target, once).succeeded, name
        sent = [one.part_number for one in sandbox.requests[first:] if one.operation == "part"]
        assert sent == [number for number in range(1, 8) if number not in stored], name
        assert len(stored) >= 4
        assert list(tmp_path.glob("*.json")) == []


def test_a_changed_source_is_detected(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """checkSum: a change that neither size nor times show; another call with the old content finishes."""
    check = Given(("--verify-source",), {"verify_source": True}, {"checkSum": True, "enableCheckpoint": True})
    once = joined(IN_PARTS, Given(("--jobs", "1"), {"jobs": 1}, {"taskNum": 1}), check)
    source = make_file(400_000)
    content = source.read_bytes()
    for name, way in ways.items():
        sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=always")
        assert not way.upload(source, "bucket/key", once).succeeded
        sandbox.clear_faults()
        source.write_bytes(bytes(10) + content[10:])
        assert way.upload(source, "bucket/key", once).exit_code == 65, name
        source.write_bytes(content)
        assert way.upload(source, "bucket/key", once).succeeded, name


def test_the_callback_gets_bytes_total_and_seconds(ways: dict[str, Way], make_file: MakeFile) -> None:
    """In this order; the command line prints the same values with ``--progress json``."""
    source = make_file(400_000)
    calls: list[tuple[int, int | None, float]] = []

    def note(*values: Any) -> None:
        calls.append(values)

    given = Given(("--progress", "json"), {"progress": note}, {"progressCallback": note})
    for name in ("Python", "facade"):
        calls.clear()
        assert ways[name].upload(source, f"bucket/{name}", joined(IN_PARTS, given)).succeeded
        assert calls[-1][:2] == (400_000, 400_000)
        assert isinstance(calls[-1][2], float)
    answer = ways["command line"].upload(source, "bucket/key", joined(IN_PARTS, given))
    last = json.loads(answer.message.splitlines()[-1])
    assert (last["transferred"], last["total"]) == (400_000, 400_000)
    assert "seconds" in last


def test_a_redirect_after_success(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """The store answers 303, which is a success; its location is the address."""
    url = "https://done.example/"
    given = option("--success-redirect", url, api={"success_redirect": url}, successActionRedirect=url)
    source = make_file(1000)
    for name, way in ways.items():
        answer = way.upload(source, "bucket/key", given)
        assert answer.succeeded, name
        assert str(answer.values["location"]).startswith(url), name
    assert {one.status for one in sandbox.requests if one.operation == "put"} == {303}


def test_an_invalid_redirect_after_success_is_ignored(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """By the store; the upload succeeds."""
    given = option(
        "--success-redirect", "there", api={"success_redirect": "there"}, successActionRedirect="there"
    )
    source = make_file(1000)
    for name, way in ways.items():
        assert way.upload(source, "bucket/key", given).succeeded, name
    assert [one.status for one in sandbox.requests if one.operation == "put"] == [200, 200, 200]


@pytest.mark.parametrize("size", [0, 1, 102_400, 102_401])
def test_a_file_of_any_size(size: int, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """The SDK requires more than 100 KB; obsup does not."""
    source = make_file(size)
    for name, way in ways.items():
        assert way.upload(source, f"bucket/{name}", Given()).succeeded, name
        assert sandbox.object_path("bucket", name).read_bytes() == source.read_bytes()


def test_metadata_names_are_case_insensitive(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The store keeps them in lower case; values keep theirs. The same name in two cases is refused."""
    source = make_file(250_000)
    for name, way in ways.items():
        assert way.upload(source, "bucket/key", joined(IN_PARTS, metadata(Colour="Blue"))).succeeded, name
        assert sandbox.object_metadata("bucket", "key").attributes.metadata["colour"] == "Blue"
        assert way.upload(source, "bucket/key", metadata(Colour="1", colour="2")).exit_code == 2, name


def test_a_redirect_outside_the_root_is_noted(
    ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The command line prints it, an observer of the API receives it; the facade, like the SDK, has no notes."""
    source, given = make_file(1000), redirect("/page.html")
    answer = ways["command line"].upload(source, "bucket/folder/page.html", given)
    assert (answer.succeeded, "has no effect" in answer.message) == (True, True)
    assert ways["facade"].upload(source, "bucket/folder/page.html", given).succeeded
    noted: list[obsup.Event] = []
    where: dict[str, Any] = {"endpoint": sandbox.endpoint, "observer": noted.append}
    obsup.upload_file(source, "bucket/folder/page.html", **given.api, **where)
    assert [True for one in noted if isinstance(one, obsup.Noted) and "has no effect" in one.text] == [True]


def test_a_network_that_fails(ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile) -> None:
    """Connections are reset, requests and responses are lost: each way goes on, and the object is the file."""
    source = make_file(1_000_000)
    for name, way in ways.items():
        for fault in (
            "reset=50000,op=part,times=2",
            "drop-answer,op=part,after=1",
            "drop-request=0,op=initiate",
        ):
            sandbox.add_fault(fault)
        before = sandbox.injected_faults
        assert way.upload(source, f"bucket/{name}", IN_PARTS).succeeded, name
        assert sandbox.injected_faults - before == 4, name
        assert sandbox.object_path("bucket", name).read_bytes() == source.read_bytes()


PROGRAMS = {
    "command line": "from obsup.__main__ import main; main()",
    "Python": "import sys, obsup; obsup.upload_file(*sys.argv[2:4], part_size=150_000, jobs=1)",
    "facade": (
        "import os, sys; from obsup.compat import ObsClient; file, target = sys.argv[2:4];"
        "client = ObsClient(server=os.environ['OBSUP_ENDPOINT']);"
        "client.uploadFile(*target.split('/'), file, 150_000, 1, True)"
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_killed(
    name: str, ways: dict[str, Way], sandbox: Sandbox, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts are recorded while they are sent: the next call sends only what is missing."""
    source = make_file(1_000_000)
    monkeypatch.setenv("OBSUP_ENDPOINT", f"http://localhost:{sandbox.port}")
    words = ("upload", str(source), "bucket/key", "--part-size", "150000", "--jobs", "1")
    sandbox.add_fault("stall=60,op=part,part=5,times=always")
    with subprocess.Popen([sys.executable, "-c", PROGRAMS[name], *words]) as process:
        wait_for(lambda: [one for one in sandbox.uploads() if len(one.parts) == 4], process=process)
        process.kill()
    sandbox.clear_faults()
    first = len(sandbox.requests)
    once = joined(IN_PARTS, Given(("--jobs", "1"), {"jobs": 1}, {"taskNum": 1, "enableCheckpoint": True}))
    assert ways[name].upload(source, "bucket/key", once).succeeded
    sent = {one.part_number for one in sandbox.requests[first:] if one.operation == "part"}
    assert sent in ({5, 6, 7}, {4, 5, 6, 7})
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("encryption", ["kms", "sse-c"])
def test_the_result_of_an_upload(
    encryption: str, sandbox: Sandbox, inside: Inside, make_file: MakeFile, tmp_path: Path
) -> None:
    """CompleteMultipartUploadResponse and GetResult, every field. A versioned bucket returns the version."""
    given, confirmed = CONFIRMED[encryption]
    source = make_file(250_000)
    (tmp_path / "keyfile").write_text(KEY)
    (tmp_path / "keyfile").chmod(0o600)
    added = {"x-obs-version-id": "version-1", "x-reserved-indicator": "indicator-1"}
    with MutatingRelay(sandbox.port, lambda answer: Wire(framed(with_headers(answer, added)))) as relay:
        endpoint = relay.endpoint.replace("127.0.0.1", "localhost")
        for name, way in three_ways(sandbox, inside, endpoint=endpoint).items():
            target = f"bucket/{name.replace(' ', '-')}"
            values = way.upload(source, target, joined(IN_PARTS, given)).values
            stored = sandbox.object_metadata(*target.split("/"))
            expected: dict[str, Any] = {
                "bucket": "bucket",
                "key": target.split("/")[1],
                "versionId": "version-1",
            }
            expected |= {"etag": stored.etag, "location": f"{endpoint}/{target}"} | confirmed
            if name != "command line":
                expected |= {"status": 200, "reason": "OK", "objectUrl": expected["location"]}
                expected |= {"indicator": "indicator-1"}
                assert dict(values["header"])
                assert values["body"]
            assert {field: values[field] for field in expected} == expected, name
            assert values["requestId"]
            assert len(str(values["etag"]).partition("-")[0]) == 32


NOT_CONFIRMED = dict.fromkeys(("sseKms", "sseKmsKey", "sseC", "sseCKeyMd5"))
CONFIRMED = {
    "kms": (kms("key-1"), NOT_CONFIRMED | {"sseKms": "kms", "sseKmsKey": "key-1"}),
    "sse-c": (SSE, NOT_CONFIRMED | {"sseC": "AES256", "sseCKeyMd5": KEY_DIGEST}),
}


def test_the_error_of_an_upload(sandbox: Sandbox, inside: Inside, make_file: MakeFile) -> None:
    """GetResult of a failure: the fields of the store's response; the upload is kept."""
    source = make_file(250_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    added = {"x-reserved-indicator": "indicator-1"}
    with MutatingRelay(sandbox.port, lambda answer: Wire(framed(with_headers(answer, added)))) as relay:
        endpoint = relay.endpoint.replace("127.0.0.1", "localhost")
        for name, way in three_ways(sandbox, inside, endpoint=endpoint).items():
            answer = way.upload(source, f"bucket/{name.replace(' ', '-')}", IN_PARTS)
            assert (answer.succeeded, answer.exit_code) == (False, 0 if name == "facade" else 77)
            values = answer.values
            assert (values["status"], values["errorCode"]) == (403, "AccessDenied"), name
            assert values["errorMessage"]
            assert values["requestId"]
            assert values["hostId"]
            if name != "command line":
                assert (values["reason"], values["indicator"]) == ("Forbidden", "indicator-1"), name
                assert str(values["resource"]).strip("/").startswith("bucket/"), name
                assert dict(values["header"])
                assert "<Error>" in values["body"], name
    assert len(sandbox.uploads()) == 3


def test_the_source_must_exist(ways: dict[str, Way], sandbox: Sandbox, tmp_path: Path) -> None:
    """uploadFile is the path of a file."""
    for name, way in ways.items():
        assert way.upload(tmp_path / "missing", "bucket/key", Given()).exit_code == 66, name
    assert sandbox.requests == []
