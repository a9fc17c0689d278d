"""Uploads in every dialect, end to end: the store receives every option of the command."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from obsup.api import upload_file
from obsup.dialects.registry import DIALECTS
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import WrongUsage
from obsup.model import Credentials, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import every_dialect
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
MIB = 2**20
REGION = "eu-test-1"
CUSTOM = "files.localhost"

# Options that every dialect has, and the headers that the sandbox stores for them.
PLAIN_ARGUMENTS = (
    *("--content-encoding", "identity", "--content-disposition", 'attachment; filename="r (1).bin"'),
    *("--content-language", "de", "--cache-control", "no-cache", "--storage-class", "WARM"),
    *("--expires-header", "Thu, 01 Dec 2033 16:00:00 GMT", "--metadata", "Colour=light blue"),
    *("--metadata", "percent=50% + more"),
)
PLAIN_HEADERS = {
    "content-encoding": "identity",
    "content-disposition": 'attachment; filename="r (1).bin"',
    "content-language": "de",
    "cache-control": "no-cache",
    "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
    "content-type": "application/gzip",
}
METADATA = {"colour": "light blue", "percent": "50% + more"}


@dataclass(frozen=True)
class DialectOptions:
    """Further options of a dialect, and the object attributes that the sandbox stores for them."""

    arguments: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


TAGS = ("--tag", "owner=team a", "--tag", "k&=v/")
REDIRECT = ("--website-redirect", "/other.html")
KMS = ("--sse", "kms", "--sse-kms-key-id", "key-1")
GRANT = ("--grant", "read=someone")
DAYS = ("--expires-days", "30")

DIALECT_OPTIONS = {
    "obs": DialectOptions(
        (*TAGS, *REDIRECT, *KMS, *GRANT, *DAYS, "--acl", "public-read"),
        {
            "storage_class": "WARM",
            "acl": "public-read",
            "tagging": "owner=team%20a&k%26=v%2F",
            "website_redirect": "/other.html",
            "encryption": "kms",
            "kms_key_id": "key-1",
            "grants": {"read": "id=someone"},
            "expires_days": 30,
        },
    ),
    "obs-v2": DialectOptions(
        (*REDIRECT, *KMS, *GRANT, *DAYS, "--acl", "authenticated-read"),
        {
            "storage_class": "STANDARD_IA",
            "acl": "authenticated-read",
            "website_redirect": "/other.html",
            "encryption": "aws:kms",
            "kms_key_id": "key-1",
            "grants": {"read": "id=someone"},
            "expires_days": 30,
        },
    ),
    "s3-v4": DialectOptions(
        (*TAGS, *REDIRECT, *KMS, *GRANT, "--acl", "bucket-owner-read", "--no-overwrite"),
        {
            "storage_class": "STANDARD_IA",
            "acl": "bucket-owner-read",
            "tagging": "owner=team%20a&k%26=v%2F",
            "website_redirect": "/other.html",
            "encryption": "aws:kms",
            "kms_key_id": "key-1",
            "grants": {"read": 'id="someone"'},
        },
    ),
    "oss-v4": DialectOptions(
        (*TAGS, *KMS, "--acl", "public-read", "--no-overwrite"),
        {
            "storage_class": "IA",
            "acl": "public-read",
            "tagging": "owner=team%20a&k%26=v%2F",
            "encryption": "KMS",
            "kms_key_id": "key-1",
        },
    ),
}
DIALECT_OPTIONS["obs-v4"] = DIALECT_OPTIONS["obs-v2"]
DIALECT_OPTIONS["s3-v2"] = DialectOptions(
    tuple(argument for argument in DIALECT_OPTIONS["s3-v4"].arguments if argument != "--no-overwrite"),
    DIALECT_OPTIONS["s3-v4"].attributes,
)
DIALECT_OPTIONS["oss-v1"] = DIALECT_OPTIONS["oss-v4"]

# The names that the sandbox records for the signatures.
SIGNATURES = {
    "obs": "obs",
    "obs-v2": "aws2",
    "obs-v4": "aws4",
    "s3-v4": "aws4",
    "s3-v2": "aws2",
    "oss-v4": "oss4",
    "oss-v1": "oss1",
}
in_every_dialect = pytest.mark.parametrize("name", every_dialect())


@pytest.fixture
def store(name: str) -> Iterator[Sandbox]:
    """A sandbox that behaves like the dialect's vendor and also has a custom domain."""
    vendor = "obs" if name.startswith("obs") else "s3"
    with Sandbox(aws_vendor=vendor, buckets=["bucket"], custom_domains={CUSTOM: "bucket"}) as running:
        yield running


def connect_options(name: str, store: Sandbox, addressing: Any = "path", **more: Any) -> ConnectOptions:
    dialect = DIALECTS[name]
    host = {"path": "127.0.0.1", "virtual": "localhost", "cname": CUSTOM}[addressing]
    return ConnectOptions(
        endpoint=f"http://{host}:{store.port}",
        provider=dialect.provider,
        signature=dialect.signature,
        region=REGION,
        addressing=addressing,
        **more,
    )


def assert_stored(store: Sandbox, key: str, source: Path, name: str) -> None:
    """Assert that the object has the bytes of the source and all options."""
    assert store.object_path("bucket", key).read_bytes() == source.read_bytes()
    stored = store.object_metadata("bucket", key).attributes
    assert stored.headers == PLAIN_HEADERS
    assert {key: value for key, value in stored.metadata.items() if key != "obsup-token"} == METADATA
    assert {
        attribute: getattr(stored, attribute) for attribute in DIALECT_OPTIONS[name].attributes
    } == DIALECT_OPTIONS[name].attributes


def assert_signed(store: Sandbox, name: str) -> None:
    """Assert that every request has the dialect's signature, and that only a byte with a wrong MD5 was rejected."""
    assert {record.dialect for record in store.requests} == {SIGNATURES[name]}
    rejected = [record for record in store.requests if record.status not in (200, 204, 404)]
    assert {(record.received, record.code) for record in rejected} <= {(1, "BadDigest")}
    assert store.uploads() == []


@in_every_dialect
def test_command_uploads_in_parts_with_every_option(
    name: str, store: Sandbox, tmp_path: Path, make_file: MakeFile
) -> None:
    """Parts of the smallest size with every object option; the result has the properties of the response."""
    source = make_file(3 * DIALECTS[name].limits.min_part + 777)
    dialect = DIALECTS[name]
    outcome = Shell.against(store, tmp_path).run(
        *("upload", "bigfile", "bucket/dir//é +%.tar.gz", "--json", "--parts", "3"),
        *("--provider", dialect.provider, "--signature", dialect.signature, "--region", REGION),
        *PLAIN_ARGUMENTS,
        *DIALECT_OPTIONS[name].arguments,
    )
    # OBS redirects only objects in the root of a bucket.
    note = (
        "Note:  --website-redirect has no effect: the store redirects only objects in the root of a bucket.\n"
    )
    assert (outcome.code, outcome.err) == (0, note if dialect.provider == "obs" else "")
    assert_stored(store, "dir//é +%.tar.gz", source, name)
    assert_signed(store, name)
    sent = [one for one in store.requests if one.operation == "part" and one.received > 1]
    assert sorted(one.part_number or 0 for one in sent) == [1, 2, 3]
    assert (outcome.json["parts"], outcome.json["provider"]) == (3, dialect.provider)
    # With KMS no ETag is an MD5: the vendor's own property or obsup's token verifies the object.
    expected = {"obs": "upload-id", "s3": "crc64nvme", "oss": "crc64"}[dialect.provider]
    assert outcome.json["verified"] == expected


@in_every_dialect
@pytest.mark.parametrize("addressing", ["path", "virtual", "cname"])
def test_small_files_and_parts_with_every_addressing(
    name: str, store: Sandbox, make_file: MakeFile, addressing: str
) -> None:
    """The endpoint, the bucket's host name, and a custom domain."""
    source = make_file(DIALECTS[name].limits.min_part + 5)
    for key, part_size in (("one", None), ("a/../parts", DIALECTS[name].limits.min_part)):
        result = upload_file(
            source,
            f"bucket/{key}",
            connecting=connect_options(name, store, addressing),
            credentials=Credentials(store.access_key, store.secret_key),
            part_size=part_size,
        )
        assert store.object_path("bucket", key).read_bytes() == source.read_bytes()
        assert result.verified in ("etag", "crc64", "crc64nvme")
    assert_signed(store, name)
    assert "put" in {record.operation for record in store.requests}


OPTIONS = ObjectOptions(
    content_encoding="identity",
    content_disposition='attachment; filename="r (1).bin"',
    content_language="de",
    cache_control="no-cache",
    expires_header="Thu, 01 Dec 2033 16:00:00 GMT",
    storage_class="WARM",
    metadata={"Colour": "light blue", "percent": "50% + more"},
)


@in_every_dialect
def test_one_request_has_all_headers_of_initiate(name: str, store: Sandbox, make_file: MakeFile) -> None:
    source = make_file(100)
    upload_file(
        source,
        "bucket/x.tar.gz",
        connecting=connect_options(name, store),
        credentials=Credentials(store.access_key, store.secret_key),
        options=OPTIONS,
    )
    stored = store.object_metadata("bucket", "x.tar.gz").attributes
    assert (stored.headers, stored.metadata) == (PLAIN_HEADERS, METADATA)
    assert stored.storage_class == DIALECT_OPTIONS[name].attributes["storage_class"]
    assert [record.operation for record in store.requests] == ["put"]


@pytest.mark.parametrize(
    "name", every_dialect(name for name, dialect in DIALECTS.items() if dialect.headers.sse_c)
)
def test_customer_key_encrypts_parts_and_single_objects(
    name: str, store: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """The store rejects parts and HEAD requests without this key, so every request must have it."""
    key_file = tmp_path / "key"
    key_file.write_bytes(bytes(range(32)))
    key_file.chmod(0o600)
    source = make_file(DIALECTS[name].limits.min_part + 5)
    for key, part_size in (("one", None), ("parts", DIALECTS[name].limits.min_part)):
        result = upload_file(
            source,
            f"bucket/{key}",
            connecting=connect_options(name, store, customer_key_file=str(key_file)),
            credentials=Credentials(store.access_key, store.secret_key),
            part_size=part_size,
        )
        digest = base64.b64encode(hashlib.md5(bytes(range(32))).digest()).decode()
        assert store.object_metadata("bucket", key).attributes.customer_key_md5 == digest
        assert (result.sse_c, result.sse_c_key_md5) == ("AES256", digest)
    assert_signed(store, name)


def test_success_redirect_of_obs_is_success(make_file: MakeFile) -> None:
    """PutObject returns 303 with the address; obsup sends no request there."""
    with Sandbox() as store:
        result = upload_file(
            make_file(100),
            "bucket/key",
            connecting=connect_options("obs", store),
            credentials=Credentials(store.access_key, store.secret_key),
            options=ObjectOptions(success_redirect="https://done.example/"),
        )
        assert (result.status, result.verified) == (303, "etag")
        assert [record.status for record in store.requests] == [303]


UNSUPPORTED = [
    ("obs", ObjectOptions(no_overwrite=True), "no_overwrite"),
    ("obs-v2", ObjectOptions(tags={"a": "b"}), "tags"),
    ("obs-v4", ObjectOptions(success_redirect="https://x.example/"), "success_redirect"),
    ("s3-v4", ObjectOptions(expires_days=3), "expires_days"),
    ("s3-v2", ObjectOptions(no_overwrite=True), "no_overwrite"),
    ("oss-v4", ObjectOptions(website_redirect="/x"), "website_redirect"),
    ("oss-v1", ObjectOptions(grants=(("read", "someone"),)), "grants"),
]


@pytest.mark.parametrize(
    ("name", "options", "keyword"), UNSUPPORTED, ids=[name for name, _, _ in UNSUPPORTED]
)
def test_option_that_the_provider_lacks_is_an_error_and_nothing_is_sent(
    name: str, store: Sandbox, make_file: MakeFile, options: ObjectOptions, keyword: str
) -> None:
    """The option is not ignored."""
    with pytest.raises(WrongUsage) as caught:
        upload_file(
            make_file(100),
            "bucket/key",
            connecting=connect_options(name, store),
            credentials=Credentials(store.access_key, store.secret_key),
            options=options,
        )
    assert keyword in caught.value.what
    assert store.requests == []


@pytest.mark.parametrize("arguments", [("--acl", "public"), ("--storage-class", "CHEAP")])
def test_unknown_acl_or_class_is_rejected_and_nothing_is_sent(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, arguments: tuple[str, str]
) -> None:
    """The vendor's own client ignores the value silently, so the object would have another ACL or class."""
    make_file(100)
    outcome = shell.run("upload", "bigfile", "bucket/key", *arguments)
    assert outcome.code == 2
    assert arguments[1] in outcome.err
    assert sandbox.requests == []


@in_every_dialect
def test_security_token_is_sent_and_needed(name: str, store: Sandbox, make_file: MakeFile) -> None:
    """Requests with temporary keys have the signed token in the header of the dialect."""
    store.require_token = "the-token"
    upload_file(
        make_file(100),
        "bucket/key",
        connecting=connect_options(name, store),
        credentials=Credentials(store.access_key, store.secret_key, "the-token"),
    )
    assert [record.status for record in store.requests] == [200]
