"""The HMAC-SHA256 signatures: AWS4 and OSS4 are one algorithm with different data."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from obsup.dialects.canonical import basic_date, http_date, lower_headers, secret_bytes
from obsup.dialects.dialect import Address, Signable
from obsup.dialects.encoding import canonical_query
from obsup.errors import NextStep, WrongUsage
from obsup.model import Credentials
from obsup.value import Value

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
LONGEST_PRESIGNED_S = 7 * 24 * 3600

# Proxies and front ends rewrite or drop these on the way; a signature over them would not hold.
TRANSIENT_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)


class QueryNames(Value):
    """What a presigned URL calls the fields of its signature."""

    algorithm: str
    credential: str
    date: str
    expires: str
    headers: str
    token: str
    signature: str


class SignatureV4(Value):
    """One vendor's HMAC-SHA256 signature with a scope of day, region and service.

    ``path`` gives the signed path. ``date_header`` is ``Date`` or ``{prefix}date``.
    ``headers_word`` names the list of signed headers in the Authorization. Without ``implied`` all that is
    sent is signed and listed, save ``unsigned``. With it only ``{prefix}*``, ``implied`` and
    ``additional`` headers are signed, and only the additional ones are listed.
    ``service_of_region``: regions with this prefix sign for another service than ``service``.
    ``default_region`` stands in where no region is given; empty: a region must be given.
    """

    algorithm: str
    key_prefix: str
    terminator: str
    service: str
    prefix: str
    path: Callable[[Address], str]
    date_header: str
    headers_word: str
    query_names: QueryNames
    implied: frozenset[str] | None = None
    unsigned: frozenset[str] = TRANSIENT_HEADERS
    additional: frozenset[str] = frozenset()
    bare_when_empty: bool = False
    collapses_spaces: bool = True
    service_of_region: tuple[tuple[str, str], ...] = ()
    default_region: str = ""

    def sign(
        self, request: Signable, credentials: Credentials, *, region: str, now: datetime
    ) -> dict[str, str]:
        """Return the headers to add to *request*: date, token, content hash, Authorization.

        A ``{prefix}content-sha256`` of *request* is kept and signed; without one the payload goes unsigned. A
        date or a token that *request* carries already is replaced. Raises WrongUsage without a region.
        Source: Amazon S3, "Signature Calculations for the Authorization Header"; Alibaba OSS, "Include a V4
        signature in the Authorization header".
        """
        moment = basic_date(now)
        scope = self._scope(moment, region)
        added = {self.date_header: http_date(now) if self.date_header == "Date" else moment}
        if credentials.token:
            added[f"{self.prefix}security-token"] = credentials.token
        headers = lower_headers(request.headers)
        if f"{self.prefix}content-sha256" not in headers:
            added[f"{self.prefix}content-sha256"] = UNSIGNED_PAYLOAD
        headers |= lower_headers(added)
        canonical = self.canonical_request(request, headers)
        listed = self._listed(self._signable(request, headers))
        fields = [f"Credential={credentials.access_key}/{scope}"]
        if listed:
            fields.append(f"{self.headers_word}={listed}")
        fields.append(f"Signature={self._signature(canonical, credentials, moment=moment, scope=scope)}")
        return {**added, "Authorization": f"{self.algorithm} {','.join(fields)}"}

    def presign(
        self,
        request: Signable,
        credentials: Credentials,
        *,
        region: str,
        now: datetime,
        expires_s: int,
    ) -> tuple[tuple[str, str | None], ...]:
        """Return the whole query of a URL that needs no Authorization until *expires_s* seconds after *now*.

        The headers of *request* are signed too: who uses the URL sends the same. Raises WrongUsage for more
        than seven days, and without a region. Source: Amazon S3, "Authenticating Requests: Using Query
        Parameters"; Alibaba OSS, "Include a V4 signature in a URL".
        """
        if not 0 < expires_s <= LONGEST_PRESIGNED_S:
            raise WrongUsage(
                f"a presigned URL cannot be valid for {expires_s} s",
                f"{self.algorithm} allows 1 s to {LONGEST_PRESIGNED_S} s (7 days)",
                NextStep("use a shorter time"),
            )
        moment = basic_date(now)
        scope = self._scope(moment, region)
        headers = lower_headers(request.headers)
        listed = self._listed(self._signable(request, headers))
        names = self.query_names
        fields: list[tuple[str, str | None]] = [
            (names.algorithm, self.algorithm),
            (names.credential, f"{credentials.access_key}/{scope}"),
            (names.date, moment),
            (names.expires, str(expires_s)),
        ]
        if listed:
            fields.append((names.headers, listed))
        if credentials.token:
            fields.append((names.token, credentials.token))
        query = (*request.query, *fields)
        unsigned = Signable(request.method, request.address, query, request.headers)
        canonical = self.canonical_request(unsigned, headers)
        return (
            *query,
            (names.signature, self._signature(canonical, credentials, moment=moment, scope=scope)),
        )

    def canonical_request(self, request: Signable, headers: Mapping[str, str]) -> str:
        """Return the canonical request of *request* with these lower-case *headers*."""
        signed = self._signable(request, headers)
        return "\n".join(
            (
                request.method,
                self.path(request.address),
                canonical_query(request.query, bare_when_empty=self.bare_when_empty),
                "".join(f"{name}:{value}\n" for name, value in signed.items()),
                self._listed(signed),
                headers.get(f"{self.prefix}content-sha256", UNSIGNED_PAYLOAD),
            )
        )

    def _signable(self, request: Signable, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {**headers, "host": request.address.host}
        return {
            name: " ".join(sent[name].split()) if self.collapses_spaces else sent[name]
            for name in sorted(sent)
            if self._is_signed(name)
        }

    def _is_signed(self, name: str) -> bool:
        if self.implied is None:
            return name not in self.unsigned
        return name.startswith(self.prefix) or name in self.implied or name in self.additional

    def _listed(self, signed: Iterable[str]) -> str:
        if self.implied is None:
            return ";".join(signed)
        return ";".join(name for name in signed if name in self.additional)

    def _scope(self, moment: str, region: str) -> str:
        region = region or self.default_region
        if not region:
            raise WrongUsage(
                f"{self.algorithm} signatures need the region of the bucket",
                "It is part of the signature, and the endpoint does not include it",
                NextStep("set the region with --region"),
            )
        services = (service for prefix, service in self.service_of_region if region.startswith(prefix))
        return f"{moment[:8]}/{region}/{next(services, self.service)}/{self.terminator}"

    def _signature(self, canonical: str, credentials: Credentials, *, moment: str, scope: str) -> str:
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join((self.algorithm, moment, scope, hashed))
        key = secret_bytes(credentials, self.key_prefix)
        for step in scope.split("/"):
            key = hmac.digest(key, step.encode(), hashlib.sha256)
        return hmac.digest(key, text.encode(), hashlib.sha256).hex()
