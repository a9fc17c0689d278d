"""Ask the metadata service of a cloud host for the credentials of the host's role."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import SplitResult, quote, urlsplit

from obsup.dialects.registry import METADATA_SERVICES
from obsup.dialects.vendor import MetadataService
from obsup.errors import BadConfiguration, Denied, NextStep, run_again
from obsup.local.config.credential_fields import pair_keys, parse_answer, parse_expiry
from obsup.model import Credentials

#: The service is one hop away: it answers at once, or this is no such host. Seconds, to connect and to read.
TIMEOUT_S = 2.0
#: The services make new credentials well before this many seconds to the end of the old.
RENEW_BEFORE_S = 10 * 60.0
ANSWER_LIMIT = 64 * 1024
TOKEN_LIFE_S = 21600
#: What a service says that has no session tokens, or does not insist on them (the vendors' SDKs agree).
_NO_TOKENS = (403, 404, 405)


def ask_metadata(
    name: str,
    *,
    base: str | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Credentials:
    """Return the credentials that the metadata service *name* (``obs``, ``aws``, ``oss``) has for this host.

    The service is asked at *base*, at the service's environment variable, or where the cloud puts it; never
    through a proxy, for *timeout_s* seconds to connect and as many to read. Raises Denied where it does not
    answer or has no credentials.
    """
    service = METADATA_SERVICES[name]
    where = base or (environ or {}).get(service.base_variable) or service.base
    host = _Host(where, timeout_s)
    headers = _open_session(host, service)
    path = service.path
    if service.has_roles:
        roles = host.ask("GET", path, headers).split()
        if not roles:
            raise host.failed("This host has no role.")
        path += quote(roles[0], safe="+=,@")
    return _read_answer(host.ask("GET", path, headers), service, host)


def _open_session(host: _Host, service: MetadataService) -> dict[str, str]:
    life = {service.life_header: str(TOKEN_LIFE_S)}
    token = host.ask("PUT", service.token_path, life, but=_NO_TOKENS).strip()
    if not (token.isascii() and token.isprintable()):
        raise host.failed("Its session token is nothing that fits in a header.")
    return {service.token_header: token} if token else {}


def _read_answer(text: str, service: MetadataService, host: _Host) -> Credentials:
    answer: object = parse_answer(text)
    if service.envelope is not None and isinstance(answer, dict):
        answer = answer.get(service.envelope)
    if not isinstance(answer, dict) or answer.get("Code", "Success") != "Success":
        raise host.failed("It answered, but not with credentials.")
    expires = parse_expiry(answer.get(service.expiry))
    if expires is None:
        raise host.failed("Its credentials do not say when they expire.")
    origin = f"metadata service {host.base}"
    found = pair_keys(answer, names=service.names, origin=origin, expires=expires)
    if found is None or found.token is None:
        raise host.failed("The key or the token is missing in its answer.")
    return found


class _Host:
    """The metadata service at one base URL, one short connection a question."""

    def __init__(self, base: str, timeout_s: float) -> None:
        self.base = base.rstrip("/")
        parts = _split(self.base)
        if parts is None:
            raise BadConfiguration(
                f"invalid address of a metadata service: {base.rpartition('@')[2]!r}",
                "",
                NextStep("use http://HOST[:PORT]"),
            )
        self._address = parts.netloc
        self._timeout_s = timeout_s
        self._prefix = parts.path

    def ask(self, method: str, path: str, headers: Mapping[str, str], but: tuple[int, ...] = ()) -> str:
        """Return the body of the answer, or "" where its status is one of *but*. Raises Denied."""
        try:
            with closing(http.client.HTTPConnection(self._address, timeout=self._timeout_s)) as connection:
                connection.request(method, self._prefix + path, headers=dict(headers))
                with connection.getresponse() as answer:
                    body = answer.read(ANSWER_LIMIT + 1)
        except (OSError, http.client.HTTPException) as exc:
            why = (exc.strerror or exc) if isinstance(exc, OSError) else type(exc).__name__
            raise self.failed(f"It does not answer: {why}.") from exc
        if answer.status in but:
            return ""
        if answer.status != 200:
            raise self.failed(f"{method} {path} was answered with {answer.status}.")
        if len(body) > ANSWER_LIMIT:
            raise self.failed(f"Its answer to {method} {path} is longer than {ANSWER_LIMIT} bytes.")
        return body.decode(errors="replace")

    def failed(self, why: str) -> Denied:
        """Return the error to raise."""
        return Denied(
            f"the metadata service at {self.base} returned no credentials",
            why,
            run_again(
                "check that this host has a role (agency) with access to the bucket, or put keys into the profile"
            ),
        )


def _split(base: str) -> SplitResult | None:
    try:
        parts = urlsplit(base)
        parts.port  # noqa: B018
    except ValueError:
        return None
    return parts if parts.scheme == "http" and parts.hostname and "@" not in parts.netloc else None
