"""The URL of a request, and the path that is signed."""

from __future__ import annotations

import pytest

from obsup.dialects.addressing import bucket_path, locate, raw_resource_path, resource_path, sent_path
from obsup.dialects.dialect import Addressing

ENDPOINT = "https://obs.eu-de.otc.t-systems.com"
KEY = "对 象//x"
ENCODED = "%E5%AF%B9%20%E8%B1%A1//x"


@pytest.mark.parametrize(
    ("endpoint", "key", "addressing", "host", "path"),
    [
        (ENDPOINT, "a", "virtual", "media.obs.eu-de.otc.t-systems.com", "/a"),
        (ENDPOINT, None, "virtual", "media.obs.eu-de.otc.t-systems.com", "/"),
        (ENDPOINT, "a", "path", "obs.eu-de.otc.t-systems.com", "/media/a"),
        (ENDPOINT, None, "path", "obs.eu-de.otc.t-systems.com", "/media/"),
        ("https://files.example.org", "a", "cname", "files.example.org", "/a"),
        ("https://files.example.org", None, "cname", "files.example.org", "/"),
        (ENDPOINT, "/a", "virtual", "media.obs.eu-de.otc.t-systems.com", "//a"),
        (ENDPOINT, "//a/", "path", "obs.eu-de.otc.t-systems.com", "/media///a/"),
        (ENDPOINT, "a/../b", "virtual", "media.obs.eu-de.otc.t-systems.com", "/a/../b"),
        (ENDPOINT, "a?b#c", "virtual", "media.obs.eu-de.otc.t-systems.com", "/a%3Fb%23c"),
        ("http://127.0.0.1:9000", "a", "path", "127.0.0.1:9000", "/media/a"),
        ("http://[::1]:9000", "a", "path", "[::1]:9000", "/media/a"),
        ("http://minio.example:80", "a", "virtual", "media.minio.example", "/a"),
        ("https://minio.example:443", "a", "virtual", "media.minio.example", "/a"),
        ("https://minio.example:80", "a", "virtual", "media.minio.example:80", "/a"),
        ("https://minio.example:8443", "a", "virtual", "media.minio.example:8443", "/a"),
    ],
)
def test_url_of_a_request(
    endpoint: str, key: str | None, addressing: Addressing, host: str, path: str
) -> None:
    address = locate(endpoint, "media", key, addressing)
    assert (address.host, address.path) == (host, path)
    assert (address.bucket, address.key, address.addressing) == ("media", key, addressing)
    assert f"{address.scheme}:" == endpoint.partition("/")[0]


@pytest.mark.parametrize(
    ("addressing", "obs", "aws4"),
    [
        ("virtual", f"/media/{ENCODED}", f"/{ENCODED}"),
        ("path", f"/media/{ENCODED}", f"/media/{ENCODED}"),
        ("cname", f"/obs.eu-de.otc.t-systems.com/{ENCODED}", f"/{ENCODED}"),
    ],
)
def test_signed_path_of_a_key(addressing: Addressing, obs: str, aws4: str) -> None:
    address = locate(ENDPOINT, "media", KEY, addressing)
    assert resource_path(address) == obs
    assert sent_path(address) == aws4
    assert raw_resource_path(address) == f"/media/{KEY}"
    assert bucket_path(address) == f"/media/{ENCODED}"


@pytest.mark.parametrize("addressing", ["virtual", "path"])
def test_signed_path_of_a_bucket_ends_in_a_slash(addressing: Addressing) -> None:
    address = locate(ENDPOINT, "media", None, addressing)
    for signed_path in (resource_path, raw_resource_path, bucket_path):
        assert signed_path(address) == "/media/"


def test_custom_domain_is_signed_without_its_port() -> None:
    address = locate("https://files.example.org:8443", "media", "a", "cname")
    assert address.host == "files.example.org:8443"
    assert resource_path(address) == "/files.example.org/a"
