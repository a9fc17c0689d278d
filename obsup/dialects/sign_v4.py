"""The HMAC-SHA256 signatures of AWS4 and OSS4: one algorithm with different data."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache

from obsup.dialects.dialect import Address, Signable
from obsup.dialects.encoding import basic_date, canonical_query, http_date, lower_headers, secret_bytes
from obsup.errors import NextStep, WrongUsage
from obsup.model import Credentials
from obsup.value import Value

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
MAX_PRESIGNED_S = 7 * 24 * 3600

# Proxies and load balancers change or remove these headers, which would invalidate a signature.
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
    """The names of the query parameters of a presigned URL."""

    algorithm: str
    credential: str
    date: str
    expires: str
    headers: str
    token: str
    signature: str


class SignatureV4(Value):
    """One vendor's HMAC-SHA256 signature with a scope of day, region and service.

    ``path`` returns the signed path. ``date_header`` is ``Date`` or ``{prefix}date``. ``signed_headers_field`` is the
    field of Authorization that lists the signed headers. Without ``implied``, all headers except ``unsigned`` are
    signed and listed. With it, ``{prefix}*``, ``implied`` and ``additional`` headers are signed, and only the
    additional ones are listed. ``collapses_spaces``: several spaces in a header value are signed as one.
    ``service_of_region``: pairs of a region prefix and the service that such regions sign for.
    ``default_region`` is used if no region is given; if it is empty, a region is required.
    """

    algorithm: str
    key_prefix: str
    terminator: str
    service: str
    prefix: str
    path: Callable[[Address], str]
    date_header: str
    signed_headers_field: str
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

        A ``{prefix}content-sha256`` in *request* is kept and signed; without it, the payload is not signed. A date or a
        token in *request* is replaced. Raises WrongUsage without a region.
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
            fields.append(f"{self.signed_headers_field}={listed}")
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
        """Return the complete query of a URL that needs no Authorization for *expires_s* seconds from *now*.

        The headers of *request* are signed, too: a request with the URL must send the same. Raises WrongUsage for more
        than seven days, and without a region. Source: Amazon S3, "Authenticating Requests: Using Query
        Parameters"; Alibaba OSS, "Include a V4 signature in a URL".
        """
        if not 0 < expires_s <= MAX_PRESIGNED_S:
            raise WrongUsage(
                f"a presigned URL cannot be valid for {expires_s} s",
                f"{self.algorithm} allows 1 s to {MAX_PRESIGNED_S} s (7 days)",
                NextStep("use a shorter time"),
            )
        moment = basic_date(now)
        scope = self._scope(moment, region)
        names, headers = self.query_names, lower_headers(request.headers)
        listed = self._listed(self._signable(request, headers))
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
        signature = self._signature(canonical, credentials, moment=moment, scope=scope)
        return (*query, (names.signature, signature))

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
        key = _signing_key(secret_bytes(credentials, self.key_prefix), scope)
        return hmac.digest(key, text.encode(), hashlib.sha256).hex()


@lru_cache(maxsize=8)  # it is the same for all requests of a day
def _signing_key(secret: bytes, scope: str) -> bytes:
    key = secret
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), hashlib.sha256)
    return key
