"""The proxy for requests to a host, and whether it can be used, before any request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from obsup.errors import BadConfiguration, run_again
from obsup.store.http.settings import ConnectionSettings

SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")
SCHEMES = ("http", "https", *SOCKS_SCHEMES)


def find_proxy(url: str, settings: ConnectionSettings) -> str | None:
    """Return the host of the proxy for requests to *url*, or None if they are sent directly."""
    parts = urlsplit(url)
    proxy = settings.proxy
    if proxy is None and not proxy_bypass(parts.netloc):
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
    return _parse(proxy)[1] or None if proxy else None


def check_proxy(proxy: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raise BadConfiguration if *proxy* is not the URL of a proxy that can be used.

    The message does not repeat it, because it may contain a password.
    """
    variables = (
        name for name, value in environ.items() if name.lower().endswith("_proxy") and value == proxy
    )
    origin = next(variables, "--proxy")
    scheme, host, problem = _parse(proxy)
    if problem is None and scheme not in SCHEMES:
        problem = f"Its scheme is {scheme!r}, not http, https or socks5"
    if problem is None and not host:
        problem = "It has no host"
    if problem is not None:
        raise BadConfiguration(
            f"{origin} is not the URL of a proxy", problem, run_again(f"correct {origin}: http://HOST:PORT")
        )
    if scheme in SOCKS_SCHEMES and find_spec("socks") is None:
        raise BadConfiguration(
            f"{origin} names a SOCKS proxy, which needs the package PySocks",
            "It is not installed in this environment",
            run_again("install it with: pip install 'obsup[socks]'"),
        )


def _parse(proxy: str) -> tuple[str, str, str | None]:
    """Return scheme, host, and what is wrong with the URL *proxy*; without a scheme it is http."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        _ = parts.port
    except ValueError:
        return "", "", "Its host or its port is not valid"
    return parts.scheme, parts.hostname or "", None
