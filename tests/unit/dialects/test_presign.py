"""Presigned URLs, compared with those of the vendors' clients for the same time."""

from __future__ import annotations

import datetime as datetime_module
import time
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import oss2
import pytest
from botocore.config import Config
from obs import ObsClient

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Addressing, Dialect, Signable
from obsup.dialects.encoding import encode_query
from obsup.dialects.registry import DIALECTS
from obsup.errors import WrongUsage
from obsup.model import Credentials

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
EXPIRES_S = 900
AK, SK, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token+with/slash=="
BUCKET = "example-bucket"
PART: tuple[tuple[str, str], ...] = (("partNumber", "7"), ("uploadId", "0000 +/é"))
KEYS = ["plain.txt", "a b+c%25d", "dir//x", "对象/文件 名.txt", "q?x=1&y", "~tilde!*'();:@$,[]", "a/../b"]

Url = tuple[str, str, str, dict[str, str]]


class StoppedDatetime(datetime):
    """The vendors' clients read the time in several ways; each returns the same fixed time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> StoppedDatetime:
        return cls(2026, 3, 14, 15, 9, 26, tzinfo=tz)

    @classmethod
    def utcnow(cls) -> StoppedDatetime:
        return cls.now()


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", NOW.timestamp)
    monkeypatch.setattr(datetime_module, "datetime", StoppedDatetime)
    monkeypatch.setattr("oss2.auth.datetime", StoppedDatetime)
    monkeypatch.setattr("botocore.auth.get_current_datetime", StoppedDatetime.now)


def split_url(url: str) -> Url:
    """Split a URL, because clients differ in the order and encoding of the query, which servers decode alike."""
    parts = urlsplit(url)
    host = parts.netloc.removesuffix(":443")
    return parts.scheme, host, unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))


def presigned(
    dialect: Dialect,
    endpoint: str,
    key: str,
    *,
    token: str | None,
    region: str,
    headers: Mapping[str, str],
    addressing: Addressing = "virtual",
) -> str:
    address = locate(endpoint, BUCKET, key, addressing)
    query = dialect.presign(
        Signable("PUT", address, PART, headers),
        Credentials(AK, SK, token),
        region=region,
        now=NOW,
        expires_s=EXPIRES_S,
    )
    return f"{address.scheme}://{address.host}{address.path}?{encode_query(query)}"


OBS_ENDPOINT = "https://obs.eu-de.otc.t-systems.com"
S3_ENDPOINT = "https://s3.eu-central-1.amazonaws.com"
OSS_ENDPOINT = "https://oss-cn-hangzhou.aliyuncs.com"


def presigned_by_esdk(signature: str, key: str, *, token: str | None, headers: Mapping[str, str]) -> str:
    client = ObsClient(
        access_key_id=AK,
        secret_access_key=SK,
        security_token=token,
        server=OBS_ENDPOINT,
        region="eu-de",
        signature=signature,
    )
    answer = client.createSignedUrl(
        "PUT", BUCKET, key, expires=EXPIRES_S, queryParams=dict(PART), headers=dict(headers)
    )
    return str(answer.signedUrl)


def presigned_by_botocore(
    version: str, key: str, *, token: str | None, style: str = "virtual", content_md5: str | None = None
) -> str:
    client = boto3.client(
        "s3",
        aws_access_key_id=AK,
        aws_secret_access_key=SK,
        aws_session_token=token,
        region_name="eu-central-1",
        endpoint_url=S3_ENDPOINT,
        config=Config(
            signature_version=version,
            s3={"addressing_style": style},
            request_checksum_calculation="when_required",
        ),
    )
    params: dict[str, Any] = {"Bucket": BUCKET, "Key": key, "PartNumber": 7, "UploadId": PART[1][1]}
    if content_md5 is not None:
        params["ContentMD5"] = content_md5
    return str(client.generate_presigned_url("upload_part", Params=params, ExpiresIn=EXPIRES_S))


def presigned_by_oss2(version: str, key: str, *, token: str | None, headers: Mapping[str, str]) -> str:
    auth = (
        oss2.StsAuth(AK, SK, token, auth_version=version)
        if token is not None
        else oss2.make_auth(AK, SK, version)
    )
    bucket = oss2.Bucket(auth, OSS_ENDPOINT, BUCKET, region="cn-hangzhou")
    return str(
        bucket.sign_url("PUT", key, EXPIRES_S, headers=dict(headers), params=dict(PART), slash_safe=True)
    )


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(("name", "signature"), [("obs", "obs"), ("obs-v2", "v2"), ("obs-v4", "v4")])
def test_obs_url_equals_that_of_the_vendors_client(
    name: str, signature: str, token: str | None, key: str
) -> None:
    headers = {"Content-MD5": "/QY/f/xtpSbPeHdUJlJ/ww=="}
    ours = presigned(DIALECTS[name], OBS_ENDPOINT, key, token=token, region="eu-de", headers=headers)
    theirs = presigned_by_esdk(signature, key, token=token, headers=headers)
    assert split_url(ours) == split_url(theirs)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(("name", "version"), [("s3-v4", "s3v4"), ("s3-v2", "s3")])
@pytest.mark.parametrize("style", ["virtual", "path"])
def test_s3_url_equals_that_of_botocore(
    name: str, version: str, token: str | None, key: str, style: Addressing
) -> None:
    ours = presigned(
        DIALECTS[name],
        S3_ENDPOINT,
        key,
        token=token,
        region="eu-central-1",
        headers={},
        addressing=style,
    )
    theirs = presigned_by_botocore(version, key, token=token, style=style)
    assert split_url(ours) == split_url(theirs)


def test_s3_v4_url_signs_content_md5_as_botocore_does() -> None:
    md5 = "/QY/f/xtpSbPeHdUJlJ/ww=="
    ours = presigned(
        DIALECTS["s3-v4"],
        S3_ENDPOINT,
        "a",
        token=None,
        region="eu-central-1",
        headers={"Content-MD5": md5},
    )
    theirs = presigned_by_botocore("s3v4", "a", token=None, content_md5=md5)
    assert split_url(ours) == split_url(theirs)
    assert split_url(ours)[3]["X-Amz-SignedHeaders"] == "content-md5;host"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(("name", "version"), [("oss-v4", "v4"), ("oss-v1", "v1")])
def test_oss_url_equals_that_of_oss2(name: str, version: str, token: str | None, key: str) -> None:
    headers = {"content-md5": "/QY/f/xtpSbPeHdUJlJ/ww==", "x-oss-traffic-limit": "819200"}
    ours = presigned(DIALECTS[name], OSS_ENDPOINT, key, token=token, region="cn-hangzhou", headers=headers)
    theirs = presigned_by_oss2(version, key, token=token, headers=headers)
    assert split_url(ours) == split_url(theirs)


@pytest.mark.parametrize("name", ["obs-v4", "s3-v4", "oss-v4"])
@pytest.mark.parametrize("expires_s", [0, -1, 7 * 24 * 3600 + 1])
def test_v4_url_is_valid_for_a_second_to_seven_days(name: str, expires_s: int) -> None:
    request = Signable("PUT", locate(S3_ENDPOINT, BUCKET, "a", "virtual"), (), {})
    presign = DIALECTS[name].presign
    for allowed in (1, 7 * 24 * 3600):
        presign(request, Credentials(AK, SK), region="r", now=NOW, expires_s=allowed)
    with pytest.raises(WrongUsage, match="7 days"):
        presign(request, Credentials(AK, SK), region="r", now=NOW, expires_s=expires_s)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_url_contains_no_secret(dialect: Dialect) -> None:
    url = presigned(dialect, S3_ENDPOINT, "a", token=None, region="r", headers={})
    assert SK not in unquote(url)
