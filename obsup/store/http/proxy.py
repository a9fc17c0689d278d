"""The proxy for requests to a host, and whether it can be used, before any request."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from obsup.dialects.addressing import DEFAULT_PORTS
from obsup.dialects.endpoints import is_loopback
from obsup.errors import BadConfiguration, run_again
from obsup.store.http.settings import ConnectionSettings

SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")
# Which have proxies in their settings, and exceptions.
_SYSTEMS_WITH_PROXIES = ("darwin", "win32")
SCHEMES = ("http", "https", *SOCKS_SCHEMES)


def find_proxy(url: str, settings: ConnectionSettings) -> str | None:
    """Return the URL of the proxy for requests to *url*, or None if they are sent directly.

    NO_PROXY applies to every proxy, as with curl. A proxy of the environment is not used for this computer: it would
    connect to its own loopback interface.
    """
    parts, proxies = urlsplit(url), _find_proxies()
    if _is_excluded(parts, proxies.get("no", "")):
        return None
    if settings.proxy is not None:
        return settings.proxy
    host = parts.hostname or ""
    if is_loopback(host) or _is_excluded_by_system(host):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def given_proxies() -> Iterator[tuple[str, str, str]]:
    """Yield the proxies of the environment or of the system, and NO_PROXY: name, value, and source in words."""
    proxies = _find_proxies()
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        value = proxies.get(name.removesuffix("_proxy"))
        if value:
            variables = (one for one in (name, name.upper()) if os.environ.get(one) == value)
            variable = next(variables, None)
            yield name, value, f"environment variable {variable}" if variable else "settings of the system"


def _find_proxies() -> dict[str, str]:
    """Return the proxies by scheme, and the exceptions as ``no``: those of the environment, or else of the system."""
    has_variable = any(name.lower().endswith("_proxy") for name in os.environ)
    if not has_variable and sys.platform not in _SYSTEMS_WITH_PROXIES:
        return {}
    from urllib.request import getproxies  # it loads http.client and the email package

    return getproxies()


def _is_excluded_by_system(host: str) -> bool:
    """Return whether the settings of the system have an exception for *host*."""
    if sys.platform not in _SYSTEMS_WITH_PROXIES:
        return False
    from urllib.request import proxy_bypass

    return bool(proxy_bypass(host))


def check_proxy(proxy: str) -> None:
    """Raise BadConfiguration if *proxy* is not the URL of a proxy that can be used.

    The message does not repeat it, because it may contain a password.
    """
    origin = origin_of(proxy)
    scheme, host, problem = _parse(proxy)
    if problem is None and scheme not in SCHEMES:
        problem = f"Its scheme is {scheme!r}, not http, https or socks5"
    if problem is None and not host:
        problem = "It has no host"
    if problem is not None:
        raise BadConfiguration(
            f"{origin} is not the URL of a proxy",
            problem,
            run_again(f"correct {origin}: http://HOST:PORT", option=origin),
        )
    if scheme in SOCKS_SCHEMES and find_spec("socks") is None:
        raise BadConfiguration(
            f"{origin} names a SOCKS proxy, which needs the package PySocks",
            "It is not installed in this environment",
            run_again("install it with: pip install 'obsup[socks]'"),
        )


def origin_of(proxy: str) -> str:
    """Return the environment variable whose value is *proxy*, or else the option."""
    variables = (
        name for name, value in os.environ.items() if name.lower().endswith("_proxy") and value == proxy
    )
    return next(variables, "--proxy")


def is_socks(proxy: str) -> bool:
    """Return whether the URL *proxy* is that of a SOCKS proxy."""
    return "://" in proxy and urlsplit(proxy).scheme in SOCKS_SCHEMES


def is_forwarded(url: str, proxy: str) -> bool:
    """Return whether *proxy* receives the requests to *url* itself, and does not only connect to the store."""
    return urlsplit(url).scheme == "http" and not is_socks(proxy)


def without_login(proxy: str) -> str:
    """Return the URL of *proxy* without user and password."""
    return re.sub(r"^(?:(.*://)|).*@", r"\1", proxy)


def _is_excluded(url: SplitResult, no_proxy: str) -> bool:
    """Return whether the list *no_proxy* contains the host of *url*, or a domain or network that it belongs to."""
    host, port = (url.hostname or "").removesuffix("."), url.port or DEFAULT_PORTS[url.scheme]
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        name, colon, digits = entry.rpartition(":")
        if colon and digits == str(port) and (name.endswith("]") or ":" not in name):
            entry = name
        entry = entry.strip("[]").removeprefix("*.").strip(".")
        if entry == "*" or (entry and (host == entry or host.endswith(f".{entry}"))):
            return True
        if _is_in_network(host, entry):
            return True
    return False


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _parse(proxy: str) -> tuple[str, str, str | None]:
    """Return scheme, host, and what is wrong with the URL *proxy*; without a scheme it is http."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        return "", "", "Its host or its port is not valid"
    if "://" not in proxy and parts.hostname in SCHEMES:  # http:/proxy:3128
        return "", "", "Its scheme is not followed by ://"
    return parts.scheme, parts.hostname or "", None
