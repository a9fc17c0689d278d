"""Where requests about a bucket go: where the user said, until the store names another place in its own domain."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec.structs import replace

from obsup.dialects.dialect import Addressing
from obsup.dialects.endpoints import in_region, normalise_endpoint, recognise, same_domain
from obsup.errors import Refusal, WrongUsage
from obsup.value import Value

_REDIRECTS = frozenset({301, 302, 307, 308})
# A signature for the wrong region. HEAD has no body, so all that AWS says there is 400 and the region.
_WRONG_REGION = frozenset({"AuthorizationHeaderMalformed", "BadRequest"})
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Route:
    """The location of each bucket: the *given* one, or what the store told. Safe to share between threads."""

    def __init__(self, given: Location) -> None:
        self.given = given
        self._learned: dict[str, Location] = {}

    def of(self, bucket: str) -> Location:
        """Return where requests about *bucket* go."""
        return self._learned.get(bucket, self.given)

    def follow(self, bucket: str, used: Location, refusal: Refusal) -> Location | None:
        """Return where *refusal*, which came from *used*, sends us, and remember it; None where it does not."""
        place = elsewhere(refusal, used, bucket, given=self.given)
        if place is not None:
            self._learned[bucket] = place
        return place


def elsewhere(refusal: Refusal, used: Location, bucket: str, *, given: Location) -> Location | None:
    """Return the other location that *refusal* names for *bucket*, or None.

    None too where it names the place we asked already, another scheme, or a host outside the provider's domain,
    seen from the *given* endpoint: a request there would hand our signature to strangers. Sources: OBS API
    reference, "Redirecting a Request"; Amazon S3, "Making requests: redirection"; Alibaba OSS, error
    "AccessDenied" with <Endpoint>.
    """
    is_redirect = refusal.status in _REDIRECTS
    region = refusal.region if _REGION.fullmatch(refusal.region) else ""
    if refusal.location and (is_redirect or refusal.status == 403):
        place = _at(refusal.location, used, bucket, given=given, region=region)
    elif region and (is_redirect or (refusal.status == 400 and refusal.code in _WRONG_REGION)):
        place = replace(used, endpoint=in_region(used.endpoint, region), region=region)
    else:
        return None
    return place if place != used else None


def _at(text: str, used: Location, bucket: str, *, given: Location, region: str) -> Location | None:
    """Return the location at the URL or bare host *text*, or None where it must not be followed."""
    scheme = urlsplit(used.endpoint).scheme
    try:
        parts = urlsplit(text if "://" in text else f"{scheme}://{text}")
        endpoint = normalise_endpoint(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, WrongUsage):
        return None
    if parts.scheme != scheme or not same_domain(given.endpoint, urlsplit(endpoint).netloc):
        return None
    found = recognise(endpoint)
    region = region or found.region or used.region
    if used.addressing == "cname":
        return Location(endpoint, region, "cname")
    if found.provider is not None:
        return Location(found.endpoint, region, "virtual" if found.bucket == bucket else used.addressing)
    host = urlsplit(endpoint).netloc
    if host.startswith(f"{bucket}."):
        return Location(f"{scheme}://{host.removeprefix(f'{bucket}.')}", region, "virtual")
    return Location(endpoint, region, used.addressing)


class Location(Value):
    """Where the store lives: endpoint, region for signatures that need one, and the addressing style."""

    endpoint: str
    region: str
    addressing: Addressing
