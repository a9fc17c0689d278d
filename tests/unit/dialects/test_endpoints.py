"""Normalise and recognise endpoints, reject invalid ones, and check redirects."""

from __future__ import annotations

import pytest

from obsup.dialects.endpoints import (
    default_addressing,
    in_region,
    is_loopback,
    normalise_endpoint,
    recognise,
    same_domain,
)
from obsup.errors import WrongUsage


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("obs.eu-de.otc.t-systems.com", "https://obs.eu-de.otc.t-systems.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("localhost:9000", "https://localhost:9000"),
        ("HTTPS://OBS.EU-DE.otc.t-systems.com/", "https://obs.eu-de.otc.t-systems.com"),
        ("https://s3.amazonaws.com:443", "https://s3.amazonaws.com"),
        ("http://minio.example:80", "http://minio.example"),
        ("http://minio.example:443", "http://minio.example:443"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        ("https://x.supabase.co/storage/v1/s3", "https://x.supabase.co/storage/v1/s3"),
        ("https://Proxy.example:443/Store/", "https://proxy.example/Store"),
        ("  https://oss-cn-hangzhou.aliyuncs.com.\n", "https://oss-cn-hangzhou.aliyuncs.com"),
    ],
)
def test_endpoint_is_normalised(text: str, endpoint: str) -> None:
    assert normalise_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://obs.example.com/a/../b", "TARGET"),
        ("https://obs.example.com/a//b", "TARGET"),
        ("https://obs.example.com/a%20b", "TARGET"),
        ("https://obs.example.com?x=1", "TARGET"),
        ("https://obs.example.com#x", "TARGET"),
        ("ftp://obs.example.com", "'ftp'"),
        ("s3://bucket", "'s3'"),
        ("", "no host"),
        ("https://", "no host"),
        ("https://:9000", "no host"),
        ("http:/127.0.0.1:9000", "no host"),
        ("https://obs.example.com:port", "Its port is not a number"),
        ("https://obs.example.com:99999", "Port"),
        ("https://obs example.com", "white space"),
        ("https://obs.example\n.com", "white space"),
        ("https://höst.example", "not a valid host name"),
        ("https://obs..example.com", "not a valid host name"),
        (f"https://{'a' * 64}.example.com", "not a valid host name"),
        ("https://[::1", "IPv6"),
        ("http://::1:9000", "needs brackets"),
    ],
)
def test_invalid_endpoint_is_rejected_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        normalise_endpoint(text)
    assert why in caught.value.why
    assert "https://HOST" in str(caught.value.next_step)


def test_password_in_an_endpoint_is_rejected_and_not_shown() -> None:
    with pytest.raises(WrongUsage) as caught:
        normalise_endpoint("https://AKID:hunter2@obs.example.com")
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    ("host", "provider", "region"),
    [
        ("obs.eu-de.otc.t-systems.com", "obs", "eu-de"),
        ("obs.eu-nl.otc.t-systems.com", "obs", "eu-nl"),
        ("obs.eu-ch2.sc.otc.t-systems.com", "obs", "eu-ch2"),
        ("obs.otc.t-systems.com", "obs", "eu-de"),
        ("obs.cn-north-4.myhuaweicloud.com", "obs", "cn-north-4"),
        ("obs.eu-west-101.myhuaweicloud.eu", "obs", "eu-west-101"),
        ("obs.cn-north-1.myhuaweicloud.cn", "obs", "cn-north-1"),
        ("obs.myhuaweicloud.com", "obs", None),
        ("s3.amazonaws.com", "s3", "us-east-1"),
        ("s3-external-1.amazonaws.com", "s3", "us-east-1"),
        ("s3.eu-central-1.amazonaws.com", "s3", "eu-central-1"),
        ("s3-eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
        ("s3-fips.us-gov-west-1.amazonaws.com", "s3", "us-gov-west-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "s3", "cn-north-1"),
        ("s3-accelerate.amazonaws.com", "s3", None),
        ("s3-accelerate.dualstack.amazonaws.com", "s3", None),
        ("oss-cn-hangzhou.aliyuncs.com", "oss", "cn-hangzhou"),
        ("oss-cn-hangzhou-internal.aliyuncs.com", "oss", "cn-hangzhou"),
        ("cn-hangzhou.oss.aliyuncs.com", "oss", "cn-hangzhou"),
        ("oss-accelerate.aliyuncs.com", "oss", None),
        ("oss-accelerate-overseas.aliyuncs.com", "oss", None),
        ("s3.oss-cn-hangzhou.aliyuncs.com", "s3", "oss-cn-hangzhou"),
        ("s3.oss-cn-hangzhou-internal.aliyuncs.com", "s3", "oss-cn-hangzhou"),
        ("cb-f8z7yvzgwfkl9q0h.cn-hangzhou.oss-cloudbox.aliyuncs.com", "oss", "cb-f8z7yvzgwfkl9q0h"),
        ("cb-f8z7yvzgwfkl9q0h.cn-hangzhou.oss-cloudbox-control.aliyuncs.com", "oss", "cb-f8z7yvzgwfkl9q0h"),
        ("s3.wasabisys.com", "s3", "us-east-1"),
        ("s3.eu-central-2.wasabisys.com", "s3", "eu-central-2"),
        ("s3.gra.perf.cloud.ovh.net", "s3", "gra"),
        ("q5r1.fra.idrivee2-32.com", "s3", "us-east-1"),
        ("c8q1.va03.idrivee2-84.com", "s3", "us-east-1"),
        ("s3.eu-west-3.idrivee2.com", "s3", "eu-west-3"),
    ],
)
def test_host_of_a_vendor_determines_provider_and_region(
    host: str, provider: str, region: str | None
) -> None:
    """With or without a bucket in front of it; the bucket may have dots."""
    for bucket in (None, "media", "my.media"):
        recognised = recognise(f"https://{bucket}.{host}" if bucket else f"https://{host}")
        assert (recognised.provider, recognised.region, recognised.bucket) == (provider, region, bucket)
        assert recognised.endpoint == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "minio.example.org",
        "127.0.0.1",
        "localhost",
        "obs.eu-de.otc.t-systems.com.evil.example",
        "evil-obs.eu-de.otc.t-systems.com",
        "obsxeu-de.otc.t-systems.com",
        "abc.execute-api.us-east-1.amazonaws.com",
        "fc.cn-hangzhou.aliyuncs.com",
    ],
)
def test_other_hosts_determine_nothing(host: str) -> None:
    recognised = recognise(f"http://{host}:9000")
    assert (recognised.provider, recognised.region, recognised.bucket) == (None, None, None)
    assert recognised.endpoint == f"http://{host}:9000"


def test_port_of_a_recognised_endpoint_is_kept() -> None:
    assert recognise("https://b.obs.eu-de.otc.t-systems.com:8443").endpoint.endswith(":8443")


@pytest.mark.parametrize(
    "host",
    [
        "obs-website.eu-de.otc.t-systems.com",
        "bucket.obs-website.eu-de.otc.t-systems.com",
        "bucket.obs-website.cn-north-4.myhuaweicloud.com",
        "bucket.s3-website-us-east-1.amazonaws.com",
        "bucket.s3-website.eu-central-1.amazonaws.com",
        "bucket--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com",
        "mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
        "mine-123456789012.s3-accesspoint-fips.dualstack.us-gov-west-1.amazonaws.com",
        "mine-123456789012.op-01ac5d28a6a232904.s3-outposts.us-west-2.amazonaws.com",
        "mine.s3-object-lambda.us-west-2.amazonaws.com",
        "mine.accesspoint.s3-global.amazonaws.com",
    ],
)
def test_host_that_accepts_no_uploads_is_rejected(host: str) -> None:
    with pytest.raises(WrongUsage, match="is not the endpoint of a storage service") as caught:
        recognise(f"https://{host}")
    assert "--endpoint" in str(caught.value.next_step)


OTC = "https://obs.eu-de.otc.t-systems.com"


@pytest.mark.parametrize(
    ("endpoint", "other"),
    [
        (OTC, "obs.eu-de.otc.t-systems.com"),
        (OTC, "OBS.eu-nl.otc.t-systems.com:443"),
        (OTC, "bucket.obs.eu-nl.otc.t-systems.com"),
        ("https://obs.myhuaweicloud.com", "b.obs.eu-west-101.myhuaweicloud.eu"),
        ("https://s3.amazonaws.com", "bucket.s3.eu-central-1.amazonaws.com"),
        ("https://oss-cn-hangzhou.aliyuncs.com", "bucket.oss-cn-beijing.aliyuncs.com"),
        ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("http://minio.example:9000", "bucket.minio.example:9000"),
    ],
)
def test_redirect_within_the_provider_is_followed(endpoint: str, other: str) -> None:
    assert same_domain(endpoint, other)


@pytest.mark.parametrize(
    ("endpoint", "other"),
    [
        (OTC, "evil.example"),
        (OTC, "obs.cn-north-4.myhuaweicloud.com"),
        (OTC, "obs.eu-de.otc.t-systems.com.evil.example"),
        (OTC, "obs.eu-nl.otc.t-systems.com:8443"),
        (OTC, "obs-website.eu-de.otc.t-systems.com"),
        (OTC, "user@obs.eu-nl.otc.t-systems.com"),
        (OTC, "otc.t-systems.com"),
        (OTC, ""),
        (OTC, "[::1"),
        (OTC, "obs.eu-nl.otc.t-systems.com:x"),
        ("https://s3.amazonaws.com", "abc.execute-api.us-east-1.amazonaws.com"),
        ("https://s3.amazonaws.com", "s3.cn-north-1.amazonaws.com.evil"),
        ("https://oss-cn-hangzhou.aliyuncs.com", "mine.cn-hangzhou.fc.aliyuncs.com"),
        ("http://127.0.0.1:9000", "127.0.0.1:9001"),
        ("http://127.0.0.1:9000", "x.127.0.0.1:9000"),
        ("http://minio.example", "evilminio.example"),
    ],
)
def test_redirect_out_of_the_provider_is_not_followed(endpoint: str, other: str) -> None:
    assert not same_domain(endpoint, other)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "addressing"),
    [
        (OTC, "media", "virtual"),
        (OTC, "my.media", "path"),
        ("http://obs.eu-de.otc.t-systems.com", "my.media", "virtual"),
        (OTC, "My_Media", "path"),
        ("http://127.0.0.1:9000", "media", "path"),
        ("http://[::1]:9000", "media", "path"),
        ("http://localhost:9000", "media", "path"),
        ("http://minio:9000", "media", "path"),
        ("https://minio.example", "media", "virtual"),
    ],
)
def test_default_addressing(endpoint: str, bucket: str, addressing: str) -> None:
    assert default_addressing(endpoint, bucket) == addressing


@pytest.mark.parametrize(
    ("endpoint", "region", "moved"),
    [
        ("https://s3.amazonaws.com", "eu-west-1", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3.us-east-1.amazonaws.com", "eu-west-1", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3-us-west-2.amazonaws.com:8443", "eu-west-1", "https://s3-eu-west-1.amazonaws.com:8443"),
        ("https://obs.otc.t-systems.com", "eu-nl", "https://obs.eu-nl.otc.t-systems.com"),
        ("https://obs.myhuaweicloud.com", "cn-north-4", "https://obs.cn-north-4.myhuaweicloud.com"),
        ("https://oss-cn-beijing.aliyuncs.com", "cn-hangzhou", "https://oss-cn-hangzhou.aliyuncs.com"),
        ("https://oss-accelerate.aliyuncs.com", "cn-hangzhou", "https://oss-accelerate.aliyuncs.com"),
        ("https://s3.wasabisys.com", "eu-central-1", "https://s3.eu-central-1.wasabisys.com"),
        ("https://s3.nl-1.wasabisys.com", "eu-central-1", "https://s3.eu-central-1.wasabisys.com"),
        ("https://c8q1.va03.idrivee2-84.com", "us-west-1", "https://c8q1.va03.idrivee2-84.com"),
        ("http://127.0.0.1:9000", "eu-west-1", "http://127.0.0.1:9000"),
        ("https://s3.amazonaws.com", "x.evil.example/", "https://s3.amazonaws.com"),
    ],
)
def test_endpoint_moves_to_another_region_of_its_cloud(endpoint: str, region: str, moved: str) -> None:
    assert in_region(endpoint, region) == moved


@pytest.mark.parametrize("host", ["localhost", "bucket.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", "10.0.0.1", "1270.0.1", ""])
def test_similar_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
