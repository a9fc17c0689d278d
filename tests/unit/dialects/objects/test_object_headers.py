"""The headers of object options: names, spellings, operations, and rejected values."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import Any

import pytest

from obsup.dialects.dialect import Dialect
from obsup.dialects.objects.object_headers import (
    Operation,
    copy_source_value,
    customer_key_headers,
    object_headers,
)
from obsup.dialects.objects.parameters import OBJECT_PARAMETERS, header_of, providers_with
from obsup.dialects.registry import DIALECTS
from obsup.errors import WrongUsage, run_again
from obsup.model import CustomerKey, ObjectOptions
from obsup.options.table import HEADER_OPTIONS, OBJECT_OPTIONS

OBS, OBS_V2, OBS_V4 = DIALECTS["obs"], DIALECTS["obs-v2"], DIALECTS["obs-v4"]
S3, S3_V2 = DIALECTS["s3-v4"], DIALECTS["s3-v2"]
OSS, OSS_V1 = DIALECTS["oss-v4"], DIALECTS["oss-v1"]
OPERATIONS: tuple[Operation, ...] = ("initiate", "put", "complete")


def headers_of(dialect: Dialect, operation: Operation = "initiate", **options: Any) -> dict[str, str]:
    return object_headers(dialect, ObjectOptions(**options), operation, since_s=0)


def test_every_header_of_obs() -> None:
    """Every property of the vendor's UploadFileHeader, and the standard HTTP headers."""
    assert headers_of(
        OBS,
        content_type="text/plain",
        content_encoding="gzip",
        content_disposition="attachment",
        content_language="de",
        cache_control="no-cache",
        expires_header="Sat, 14 Mar 2026 15:09:26 GMT",
        metadata={"Owner": "team-a"},
        tags={"k 1": "v&1", "k2": ""},
        acl="public-read",
        grants=(("READ", "domain1"), ("READ", "domain2"), ("FULL_CONTROL", "domain3")),
        storage_class="WARM",
        website_redirect="/other.html",
        expires_days=30,
        sse="kms",
        sse_kms_key_id="eu-de:0123:key/522d",
        headers=(("x-obs-object-lock-mode", "COMPLIANCE"),),
    ) == {
        "Content-Type": "text/plain",
        "Content-Encoding": "gzip",
        "Content-Disposition": "attachment",
        "Content-Language": "de",
        "Cache-Control": "no-cache",
        "Expires": "Sat, 14 Mar 2026 15:09:26 GMT",
        "x-obs-meta-Owner": "team-a",
        "x-obs-tagging": "k%201=v%261&k2=",
        "x-obs-acl": "public-read",
        "x-obs-grant-read": "id=domain1,id=domain2",
        "x-obs-grant-full-control": "id=domain3",
        "x-obs-storage-class": "WARM",
        "x-obs-website-redirect-location": "/other.html",
        "x-obs-expires": "30",
        "x-obs-server-side-encryption": "kms",
        "x-obs-server-side-encryption-kms-key-id": "eu-de:0123:key/522d",
        "x-obs-object-lock-mode": "COMPLIANCE",
    }


def test_aws_form_of_obs_keeps_one_native_name() -> None:
    headers = headers_of(OBS_V2, expires_days=0, storage_class="cold", sse="KMS", acl="authenticated-read")
    assert headers == {
        "x-obs-expires": "0",
        "x-amz-storage-class": "GLACIER",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-acl": "authenticated-read",
    }


def test_no_options_no_headers() -> None:
    for dialect in DIALECTS.values():
        for operation in OPERATIONS:
            assert headers_of(dialect, operation) == {}


@pytest.mark.parametrize(
    ("dialect", "value", "spelling"),
    [
        (OBS, "standard", "STANDARD"),
        (OBS, "Standard_IA", "WARM"),
        (OBS, "GLACIER", "COLD"),
        (OBS_V4, "WARM", "STANDARD_IA"),
        (S3, "warm", "STANDARD_IA"),
        (S3, "DEEP_ARCHIVE", "DEEP_ARCHIVE"),
        (OSS, "STANDARD", "Standard"),
        (OSS, "coldarchive", "ColdArchive"),
        (OSS, "COLD", "Archive"),
        (OSS_V1, "WARM", "IA"),
    ],
)
def test_storage_class_is_sent_in_the_vendors_spelling(dialect: Dialect, value: str, spelling: str) -> None:
    assert headers_of(dialect, storage_class=value) == {dialect.headers.storage_class: spelling}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("field", "option"), [("storage_class", "--storage-class"), ("acl", "--acl"), ("sse", "--sse")]
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_unknown_value_is_rejected_with_the_list_for_every_operation(
    dialect: Dialect, field: str, option: str, operation: Operation
) -> None:
    """The vendor's client silently ignores an unknown storage class."""
    with pytest.raises(WrongUsage, match="'luxury'") as caught:
        headers_of(dialect, operation, **{field: "luxury"})
    assert option in str(caught.value.next_step)
    listed = {"storage_class": "STANDARD", "acl": "private", "sse": "AES256"}[field]
    assert listed in caught.value.why


def test_acl_of_obs_and_s3_is_sent_with_initiate_and_put() -> None:
    for dialect in (OBS, OBS_V2, OBS_V4, S3, S3_V2):
        assert dialect.headers.acl
        carried = [op for op in OPERATIONS if dialect.headers.acl in headers_of(dialect, op, acl="private")]
        assert carried == ["initiate", "put"]


def test_acl_of_oss_is_sent_with_complete_and_put() -> None:
    for dialect in (OSS, OSS_V1):
        assert headers_of(dialect, "initiate", acl="private") == {}
        assert headers_of(dialect, "put", acl="private") == {"x-oss-object-acl": "private"}
        assert headers_of(dialect, "complete", acl="private") == {"x-oss-object-acl": "private"}


def test_no_overwrite() -> None:
    assert headers_of(S3, "initiate", no_overwrite=True) == {}
    assert headers_of(S3, "put", no_overwrite=True) == {"If-None-Match": "*"}
    assert headers_of(S3, "complete", no_overwrite=True) == {"If-None-Match": "*"}
    for operation in OPERATIONS:
        assert headers_of(OSS, operation, no_overwrite=True) == {"x-oss-forbid-overwrite": "true"}


def test_no_other_option_is_sent_with_complete() -> None:
    options = {"content_type": "a/b", "metadata": {"a": "b"}, "sse": "AES256", "headers": (("X-A", "b"),)}
    for dialect in DIALECTS.values():
        assert headers_of(dialect, "complete", **options) == {}


def test_success_redirect_is_sent_with_put_only() -> None:
    """A 303 response to Initiate has no upload id: an upload in parts rejects the option, and does not ignore it."""
    assert headers_of(OBS, "put", success_redirect="http://x/") == {"success-action-redirect": "http://x/"}
    for operation in ("initiate", "complete"):
        with pytest.raises(WrongUsage, match="--success-redirect has no effect on an upload in parts"):
            headers_of(OBS, operation, success_redirect="http://x/")


@pytest.mark.parametrize(
    ("dialect", "options", "option", "has_it"),
    [
        (OBS, {"no_overwrite": True}, "--no-overwrite", "Amazon S3"),
        (S3_V2, {"no_overwrite": True}, "--no-overwrite", "Alibaba Cloud OSS"),
        (S3, {"expires_days": 0}, "--expires-days", "Huawei OBS"),
        (S3, {"success_redirect": "http://x/"}, "--success-redirect", "Huawei OBS"),
        (OBS_V2, {"success_redirect": "http://x/"}, "--success-redirect", "Huawei OBS"),
        (OBS_V2, {"tags": {"a": "b"}}, "--tag", "Huawei OBS"),
        (OSS, {"website_redirect": "/x"}, "--website-redirect", "Amazon S3"),
        (OSS, {"grants": (("read", "id"),)}, "--grant", "Huawei OBS"),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_unsupported_options_are_rejected_and_vendors_that_support_them_named(
    dialect: Dialect, options: dict[str, Any], option: str, has_it: str, operation: Operation
) -> None:
    with pytest.raises(WrongUsage, match=f"has no {option}") as caught:
        headers_of(dialect, operation, **options)
    assert has_it in caught.value.why


def test_the_grantee_of_s3_is_quoted() -> None:
    assert headers_of(S3, grants=(("read_acp", "79a5"), ("READ-ACP", "80b6"))) == {
        "x-amz-grant-read-acp": 'id="79a5",id="80b6"'
    }


@pytest.mark.parametrize("permission", ["write", "WRITE", "read_delivered", "", "read\r\nX-A: b"])
def test_invalid_permission_is_rejected(permission: str) -> None:
    with pytest.raises(WrongUsage, match="invalid permission"):
        headers_of(OBS, grants=((permission, "id"),))


@pytest.mark.parametrize("grantee", ["", 'a"', "a,id=b", "a b", "a\r\n"])
def test_grantee_that_would_be_read_as_several_is_rejected(grantee: str) -> None:
    with pytest.raises(WrongUsage, match="invalid grantee id"):
        headers_of(OBS, grants=(("read", grantee),))


INJECTION = "x\r\nx-obs-acl: public-read-write"


@pytest.mark.parametrize("dialect", [OBS, S3], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "options",
    [
        *({field: INJECTION} for field in ("content_type", "content_encoding", "content_disposition")),
        *({field: INJECTION} for field in ("content_language", "cache_control", "expires_header")),
        {"metadata": {"a": INJECTION}},
        {"metadata": {INJECTION: "a"}},
        {"website_redirect": "/" + INJECTION},
        {"sse": "kms", "sse_kms_key_id": INJECTION},
        {"headers": (("X-A", INJECTION),)},
        {"headers": ((INJECTION, "a"),)},
        {"headers": (("X-A: b\r\nX-B", "a"),)},
        {"acl": INJECTION},
        {"storage_class": INJECTION},
    ],
    ids=str,
)
def test_no_header_can_be_injected(dialect: Dialect, options: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage):
        headers_of(dialect, **options)


def test_success_redirect_is_checked_even_if_it_is_not_sent() -> None:
    with pytest.raises(WrongUsage):
        headers_of(OBS, "initiate", success_redirect=INJECTION)


def test_no_tag_can_be_injected() -> None:
    assert headers_of(OBS, tags={"a\r\nb": "c&d=e"}) == {"x-obs-tagging": "a%0D%0Ab=c%26d%3De"}


@pytest.mark.parametrize("value", ["\x00", "a\x7f", "a\nb", "a\rb", "grün", "a\u2028"])
def test_value_outside_printable_ascii_is_rejected(value: str) -> None:
    with pytest.raises(WrongUsage, match="is not valid in a header"):
        headers_of(OBS, content_disposition=f"attachment; {value}x")


def test_values_are_sent_trimmed_and_otherwise_unchanged() -> None:
    """The vendor's client would percent-encode quotes and brackets."""
    assert headers_of(OBS, content_disposition='  attachment; filename="r (1)  50%.txt"\t') == {
        "Content-Disposition": 'attachment; filename="r (1)  50%.txt"'
    }


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\x00"])
def test_name_of_metadata_must_be_valid_in_http(name: str) -> None:
    with pytest.raises(WrongUsage, match="invalid metadata name"):
        headers_of(OBS, metadata={name: "x"})


def test_oss_rejects_underscores_in_names_of_metadata() -> None:
    assert headers_of(OBS, metadata={"a_b": "x"}) == {"x-obs-meta-a_b": "x"}
    with pytest.raises(WrongUsage, match="'a_b'"):
        headers_of(OSS, metadata={"a_b": "x"})


def test_metadata_may_be_given_with_the_vendors_prefix() -> None:
    assert headers_of(OBS, metadata={"X-Obs-Meta-Owner": "a"}) == {"x-obs-meta-Owner": "a"}


def test_metadata_that_differs_in_case_only_is_rejected() -> None:
    with pytest.raises(WrongUsage, match="given twice"):
        headers_of(OBS, metadata={"Owner": "a", "owner": "b"})


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": {"Obsup-Token": "a"}},
        {"metadata": {"x-obs-meta-obsup-token": "a"}},
        {"headers": (("x-obs-meta-obsup-token", "a"),)},
    ],
)
def test_the_name_of_the_token_is_reserved(options: dict[str, Any]) -> None:
    """The token replaced such a value, and no object had it."""
    with pytest.raises(WrongUsage, match=r"'(?i:(x-obs-meta-)?obsup-token)' is reserved"):
        headers_of(OBS, **options)


@pytest.mark.parametrize(("dialect", "limit"), [(OBS, 8192), (S3, 2048), (OSS, 8192)])
def test_size_of_metadata_counts_names_and_values(dialect: Dialect, limit: int) -> None:
    headers_of(dialect, metadata={"abc": "x" * (limit - 3)})
    with pytest.raises(WrongUsage, match=f"accepts {limit} bytes of names and values, not {limit + 1}"):
        headers_of(dialect, metadata={"abc": "x" * (limit - 2)})


@pytest.mark.parametrize("location", ["other.html", "ftp://x/", "", " ", "/" + "x" * 2048])
def test_invalid_website_redirect_is_rejected(location: str) -> None:
    if not location:
        assert headers_of(OBS, website_redirect=location) == {}
        return
    with pytest.raises(WrongUsage, match="website redirect"):
        headers_of(OBS, website_redirect=location)


@pytest.mark.parametrize("location", ["/x", "http://x", "https://x", "/" + "x" * 2047])
def test_a_valid_website_redirect_is_sent(location: str) -> None:
    assert headers_of(S3, website_redirect=location) == {"x-amz-website-redirect-location": location}


def test_days_count_from_zero() -> None:
    assert headers_of(OBS, expires_days=0) == {"x-obs-expires": "0"}
    with pytest.raises(WrongUsage, match="-1 days"):
        headers_of(OBS, expires_days=-1)


@pytest.mark.parametrize("sse", [None, "AES256"])
def test_kms_key_without_kms_is_rejected(sse: str | None) -> None:
    with pytest.raises(WrongUsage, match="KMS key id without"):
        headers_of(OBS, sse=sse, sse_kms_key_id="key")


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "HOST",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Date",
        "Content-MD5",
        "x-obs-date",
        "X-Obs-Security-Token",
        "x-obs-content-sha256",
    ],
)
def test_headers_that_obsup_sets_are_rejected(name: str) -> None:
    with pytest.raises(WrongUsage, match="--header cannot set"):
        headers_of(OBS, headers=((name, "x"),))


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("x-obs-server-side-encryption-customer-key", "--sse-c-key-file"),
        ("X-Amz-Server-Side-Encryption-Customer-Key-MD5", "--sse-c-key-file"),
        ("x-obs-copy-source-server-side-encryption-customer-key", "--copy-source-sse-c-key-file"),
        ("Cookie", "cookie"),
        ("proxy-authorization", "HTTPS_PROXY"),
        ("X-Api-Key", "proxy"),
        ("X-Auth-Token", "proxy"),
        ("x-gateway-authorization-data", "proxy"),
        ("Client-Secret", "proxy"),
        ("X-Password", "proxy"),
        ("Set-Cookie2", "proxy"),
    ],
)
def test_headers_of_secrets_are_rejected(name: str, instead: str) -> None:
    """They would stand in the checkpoint, and the store need not confirm the encryption."""
    with pytest.raises(WrongUsage, match="--header cannot set") as caught:
        headers_of(OBS, headers=((name, "hunter2"),))
    assert instead in str(caught.value.next_step)
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    "name",
    ["x-obs-meta-api-key", "X-Amz-Meta-Token", "x-obs-new-key", "X-Tokens-Left", "Keys", "X-Monkey-Id"],
)
def test_headers_of_no_secret_are_sent(name: str) -> None:
    """Metadata, the vendor's own headers, and other names that only contain such a word."""
    assert headers_of(OBS, headers=((name, "x"),)) == {name: "x"}


def test_a_header_with_another_value_than_its_option_is_rejected() -> None:
    """Whichever the store got would not be what was asked for; --header may come from the environment."""
    with pytest.raises(WrongUsage, match="--acl and --header 'X-Obs-Acl: …' contradict each other"):
        headers_of(OBS, acl="private", headers=(("X-Obs-Acl", "public-read"),))
    assert headers_of(OBS, acl="private", headers=(("X-Obs-Acl", "private"),)) == {"X-Obs-Acl": "private"}
    assert headers_of(OBS, headers=(("X-Obs-Acl", "public-read"),)) == {"X-Obs-Acl": "public-read"}


def test_value_of_a_rejected_header_is_not_shown() -> None:
    with pytest.raises(WrongUsage) as caught:
        headers_of(OBS, headers=(("Authorization", "hunter2"),))
    assert "hunter2" not in repr(caught.value)


def test_header_given_twice_is_rejected() -> None:
    with pytest.raises(WrongUsage, match="given twice"):
        headers_of(OBS, headers=(("X-A", "1"), ("x-a", "2")))


def test_content_type_is_derived_from_the_key_by_default() -> None:
    options = ObjectOptions(metadata={"a": "b"})
    assert object_headers(OBS, options, "initiate", since_s=0, key="a/b.html")["Content-Type"] == "text/html"
    assert object_headers(OBS, options, "put", since_s=0, key="a/b")["Content-Type"] == "binary/octet-stream"
    assert "Content-Type" not in object_headers(OBS, options, "complete", since_s=0, key="a/b.html")
    by_option = ObjectOptions(content_type="a/b")
    assert object_headers(OBS, by_option, "initiate", since_s=0, key="b.html")["Content-Type"] == "a/b"
    by_header = ObjectOptions(headers=(("CONTENT-TYPE", "c/d"),))
    assert object_headers(OBS, by_header, "initiate", since_s=0, key="b.html") == {"CONTENT-TYPE": "c/d"}


KEY = CustomerKey(bytes(range(32)))


def test_customer_key_headers() -> None:
    headers = customer_key_headers(OBS, KEY)
    assert headers["x-obs-server-side-encryption-customer-algorithm"] == "AES256"
    assert b64decode(headers["x-obs-server-side-encryption-customer-key"]) == KEY.key
    digest = b64decode(headers["x-obs-server-side-encryption-customer-key-MD5"])
    assert digest == hashlib.md5(KEY.key).digest()
    assert len(headers) == 3


def test_customer_key_of_a_copy_source() -> None:
    assert set(customer_key_headers(S3, KEY, copy_source=True)) == {
        "x-amz-copy-source-server-side-encryption-customer-algorithm",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "x-amz-copy-source-server-side-encryption-customer-key-MD5",
    }


def test_oss_has_no_customer_keys() -> None:
    with pytest.raises(WrongUsage, match="SSE-C"):
        customer_key_headers(OSS, KEY)


def test_customer_key_of_another_length_is_rejected_and_not_shown() -> None:
    with pytest.raises(WrongUsage, match="accepts 32 bytes, not 7") as caught:
        customer_key_headers(OBS, CustomerKey(b"hunter2"))
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    ("key", "version", "value"),
    [
        ("a b+c%", None, "/src/a%20b%2Bc%25"),
        ("对象/x", None, "/src/%E5%AF%B9%E8%B1%A1/x"),
        ("/a?versionId=x", None, "/src//a%3FversionId%3Dx"),
        ("a", "v/1", "/src/a?versionId=v%2F1"),
    ],
)
def test_copy_source(key: str, version: str | None, value: str) -> None:
    assert copy_source_value("src", key, version) == value


def test_table_has_every_field_of_object_options() -> None:
    assert {row.parameter for row in OBJECT_OPTIONS} == set(ObjectOptions.__struct_fields__)
    assert {row.parameter for row in OBJECT_PARAMETERS} == set(ObjectOptions.__struct_fields__) - {"headers"}


def test_table_names_the_header_of_each_dialect() -> None:
    rows = {row.parameter: row for row in HEADER_OPTIONS}

    def header(field: str, dialect: str) -> str | None:
        return header_of(rows[field], DIALECTS[dialect].headers)

    assert header("storage_class", "obs") == "x-obs-storage-class"
    assert header("content_type", "obs") == "Content-Type"
    assert header("expires_days", "s3-v4") is None
    assert header("no_overwrite", "s3-v4") == "If-None-Match"
    assert header("no_overwrite", "obs") is None
    assert header("sse_c_key_file", "oss-v4") is None


LOCK = ObjectOptions(retention="compliance", retain_until="1d")


def test_every_option_of_an_object_has_a_header_in_some_dialect() -> None:
    assert [row.option for row in OBJECT_OPTIONS if row.header and not providers_with(row)] == []


@pytest.mark.parametrize("name", [name for name in DIALECTS if not name.startswith("oss")])
@pytest.mark.parametrize(
    ("until", "date"),
    [
        ("1d", "2001-09-10T01:46:40Z"),
        ("90m", "2001-09-09T03:16:40Z"),
        ("2001-12-31", "2001-12-31T00:00:00Z"),
        ("2001-12-31T18:00:00+02:00", "2001-12-31T16:00:00Z"),
    ],
)
def test_lock_has_the_date_in_utc(name: str, until: str, date: str) -> None:
    """A duration counts from the given time. Complete sends no lock: neither S3 nor OBS would honour it."""
    dialect, options = DIALECTS[name], ObjectOptions(retention="compliance", retain_until=until)
    lock = {
        f"{dialect.prefix}object-lock-mode": "COMPLIANCE",
        f"{dialect.prefix}object-lock-retain-until-date": date,
    }
    for operation, expected in {"initiate": lock, "put": lock, "complete": {}}.items():
        assert object_headers(dialect, options, operation, since_s=1e9) == expected  # type: ignore[arg-type]


def test_vendor_without_a_lock_is_named_with_both_options_to_leave_out() -> None:
    """One without the other would be rejected again."""
    with pytest.raises(WrongUsage) as caught:
        object_headers(DIALECTS["oss-v4"], LOCK, "put", since_s=1e9)
    assert caught.value.next_step == run_again(
        "if the store is one of these, name it with --provider; otherwise, leave out --retention",
        drop=("--retention", "--retain-until"),
    )
