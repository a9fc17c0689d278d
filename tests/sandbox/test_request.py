"""Where a request goes, by its host and its path."""

from __future__ import annotations

import pytest

from obsup.sandbox.refusals import Refused
from obsup.sandbox.wire.request import CUSTOM_DOMAIN, PATH_STYLE, VIRTUAL, parse_query, parse_request


@pytest.mark.parametrize(
    ("host", "target", "addressing", "bucket", "key"),
    [
        ("127.0.0.1:9000", "/bucket/a/b", PATH_STYLE, "bucket", "a/b"),
        ("[::1]:9000", "/bucket/a", PATH_STYLE, "bucket", "a"),
        ("localhost", "/bucket", PATH_STYLE, "bucket", ""),
        ("localhost", "/bucket//a", PATH_STYLE, "bucket", "/a"),
        ("Bucket.localhost:1", "/a%2Fb", VIRTUAL, "bucket", "a/b"),
        ("with.dots.localhost", "//a", VIRTUAL, "with.dots", "/a"),
        ("files.example.org:8080", "/a/../b", CUSTOM_DOMAIN, "files", "a/../b"),
        ("b.obs.eu-de.otc.t-systems.com", "/a", VIRTUAL, "b", "a"),
        ("obs.eu-de.otc.t-systems.com", "/b/a", PATH_STYLE, "b", "a"),
        ("b.oss-cn-hangzhou.aliyuncs.com", "/a", VIRTUAL, "b", "a"),
        ("b.s3.eu-central-1.amazonaws.com", "/a", VIRTUAL, "b", "a"),
        ("elsewhere", "http://b.localhost/a?x", VIRTUAL, "b", "a"),
        ("elsewhere", "http://localhost", PATH_STYLE, "", ""),
        ("", "/b/a", PATH_STYLE, "b", "a"),
    ],
)
def test_the_host_determines_the_addressing(
    host: str, target: str, addressing: str, bucket: str, key: str
) -> None:
    request = parse_request("GET", target, [("Host", host)], custom_domains={"files.example.org": "files"})
    assert (request.addressing, request.bucket, request.key) == (addressing, bucket, key)


def test_a_query_keeps_the_difference_between_no_value_and_an_empty_one() -> None:
    assert parse_query("uploads&prefix=&a=b%2Bc+d&&e==") == (
        ("uploads", None),
        ("prefix", ""),
        ("a", "b+c d"),
        ("e", "="),
    )


def test_a_path_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        parse_request("GET", "/bucket/%ff", [])
    assert caught.value.code == "InvalidURI"
