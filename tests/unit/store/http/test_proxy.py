"""Which proxy applies to the requests to a host."""

from __future__ import annotations

from urllib.request import getproxies_environment

import pytest

from obsup.engine.job.connection import StoreSettings
from obsup.errors import BadConfiguration
from obsup.store.http.proxy import check_proxy, find_proxy, without_login
from obsup.store.http.settings import ConnectionSettings

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("", "http://store.example", False),
        ("*", "http://store.example", True),
        ("store.example", "https://store.example", True),
        ("store.example", "https://bucket.store.example", True),
        ("store.example", "https://mystore.example", False),
        (".store.example", "https://bucket.store.example", True),
        ("*.store.example", "https://bucket.store.example", True),
        ("STORE.example.", "https://store.example", True),
        ("other.example, store.example", "https://store.example", True),
        ("other.example store.example", "https://store.example", True),
        ("store.example:443", "https://store.example", True),
        ("store.example:9000", "http://store.example:9000", True),
        ("store.example:9000", "http://store.example", False),
        ("10.1.2.3", "http://10.1.2.3:9000", True),
        ("10.1.2.3:9000", "http://10.1.2.3:9000", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://store.example", False),
        ("fd00::/8", "http://[fd00::1]:9000", True),
        ("[fd00::1]:9000", "http://[fd00::1]:9000", True),
        ("fd00::1", "http://[fd00::1]", True),
        (",", "http://store.example", False),
    ],
)
@pytest.mark.parametrize("is_option", [False, True])
def test_what_no_proxy_lists(
    is_option: bool, no_proxy: str, url: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As curl reads it, for the proxy of the environment and for --proxy."""
    monkeypatch.setenv("NO_PROXY", no_proxy)
    if not is_option:
        monkeypatch.setenv("ALL_PROXY", PROXY)
    settings = ConnectionSettings(proxy=PROXY if is_option else None)
    assert find_proxy(url, settings) == (None if is_direct else PROXY)


def test_a_store_on_this_computer_is_reached_through_the_proxy_of_an_option_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    for url in ("http://127.0.0.1:9000", "http://bucket.localhost:9000", "http://[::1]"):
        assert find_proxy(url, ConnectionSettings()) is None
        assert find_proxy(url, ConnectionSettings(proxy=PROXY)) == PROXY


def test_the_nearest_name_of_a_proxy_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, then the variable of the scheme, in lower case first, then that of all schemes."""
    monkeypatch.setenv("all_proxy", "http://all")
    assert find_proxy("https://store.example", ConnectionSettings()) == "http://all"
    monkeypatch.setenv("HTTPS_PROXY", "http://upper")
    assert find_proxy("https://store.example", ConnectionSettings()) == "http://upper"
    monkeypatch.setenv("https_proxy", "http://lower")
    assert find_proxy("https://store.example", ConnectionSettings()) == "http://lower"
    assert find_proxy("https://store.example", ConnectionSettings(proxy=PROXY)) == PROXY
    assert find_proxy("http://store.example", ConnectionSettings()) == "http://all"


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_PROXY": "http://upper", "http_proxy": ""},
        {"HTTP_PROXY": "http://upper", "REQUEST_METHOD": "GET"},
        {"HTTP_PROXY": "http://upper", "http_proxy": "http://lower", "REQUEST_METHOD": "GET"},
        {"Http_Proxy": "http://mixed"},
        {"HTTP_PROXY": ""},
    ],
)
def test_the_variables_are_read_as_by_the_standard_library(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable is none, and HTTP_PROXY of a CGI program is not trusted: a request may set it."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert find_proxy("http://store.example", ConnectionSettings()) == getproxies_environment().get("http")


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://user:pass@proxy:3128", "http://proxy:3128"),
        ("http://user:p@ss@proxy", "http://proxy"),
        ("user:pass@proxy:3128", "proxy:3128"),
        ("socks5h://proxy:1080", "socks5h://proxy:1080"),
    ],
)
def test_a_proxy_is_shown_without_its_login(proxy: str, shown: str) -> None:
    assert without_login(proxy) == shown


@pytest.mark.parametrize("proxy", ["http:/proxy:3128", "HTTPS//proxy:3128", "socks5:/user:password@proxy"])
def test_a_scheme_without_two_slashes_is_not_a_host(proxy: str) -> None:
    """The scheme was taken for the host of a proxy, whose name is looked up until --retry-for ends."""
    with pytest.raises(BadConfiguration, match="is not the URL of a proxy") as caught:
        check_proxy(proxy)
    assert "password" not in str(caught.value)


def test_the_password_of_a_proxy_is_not_in_texts_of_values() -> None:
    """A program that logs the arguments of a failed call would write it."""
    settings = ConnectionSettings(proxy="http://user:hunter2@proxy.test:3128")
    assert "hunter2" not in repr(StoreSettings("s3", "https://store.test", network=settings))
