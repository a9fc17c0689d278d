"""The checker of signatures against the vendors' own signers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from obsup.sandbox.refusals import Refused
from obsup.sandbox.signatures.check import Account, check_signature
from obsup.sandbox.signatures.claim import read_claim
from obsup.sandbox.wire.request import Request, host_name, parse_request

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "signing.json").read_text(encoding="utf-8")
)["vectors"]
NORMATIVE = [vector for vector in VECTORS if vector["normative"]]
V4 = ("AWS4-HMAC-SHA256", "OSS4-HMAC-SHA256")
SUB_RESOURCES = {"uploads", "uploadId", "partNumber"}

Headers = list[tuple[str, str]]


def parse(vector: dict[str, Any], *, method: str = "", target: str = "", headers: Headers = []) -> Request:  # noqa: B006
    domains = {host_name(vector["host"]): vector["bucket"]} if vector["addressing"] == "cname" else {}
    return parse_request(
        method or vector["method"],
        target or target_of(vector),
        headers or headers_of(vector),
        custom_domains=domains,
    )


def target_of(vector: dict[str, Any]) -> str:
    url: str = vector["url"].split("://", 1)[1]
    return url[url.index("/") :] if "/" in url else "/"


def headers_of(vector: dict[str, Any]) -> Headers:
    merged = {**vector["headers_in"], **vector["signer_added_headers"]}
    if "host" not in {name.lower() for name in merged}:
        merged["Host"] = vector["host"]
    return [*merged.items(), ("Authorization", vector["authorization"])]


def check(request: Request, vector: dict[str, Any], *, secret_key: str | None = None) -> None:
    claim = read_claim(request)
    assert claim is not None
    credentials = vector["credentials"]
    account = Account(credentials["ak"], secret_key or credentials["sk"])
    # An unlimited skew, so that a changed date is refused for its signature.
    check_signature(request, claim, account, now=vector["timestamp"]["epoch"], skew_s=1e12)


def changed(text: str) -> str:
    """Change one byte, and keep a digit a digit."""
    last = text[-1:]
    if last.isdigit():
        return text[:-1] + str((int(last) + 1) % 10)
    return text[:-1] + ("x" if last != "x" else "y")


def is_signed_header(name: str, vector: dict[str, Any]) -> bool:
    lower = name.lower()
    if vector["signature"] == "AWS4-HMAC-SHA256":
        listed = vector["authorization"].split("SignedHeaders=")[1].split(",")[0]
        return lower in listed.split(";")
    if lower in ("content-md5", "content-type"):
        return True
    if vector["signature"] == "OSS4-HMAC-SHA256":
        return lower.startswith("x-oss-")
    prefix = {"OBS": "x-obs-", "AWSv2": "x-amz-", "OSS": "x-oss-"}[vector["signature"]]
    has_own_date = any(header.lower() == prefix + "date" for header, _ in headers_of(vector))
    return lower.startswith(prefix) or (lower == "date" and not has_own_date)


def tampered(vector: dict[str, Any]) -> Iterator[tuple[str, Request]]:
    """Yield requests in which one byte of one signed ingredient is another."""
    headers = headers_of(vector)
    yield "method", parse(vector, method="PATCH")
    path, mark, query = target_of(vector).partition("?")
    yield "path", parse(vector, target=path + "x" + mark + query)
    pairs = query.split("&") if query else []
    for at, pair in enumerate(pairs):
        name = pair.partition("=")[0]
        if vector["signature"] in V4 or name in SUB_RESOURCES:
            other = "&".join([*pairs[:at], changed(pair), *pairs[at + 1 :]])
            yield f"query {name}", parse(vector, target=f"{path}?{other}")
    for at, (name, value) in enumerate(headers):
        if name != "Authorization" and is_signed_header(name, vector):
            yield name, parse(vector, headers=[*headers[:at], (name, changed(value)), *headers[at + 1 :]])
            if name.lower() != "host":
                yield f"without {name}", parse(vector, headers=[*headers[:at], *headers[at + 1 :]])
    prefix = {"OBS": "x-obs-", "OSS": "x-oss-", V4[1]: "x-oss-"}.get(vector["signature"], "x-amz-")
    yield "added header", parse(vector, headers=[*headers, (prefix + "meta-added", "1")])
    yield "signature", parse(vector, headers=[*headers[:-1], ("Authorization", forged(vector))])


def is_refused(request: Request, vector: dict[str, Any]) -> bool:
    try:
        check(request, vector)
    except Refused:
        return True
    return False


def forged(vector: dict[str, Any]) -> str:
    authorization: str = vector["authorization"]
    start, last = authorization[:-2], authorization[-2]
    return start + ("a" if last != "a" else "b") + authorization[-1]


@pytest.mark.parametrize("vector", NORMATIVE, ids=lambda vector: vector["id"])
def test_signatures_of_the_vendors_are_accepted(vector: dict[str, Any]) -> None:
    request = parse(vector)
    assert request.bucket == vector["bucket"]
    assert request.key == (vector["key"] or "")
    check(request, vector)


@pytest.mark.parametrize("vector", NORMATIVE, ids=lambda vector: vector["id"])
def test_one_changed_signed_byte_is_rejected(vector: dict[str, Any]) -> None:
    accepted = [ingredient for ingredient, request in tampered(vector) if not is_refused(request, vector)]
    assert accepted == []
    assert len(list(tampered(vector))) >= 4


@pytest.mark.parametrize("vector", NORMATIVE, ids=lambda vector: vector["id"])
def test_the_signature_of_another_secret_is_refused_with_the_string_to_sign(vector: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        check(parse(vector), vector, secret_key="another")
    assert caught.value.code == "SignatureDoesNotMatch"
    if vector["key"] or vector["addressing"] != "path":  # There the vendors' clients disagree on a slash.
        assert (
            caught.value.details["StringToSign"] == vector["string_to_sign"] or not vector["string_to_sign"]
        )
    if vector["canonical_request"]:
        assert caught.value.details["CanonicalRequest"] == vector["canonical_request"]


def test_the_vendors_unsigned_token_is_not_taken_for_a_signed_one() -> None:
    """alibabacloud-oss-v2 sends ``security-token`` outside of its V1 signature."""
    vector = next(vector for vector in VECTORS if not vector["normative"])
    claim = read_claim(parse(vector))
    assert claim is not None
    assert claim.token == ""


@pytest.mark.parametrize("offset", [-901, 901])
@pytest.mark.parametrize("number", range(0, len(NORMATIVE), 9))
def test_a_date_more_than_a_quarter_of_an_hour_off_is_refused(number: int, offset: int) -> None:
    vector = NORMATIVE[number]
    request = parse(vector)
    claim = read_claim(request)
    assert claim is not None
    account = Account(vector["credentials"]["ak"], vector["credentials"]["sk"])
    epoch = vector["timestamp"]["epoch"]
    check_signature(request, claim, account, now=epoch + offset * 899 // 901, skew_s=900)
    with pytest.raises(Refused) as caught:
        check_signature(request, claim, account, now=epoch + offset, skew_s=900)
    assert caught.value.code == "RequestTimeTooSkewed"


def test_an_unknown_access_key_is_named_as_such() -> None:
    vector = NORMATIVE[0]
    claim = read_claim(parse(vector))
    assert claim is not None
    with pytest.raises(Refused) as caught:
        check_signature(parse(vector), claim, Account("other", "x"), now=0, skew_s=1e12)
    assert caught.value.code == "InvalidAccessKeyId"


def test_aws_wants_host_and_every_amz_header_signed() -> None:
    vector = next(v for v in NORMATIVE if v["id"].startswith("103-"))
    headers = headers_of(vector)
    without = headers[-1][1].replace("host;", "")
    with pytest.raises(Refused) as caught:
        check(parse(vector, headers=[*headers[:-1], ("Authorization", without)]), vector)
    assert caught.value.details["HeadersNotSigned"] == "host"


def test_beside_its_own_date_header_obs_does_not_sign_date() -> None:
    vector = next(v for v in NORMATIVE if v["id"] == "046-obs-OBS-xdate")
    headers = [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), *headers_of(vector)]
    check(parse(vector, headers=headers), vector)


@pytest.mark.parametrize("name", ["103-s3-v4-part-md5", "064-oss-v4-part-md5"])
def test_the_scope_is_of_the_day_of_the_date(name: str) -> None:
    vector = next(v for v in NORMATIVE if v["id"] == name)
    headers = headers_of(vector)
    other_day = headers[-1][1].replace("/20260314/", "/20260313/")
    with pytest.raises(Refused) as caught:
        check(parse(vector, headers=[*headers[:-1], ("Authorization", other_day)]), vector)
    assert caught.value.code == "AuthorizationHeaderMalformed"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Basic dXNlcjpwYXNz", 400),
        ("OBS nocolon", 400),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0", 400),
        ("AWS4-HMAC-SHA256 Credential=AK/20260314/r/s3/aws4_request, SignedHeaders=host", 400),
        ("OSS4-HMAC-SHA256 Credential=AK/20260314/r/oss/aws4_request,Signature=0", 400),
    ],
)
def test_a_malformed_authorization_is_refused(authorization: str, status: int) -> None:
    request = parse_request("GET", "/bucket/key", [("Authorization", authorization)])
    with pytest.raises(Refused) as caught:
        read_claim(request)
    assert caught.value.status == status


def test_a_date_that_is_none_is_refused() -> None:
    headers = [("Authorization", "OBS AK:sig"), ("Date", "yesterday")]
    request = parse_request("GET", "/bucket/key", headers)
    claim = read_claim(request)
    assert claim is not None
    with pytest.raises(Refused) as caught:
        check_signature(request, claim, Account("AK", "SK"), now=0, skew_s=900)
    assert caught.value.code == "AccessDenied"
