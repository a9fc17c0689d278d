"""The host and path of a request, and the path that each signature signs."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from obsup.dialects.dialect import Address, Addressing
from obsup.dialects.encoding import encode_key

DEFAULT_PORTS = {"http": 80, "https": 443}


def locate(endpoint: str, bucket: str, key: str | None, addressing: Addressing) -> Address:
    """Return where a request about *key* (None: about the bucket) goes.

    *endpoint* is ``scheme://host[:port][/prefix]``. The default port is omitted, as every client omits it in ``Host``,
    which AWS4 signs. The path of a request about the bucket ends in a slash, ``/`` or ``/bucket/``, because all vendors
    sign that form in the same way.
    """
    scheme, host, prefix = _parts_of(endpoint)
    path = "/" + encode_key(key or "")
    if addressing == "virtual":
        host = f"{bucket}.{host}"
    elif addressing == "path":
        path = f"/{bucket}{path}"
    return Address(scheme, host, prefix + path, bucket, key, addressing, prefix)


def resource_path(address: Address) -> str:
    """Return the path that OBS and AWS2 sign: the path as sent, with the bucket or the custom domain before it.

    It has no prefix of the endpoint.

    Source: OBS API reference, "User Signature Authentication", table "CanonicalizedResource".
    """
    path = address.path.removeprefix(address.prefix)
    if address.addressing == "path":
        return path
    owner = address.bucket if address.addressing == "virtual" else urlsplit(f"//{address.host}").hostname
    return f"/{owner}{path}"


def raw_resource_path(address: Address) -> str:
    """Return the path that OSS1 signs: the bucket and the key as Unicode text, not percent-encoded.

    It contains the bucket even for a custom domain. Source: Alibaba OSS, "Include a V1 signature in the
    Authorization header", CanonicalizedResource.
    """
    return f"/{address.bucket}/{address.key or ''}"


def bucket_path(address: Address) -> str:
    """Return the path that OSS4 signs: ``/bucket/encoded-key`` in every addressing.

    Source: Alibaba OSS, "Include a V4 signature in the Authorization header", Canonical URI.
    """
    return f"/{address.bucket}/{encode_key(address.key or '')}"


def sent_path(address: Address) -> str:
    """Return the path that AWS4 signs: the path as sent, never normalised.

    Source: Amazon S3, "Signature Calculations for the Authorization Header", Canonical URI.
    """
    return address.path


def is_ip_address(host: str) -> bool:
    """Return whether *host*, without brackets and port, is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def _parts_of(endpoint: str) -> tuple[str, str, str]:
    """Return the scheme, the host with its port unless it is the default port, and the prefix of all paths."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is None or parts.port == DEFAULT_PORTS.get(parts.scheme):
        return parts.scheme, host, parts.path
    return parts.scheme, f"{host}:{parts.port}", parts.path
