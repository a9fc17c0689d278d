"""What an endpoint tells of itself: provider, region, bucket; and how buckets are addressed there."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from obsup.dialects.addressing import DEFAULT_PORTS
from obsup.dialects.dialect import Addressing
from obsup.dialects.registry import VENDORS
from obsup.dialects.vendor import HostFamily
from obsup.errors import NextStep, WrongUsage
from obsup.value import Value

_REGION_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")
_DNS_SAFE = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")


class Recognised(Value):
    """What the host of an endpoint says; None where it does not say.

    ``bucket`` is what stands before a vendor's host, ``endpoint`` is the endpoint without it.
    """

    provider: str | None
    region: str | None
    bucket: str | None
    endpoint: str


def normalise_endpoint(text: str) -> str:
    """Return *text* as ``scheme://host[:port]``: https where no scheme is given, lower case, no default port.

    Raises WrongUsage for what an endpoint cannot have: another scheme, a user, a path, a query.
    """
    text = text.strip()
    if "@" in text:
        # Not repeated in the message: the text before the @ may be a password.
        raise _refused(
            "this text", "It has a user or password before an @, and secrets do not belong in an endpoint"
        )
    parts = _split(text if "://" in text else f"https://{text}")
    if parts.scheme not in DEFAULT_PORTS:
        raise _refused(text, f"Its scheme is {parts.scheme!r}, not http or https")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _refused(text, "It has more than a host; bucket and key belong in the TARGET")
    host = (parts.hostname or "").removesuffix(".")
    if not (_HOST.fullmatch(host) or _is_ip(host)):
        raise _refused(text, f"{host!r} is not a valid host name" if host else "It has no host")
    bracketed = f"[{host}]" if ":" in host else host
    if parts.port in (None, DEFAULT_PORTS[parts.scheme]):
        return f"{parts.scheme}://{bracketed}"
    return f"{parts.scheme}://{bracketed}:{parts.port}"


def recognise(endpoint: str) -> Recognised:
    """Return provider, region and bucket as far as the host of *endpoint* tells them.

    Raises WrongUsage for the vendors' hosts that take no uploads: static websites, S3 directory buckets.
    """
    parts = urlsplit(endpoint)
    found = _find_family(parts.hostname or "")
    if found is None:
        return Recognised(None, None, None, endpoint)
    provider, family, match = found
    if family.refusal:
        raise WrongUsage(
            f"{parts.hostname} is not the endpoint of a storage service",
            family.refusal,
            NextStep("use the endpoint of the service, for example --endpoint obs.eu-de.otc.t-systems.com"),
        )
    region = match.groupdict().get("region") or family.region
    port = f":{parts.port}" if parts.port else ""
    return Recognised(provider, region, match["bucket"], f"{parts.scheme}://{match['host']}{port}")


def same_domain(endpoint: str, other_host: str) -> bool:
    """Tell whether a redirect from *endpoint* to *other_host* (``host[:port]``) stays within the provider.

    That is: the same host, a host below it, or two storage hosts of one vendor's cloud, on the same port.
    Other services under a vendor's domain do not count: strangers run them.
    """
    here = urlsplit(endpoint)
    default = DEFAULT_PORTS.get(here.scheme)
    try:
        there = urlsplit(f"//{other_host}")
        if (here.port or default) != (there.port or default):
            return False
    except ValueError:
        return False
    host, other = here.hostname or "", there.hostname or ""
    if not other or there.username is not None:
        return False
    if other == host or (not _is_ip(host) and other.endswith(f".{host}")):
        return True
    mine, theirs = _find_family(host), _find_family(other)
    if mine is None or theirs is None or theirs[1].refusal:
        return False
    return mine[1].domain == theirs[1].domain


def in_region(endpoint: str, region: str) -> str:
    """Return the endpoint of the same cloud in *region*; *endpoint* where its host does not tell regions apart.

    A global host (``s3.amazonaws.com``) has its regional ones beside it (``s3.eu-west-1.amazonaws.com``).
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    found = _find_family(host)
    if found is None or not _REGION_NAME.fullmatch(region):
        return endpoint
    _, family, match = found
    if "region" in match.re.groupindex:
        first, last = match.span("region")
        moved = host[:first] + region + host[last:]
    elif family.is_global:
        word, _, rest = match["host"].partition(".")
        moved = f"{word}.{region}.{rest}"
    else:
        return endpoint
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(host, moved)))


def is_loopback(host: str) -> bool:
    """Tell whether *host* (without a port) is this very machine. RFC 6761: so is every ``*.localhost``."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_ip(host) and ipaddress.ip_address(host).is_loopback


def default_addressing(endpoint: str, bucket: str) -> Addressing:
    """Return how *bucket* is addressed at *endpoint* where the user does not say.

    Virtual-hosted, as the vendors want it; by path where there is no name to put the bucket before (an IP
    address, localhost, a bare host name), and where no certificate or DNS name would fit the bucket.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if _is_ip(host) or "." not in host or not _DNS_SAFE.fullmatch(bucket):
        return "path"
    # A wildcard certificate covers one label.
    return "path" if "." in bucket and parts.scheme == "https" else "virtual"


def _find_family(host: str) -> tuple[str, HostFamily, re.Match[str]] | None:
    """Return provider, host family and match of the first family that *host* belongs to."""
    if _is_ip(host):
        return None
    for provider, vendor in VENDORS.items():
        for family in vendor.hosts:
            match = family.match(host)
            if match is not None:
                return provider, family, match
    return None


def _split(text: str) -> SplitResult:
    # urlsplit would drop a tab or a line break without a word.
    if any(character.isspace() for character in text):
        raise _refused(text, "It has white space")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as exc:
        raise _refused(text, str(exc)) from exc
    return parts


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(text: str, why: str) -> WrongUsage:
    return WrongUsage(
        f"invalid endpoint {text!r}",
        why,
        NextStep("use https://HOST or https://HOST:PORT, for example https://obs.eu-de.otc.t-systems.com"),
    )
