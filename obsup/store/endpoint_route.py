"""The location of each bucket: the configured endpoint, until the store redirects within its own domain."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec.structs import replace

from obsup.dialects.dialect import Addressing
from obsup.dialects.endpoints import can_be_virtual, in_region, normalise_endpoint, recognise, same_domain
from obsup.errors import Refusal, WrongUsage
from obsup.value import Value

_REDIRECTS = frozenset({301, 302, 307, 308})
# Codes for a signature with the wrong region. HEAD has no body, so AWS returns only 400 and the region.
_WRONG_REGION = frozenset({"AuthorizationHeaderMalformed", "BadRequest", "InvalidRegion"})
# Codes for a bucket in the path where it must be in the host name: Alibaba OSS and Tencent COS, "Error codes"; OBS.
_VIRTUAL_ONLY = frozenset(
    {"SecondLevelDomainForbidden", "PathStyleDomainForbidden", "VirtualHostDomainRequired"}
)
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Location(Value):
    """Where requests go: the endpoint, the region for signatures that need one, and the addressing style."""

    endpoint: str
    region: str
    addressing: Addressing


class Route:
    """The location of each bucket: *configured*, or learned from a redirect. Safe to share between threads."""

    def __init__(self, configured: Location) -> None:
        self.configured = configured
        self._learned: dict[str, Location] = {}

    def location_of(self, bucket: str) -> Location:
        """Return where requests about *bucket* go."""
        return self._learned.get(bucket, self.configured)

    def follow(self, bucket: str, used: Location, refusal: Refusal) -> Location | None:
        """Return and remember where *refusal*, a response from *used*, redirects to; None if nowhere."""
        location = redirect_target(refusal, used, bucket, configured=self.configured)
        if location is not None:
            self._learned[bucket] = location
        return location


def redirect_target(
    refusal: Refusal, used: Location, bucket: str, *, configured: Location
) -> Location | None:
    """Return the other location that *refusal* names for *bucket*, or None.

    None also if it is the location *used*, if the scheme differs, or if the host is outside of the provider's domain
    as seen from *configured*: a request to it would disclose the signature. A store that rejects the bucket in the path
    gets it in the host name. Sources: OBS API reference, "Redirecting a
    Request"; Amazon S3, "Making requests: redirection"; Alibaba OSS, error "AccessDenied" with <Endpoint>.
    """
    is_redirect = refusal.status in _REDIRECTS
    region = refusal.region if _REGION.fullmatch(refusal.region) else ""
    if refusal.location and (is_redirect or refusal.status == 403):
        location = _at(refusal.location, used, bucket, configured=configured, region=region)
    elif region and (is_redirect or (refusal.status == 400 and refusal.code in _WRONG_REGION)):
        location = replace(used, endpoint=in_region(used.endpoint, region), region=region)
    elif (
        refusal.code in _VIRTUAL_ONLY and used.addressing == "path" and can_be_virtual(used.endpoint, bucket)
    ):
        location = replace(used, addressing="virtual")
    else:
        return None
    return location if location != used else None


def _at(text: str, used: Location, bucket: str, *, configured: Location, region: str) -> Location | None:
    """Return the location at *text*, a URL or a host, or None if it must not be followed."""
    scheme = urlsplit(used.endpoint).scheme
    try:
        parts = urlsplit(text if "://" in text else f"{scheme}://{text}")
        endpoint = normalise_endpoint(f"{parts.scheme}://{parts.netloc}{urlsplit(used.endpoint).path}")
    except (ValueError, WrongUsage):
        return None
    if parts.scheme != scheme or not same_domain(configured.endpoint, urlsplit(endpoint).netloc):
        return None
    known = recognise(endpoint)
    region = region or known.region or used.region
    if used.addressing == "cname":
        return Location(endpoint, region, "cname")
    if known.provider is not None:
        return Location(known.endpoint, region, "virtual" if known.bucket == bucket else used.addressing)
    host = urlsplit(endpoint).netloc
    if host.startswith(f"{bucket}."):
        return Location(endpoint.replace(f"//{bucket}.", "//", 1), region, "virtual")
    return Location(endpoint, region, used.addressing)
