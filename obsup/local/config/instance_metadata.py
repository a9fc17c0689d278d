"""Get the credentials of a cloud host's role from its metadata service."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import SplitResult, quote, urlsplit

from obsup.dialects.registry import METADATA_SERVICES
from obsup.dialects.vendor import MetadataService
from obsup.errors import BadConfiguration, Denied, run_again
from obsup.local.config.credential_fields import pair_keys, parse_expiry, parse_json_object
from obsup.model import Credentials

# The service is one hop away, so it responds at once. The limit applies to connecting and to reading.
TIMEOUT_S = 2.0
# The services issue new credentials well before this time to the end of the old ones.
RENEW_BEFORE_S = 10 * 60.0
MAX_RESPONSE_BYTES = 64 * 1024
TOKEN_LIFETIME_S = 21600
# Status codes of services that do not have, or do not require, session tokens, as in the vendors' SDKs.
_NO_TOKEN_STATUSES = (403, 404, 405)


def fetch_instance_credentials(
    name: str,
    *,
    base: str | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Credentials:
    """Return the credentials that the metadata service *name* (``obs``, ``aws``, ``oss``) has for this host.

    The URL is *base*, or the value of the service's environment variable, or the cloud's default. Proxies are not
    used; *timeout_s* limits connecting and reading. Raises Denied if the service does not respond or has no
    credentials, BadConfiguration for an invalid URL.
    """
    service = METADATA_SERVICES[name]
    url = base or (environ or {}).get(service.base_variable) or service.base
    host = _Host(url, timeout_s)
    headers = _open_session(host, service)
    path = service.path
    if service.has_roles:
        roles = host.request("GET", path, headers).split()
        if not roles:
            raise host.error("This host has no role")
        path += quote(roles[0], safe="+=,@")
    return _parse_credentials(host.request("GET", path, headers), service, host)


def _open_session(host: _Host, service: MetadataService) -> dict[str, str]:
    headers = dict.fromkeys(service.life_headers, str(TOKEN_LIFETIME_S))
    token = host.request("PUT", service.token_path, headers, accept=_NO_TOKEN_STATUSES).strip()
    if not (token.isascii() and token.isprintable()):
        raise host.error("Its session token is not valid in a header")
    return dict.fromkeys(service.token_headers, token) if token else {}


def _parse_credentials(text: str, service: MetadataService, host: _Host) -> Credentials:
    values: object = parse_json_object(text)
    if service.envelope is not None and isinstance(values, dict):
        values = values.get(service.envelope)
    if not isinstance(values, dict) or values.get("Code", "Success") != "Success":
        raise host.error("Its response contains no credentials")
    expires = parse_expiry(values.get(service.expiry))
    if expires is None:
        raise host.error("Its credentials have no valid time of expiry")
    origin = f"metadata service {host.base}"
    found = pair_keys(values, names=service.names, origin=origin, expires=expires)
    if found is None or found.token is None:
        raise host.error("Its response lacks the key or the token")
    return found


class _Host:
    """The metadata service at one base URL. Each request has its own connection."""

    def __init__(self, base: str, timeout_s: float) -> None:
        self.base = base.rstrip("/")
        parts = _split(self.base)
        if parts is None:
            raise BadConfiguration(
                f"{base.rpartition('@')[2]!r} is not a valid URL of a metadata service",
                "The URL has the form http://HOST[:PORT]",
                run_again("fix the URL"),
            )
        self._address = parts.netloc
        self._timeout_s = timeout_s
        self._prefix = parts.path

    def request(
        self, method: str, path: str, headers: Mapping[str, str], accept: tuple[int, ...] = ()
    ) -> str:
        """Return the body of the response, or "" if its status is one of *accept*. Raises Denied."""
        try:
            with closing(http.client.HTTPConnection(self._address, timeout=self._timeout_s)) as connection:
                connection.request(method, self._prefix + path, headers=dict(headers))
                with connection.getresponse() as response:
                    body = response.read(MAX_RESPONSE_BYTES + 1)
        except (OSError, http.client.HTTPException) as exc:
            why = (exc.strerror or exc) if isinstance(exc, OSError) else type(exc).__name__
            raise self.error(f"It does not respond: {why}") from exc
        if response.status in accept:
            return ""
        if response.status != 200:
            raise self.error(f"It returned {response.status} to {method} {path}")
        if len(body) > MAX_RESPONSE_BYTES:
            raise self.error(f"Its response to {method} {path} is longer than {MAX_RESPONSE_BYTES} bytes")
        return body.decode(errors="replace")

    def error(self, why: str) -> Denied:
        """Return the error to raise."""
        return Denied(
            f"the metadata service at {self.base} returned no credentials",
            why,
            run_again(
                "check that this host has a role (agency) for the bucket, and in a container the hop limit of the "
                "service, or add keys to the profile"
            ),
        )


def _split(base: str) -> SplitResult | None:
    try:
        parts = urlsplit(base)
        parts.port  # noqa: B018
    except ValueError:
        return None
    return parts if parts.scheme == "http" and parts.hostname and "@" not in parts.netloc else None
