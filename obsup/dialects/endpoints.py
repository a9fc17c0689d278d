"""What the host of an endpoint determines: provider, region, bucket and addressing style."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from msgspec.structs import replace

from obsup.dialects.addressing import DEFAULT_PORTS, is_ip_address
from obsup.dialects.dialect import Addressing, Dialect
from obsup.dialects.registry import HOST_FAMILIES, STORES, VENDORS
from obsup.dialects.stores import StoreService
from obsup.dialects.vendor import HostFamily
from obsup.errors import NextStep, WrongUsage
from obsup.value import Value

_REGION_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# A port follows the host: "localhost:9000/x" has no scheme.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*(?<!-)")
# No empty segment, no dots alone, nothing that needs percent-encoding: it is signed and sent as it is.
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_DNS_SAFE = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")


class Recognised(Value):
    """What the host of an endpoint determines; None for what it does not.

    ``bucket`` is the part before the vendor's host, ``endpoint`` is the endpoint without it.
    """

    provider: str | None
    region: str | None
    bucket: str | None
    endpoint: str


def normalise_endpoint(text: str) -> str:
    """Return *text* as ``scheme://host[:port][/prefix]``: https by default, in lower case, without a default port.

    Some stores are below a path: Supabase, or any store behind a reverse proxy. Raises WrongUsage for another scheme, a
    user, a query, a path that a server may change, and for any path at a host of the vendors.
    """
    text = text.strip()
    if "@" in text:
        # Not repeated in the message: the text before the @ may be a password.
        raise _refused("", "It has a user or password before an @, and secrets do not belong in an endpoint")
    parts = _split(text if _SCHEME.match(text) else f"https://{text}")
    if parts.scheme not in DEFAULT_PORTS:
        raise _refused(text, f"Its scheme is {parts.scheme!r}, not http or https")
    host = (parts.hostname or "").removesuffix(".")
    if not (_HOST.fullmatch(host) or is_ip_address(host)):
        raise _refused(text, f"{host!r} is not a valid host name" if host else "It has no host")
    prefix = parts.path.rstrip("/")
    if parts.query or parts.fragment or (prefix and not _PREFIX.fullmatch(prefix)):
        raise _refused(text, "It has more than a host and a plain path; bucket and key belong in the TARGET")
    if prefix and _find_family(host):
        raise WrongUsage(
            f"invalid endpoint {text!r}",
            "It has a path, but the vendor's host has none; bucket and key belong in the TARGET",
            NextStep(f"use {parts.scheme}://{parts.netloc}", option="--endpoint"),
        )
    bracketed = f"[{host}]" if ":" in host else host
    if parts.port in (None, DEFAULT_PORTS[parts.scheme]):
        return f"{parts.scheme}://{bracketed}{prefix}"
    return f"{parts.scheme}://{bracketed}:{parts.port}{prefix}"


def recognise(endpoint: str) -> Recognised:
    """Return provider, region and bucket as far as the host of *endpoint* determines them.

    Raises WrongUsage for hosts of the vendors that accept no uploads: static websites, S3 directory buckets.
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
            NextStep(
                "use the endpoint of the service, for example --endpoint obs.eu-de.otc.t-systems.com",
                option="--endpoint",
            ),
        )
    region = match.groupdict().get("region") or family.region
    port = f":{parts.port}" if parts.port else ""
    return Recognised(provider, region, match["bucket"], f"{parts.scheme}://{match['host']}{port}")


def is_vendor_host(endpoint: str) -> bool:
    """Return whether the host of *endpoint* is a vendor's own, which works as the vendor documents."""
    found = _find_family(urlsplit(endpoint).hostname or "")
    return found is not None and found[1].is_vendor


def service_of(endpoint: str) -> StoreService | None:
    """Return the compatible service at *endpoint*; None if it is none of ``STORES``."""
    found = _find_family(urlsplit(endpoint).hostname or "")
    return next((one for one in STORES.values() if found is not None and one.family is found[1]), None)


def dialect_at(endpoint: str, dialect: Dialect, store: str = "") -> Dialect:
    """Return *dialect* with the rules of the service *store*, or else of the service at *endpoint*."""
    family = _rules(endpoint, store)
    if family is None:
        return dialect
    if not family.has_object_lock:
        headers = replace(dialect.headers, retention_mode=None, retain_until=None, legal_hold=None)
        dialect = replace(dialect, headers=headers, title=f"{dialect.title}, at this host,")
    if family.is_vendor:
        return dialect
    limits = dialect.limits
    max_part = family.max_part or limits.max_part
    return replace(
        dialect,
        title=STORES[family.domain].title,
        limits=replace(
            limits,
            max_parts=family.max_parts or limits.max_parts,
            max_part=max_part,
            max_put=min(max_part, limits.max_put),
            max_object=family.max_object or limits.max_object,
            equal_parts=family.equal_parts,
        ),
        headers=replace(dialect.headers, crc64=family.crc64),
        etag_is_composite=family.has_composite_etags,
        checksums=family.checksums,
    )


def same_domain(endpoint: str, other_host: str) -> bool:
    """Return whether a redirect from *endpoint* to *other_host* (``host[:port]``) stays within the provider.

    True for the same host, a subdomain of it, or two storage hosts of the same cloud, if the port is the same. Other
    hosts under a vendor's domain may belong to its customers.
    """
    current = urlsplit(endpoint)
    default = DEFAULT_PORTS.get(current.scheme)
    try:
        redirected = urlsplit(f"//{other_host}")
        if (current.port or default) != (redirected.port or default):
            return False
    except ValueError:
        return False
    host, other = current.hostname or "", redirected.hostname or ""
    if not other or redirected.username is not None:
        return False
    if other == host or (not is_ip_address(host) and other.endswith(f".{host}")):
        return True
    family, other_family = _find_family(host), _find_family(other)
    if family is None or other_family is None or other_family[1].refusal:
        return False
    return family[1].domain == other_family[1].domain


def in_region(endpoint: str, region: str) -> str:
    """Return the endpoint of the same cloud in *region*; *endpoint* itself if its host does not depend on the region.

    For a global host (``s3.amazonaws.com``) it is the regional one (``s3.eu-west-1.amazonaws.com``).
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    found = _find_family(host)
    if found is None or not _REGION_NAME.fullmatch(region):
        return endpoint
    _, family, match = found
    if match.groupdict().get("region"):
        first, last = match.span("region")
        regional = host[:first] + region + host[last:]
    elif family.is_global:
        service, _, domain = match["host"].partition(".")
        regional = f"{service}.{region}.{domain}"
    else:
        return endpoint
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(host, regional)))


def is_loopback(host: str) -> bool:
    """Return whether *host* (without a port) is this computer, as every ``*.localhost`` is by RFC 6761."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_ip_address(host) and ipaddress.ip_address(host).is_loopback


def default_addressing(endpoint: str, bucket: str, store: str = "", *, provider: str = "") -> Addressing:
    """Return the default addressing style of *bucket* at *endpoint*, or at the service *store*.

    It is virtual-hosted, as the vendors require. It is path-style for an IP address, localhost, or a host name without
    a domain, for an endpoint with a path, for a service that prefers it, for other hosts with the protocol of a
    *provider* that prefers it there, and for a bucket that does not match a certificate or a DNS name.
    """
    host = urlsplit(endpoint).hostname or ""
    family = _rules(endpoint, store)
    if family.path_style if family is not None else provider and VENDORS[provider].path_style_elsewhere:
        return "path"
    return "virtual" if "." in host and can_be_virtual(endpoint, bucket) else "path"


def can_be_virtual(endpoint: str, bucket: str) -> bool:
    """Return whether *bucket* in front of the host of *endpoint* is a DNS name that a certificate can match."""
    parts = urlsplit(endpoint)
    if parts.path or is_ip_address(parts.hostname or "") or not _DNS_SAFE.fullmatch(bucket):
        return False
    # A wildcard certificate covers only one label.
    return "." not in bucket or parts.scheme != "https"


def _rules(endpoint: str, store: str) -> HostFamily | None:
    """Return the rules of the service *store*, or else those of the host of *endpoint*."""
    named = STORES[store].family if store else None
    found = _find_family(urlsplit(endpoint).hostname or "")
    return named or (found[1] if found is not None else None)


def _find_family(host: str) -> tuple[str, HostFamily, re.Match[str]] | None:
    """Return provider, host family and match of the first family that *host* belongs to."""
    if is_ip_address(host):
        return None
    for provider, family in HOST_FAMILIES:
        match = family.match(host)
        if match is not None:
            return provider, family, match
    return None


def _split(text: str) -> SplitResult:
    # urlsplit would silently drop a tab or a line break.
    if any(character.isspace() for character in text):
        raise _refused(text, "It has white space")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as exc:
        why = "Its port is not a number" if "cast" in str(exc) else str(exc)
        if "[" not in text and text.count(":") > 2:
            why = "An IPv6 address needs brackets, as in http://[::1]:9000"
        raise _refused(text, why) from exc
    return parts


def _refused(text: str, why: str) -> WrongUsage:
    return WrongUsage(
        f"invalid endpoint {text!r}" if text else "invalid endpoint",
        why,
        NextStep(
            "use https://HOST or https://HOST:PORT, for example https://obs.eu-de.otc.t-systems.com",
            option="--endpoint",
        ),
    )
