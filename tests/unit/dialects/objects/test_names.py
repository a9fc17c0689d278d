"""The vendors' naming rules, and the suggested valid name."""

from __future__ import annotations

import pytest

from obsup.dialects.dialect import Dialect
from obsup.dialects.objects.names import check_bucket, check_key
from obsup.dialects.registry import DIALECTS
from obsup.errors import WrongUsage

OBS, S3, OSS = DIALECTS["obs"], DIALECTS["s3-v4"], DIALECTS["oss-v4"]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("bucket", ["abc", "a-b-c", "1bucket", "x" * 63])
def test_simple_bucket_names_are_valid_everywhere(dialect: Dialect, bucket: str) -> None:
    check_bucket(dialect, bucket)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "bucket",
    [
        "",
        "ab",
        "x" * 64,
        "-abc",
        "abc-",
        ".abc",
        "abc.",
        "a..b",
        "a.-b",
        "a-.b",
        "192.168.5.4",
        "a b c",
        "ab/c",
        "abc\n",
    ],
)
def test_invalid_bucket_names_are_rejected_everywhere(dialect: Dialect, bucket: str) -> None:
    with pytest.raises(WrongUsage):
        check_bucket(dialect, bucket)


def test_dots_are_valid_in_obs_and_s3_only() -> None:
    check_bucket(OBS, "my.bucket")
    check_bucket(S3, "my.bucket")
    with pytest.raises(WrongUsage, match="a-z0-9-"):
        check_bucket(OSS, "my.bucket")


@pytest.mark.parametrize(
    "bucket", ["xn--bucket", "sthree-bucket", "amzn-s3-demo-bucket", "bucket-s3alias", "b--ol-s3", "b--x-s3"]
)
def test_names_reserved_by_s3_are_rejected_there(bucket: str) -> None:
    check_bucket(OBS, bucket)
    with pytest.raises(WrongUsage, match="reserved"):
        check_bucket(S3, bucket)


@pytest.mark.parametrize(
    ("bucket", "nearest"), [("Media", "media"), ("my_media", "my-media"), ("My_Media_", "my-media")]
)
def test_nearest_valid_bucket_name_is_suggested(bucket: str, nearest: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        check_bucket(OBS, bucket)
    assert str(caught.value.next_step) == f"did you mean {nearest}?"


def test_no_bucket_name_is_guessed() -> None:
    with pytest.raises(WrongUsage) as caught:
        check_bucket(OBS, "ü")
    assert "BUCKET/KEY" in str(caught.value.next_step)


@pytest.mark.parametrize("key", ["a", "/a", "//", "a/../b", "对象", "a\x01b", " ", "x" * 1024])
def test_keys_are_opaque_to_obs_and_s3(key: str) -> None:
    check_key(OBS, key)
    check_key(S3, key)


def test_empty_key_is_rejected() -> None:
    with pytest.raises(WrongUsage):
        check_key(OBS, "")


@pytest.mark.parametrize("dialect", [OBS, DIALECTS["obs-v4"]])
def test_length_of_an_obs_key_counts_characters(dialect: Dialect) -> None:
    check_key(dialect, "象" * 1024)
    with pytest.raises(WrongUsage, match="accepts 1024 characters, not 1025") as caught:
        check_key(dialect, "象" * 1025)
    assert "to 1024 characters" in str(caught.value.next_step)


@pytest.mark.parametrize(("dialect", "limit"), [(S3, 1024), (OSS, 1023)])
def test_length_of_a_key_counts_bytes(dialect: Dialect, limit: int) -> None:
    check_key(dialect, "é" * (limit // 2))
    with pytest.raises(WrongUsage, match=f"accepts {limit} bytes of UTF-8, not {limit + 1}") as caught:
        check_key(dialect, "é" * (limit // 2) + "x" * (1 + limit % 2))
    assert f"to {limit} bytes" in str(caught.value.next_step)


@pytest.mark.parametrize("key", ["/a", "\\a", "//a"])
def test_oss_rejects_a_leading_slash(key: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        check_key(OSS, key)
    assert str(caught.value.next_step) == "did you mean a?"


def test_key_that_is_not_unicode_is_rejected() -> None:
    """Python represents a file name that is not UTF-8 with surrogates."""
    with pytest.raises(WrongUsage, match="UTF-8"):
        check_key(OBS, "a\udc80")


@pytest.mark.parametrize("resource", ["accesspoint", "s3-object-lambda:accesspoint", "bucket"])
def test_an_arn_is_refused_as_such(resource: str) -> None:
    """Whatever it is the ARN of, and on every store."""
    for dialect in (OBS, S3, OSS):
        with pytest.raises(WrongUsage, match="ARN of a bucket or of an access point"):
            check_bucket(dialect, f"arn:aws:s3:eu-west-1:123456789012:{resource}")
