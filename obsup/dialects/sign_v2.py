"""The HMAC-SHA1 signatures of OBS, AWS2 and OSS1: one algorithm with different data."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from obsup.dialects.dialect import Address, Signable
from obsup.dialects.encoding import http_date, lower_headers, secret_bytes
from obsup.model import Credentials
from obsup.value import Value

SHARED_SUB_RESOURCES = frozenset(
    {
        "acl",
        "delete",
        "location",
        "partNumber",
        "policy",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "tagging",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
    }
)
"""The query parameters that every vendor signs, because they select what a request is about."""


class SignatureV2(Value):
    """One vendor's HMAC-SHA1 signature.

    ``auth_scheme`` is the first word of Authorization. All headers that begin with ``prefix`` are signed, and the query
    parameters ``sub_resources``; with ``signs_prefixed_query`` also those that begin with ``prefix``.
    ``resource`` returns the signed path.
    ``own_date_replaces_date``: the Date line is empty if ``{prefix}date`` is sent; otherwise it contains its value.
    ``bare_when_empty``: a parameter with an empty value is signed without ``=``.
    ``access_key_parameter`` and ``token_parameter`` are names in the query of a presigned URL; with
    ``token_is_header`` the token is signed there as a header.
    """

    auth_scheme: str
    prefix: str
    sub_resources: frozenset[str]
    resource: Callable[[Address], str]
    access_key_parameter: str
    token_parameter: str
    own_date_replaces_date: bool = True
    bare_when_empty: bool = False
    signs_prefixed_query: bool = False
    token_is_header: bool = False

    def sign(
        self,
        request: Signable,
        credentials: Credentials,
        *,
        region: str,  # noqa: ARG002 - V2 signatures do not contain a region
        now: datetime,
    ) -> dict[str, str]:
        """Return the headers to add to *request*: Date, the token, Authorization.

        A Date or a token in *request* is replaced; ``{prefix}date`` is kept and used.
        Source: OBS API reference, "Authentication of Signature in a Header"; Amazon S3, "Signing and
        Authenticating REST Requests" (V2); Alibaba OSS, "Include a V1 signature in the Authorization header".
        """
        headers = lower_headers(request.headers)
        added = {} if f"{self.prefix}date" in headers else {"Date": http_date(now)}
        if credentials.token:
            added[f"{self.prefix}security-token"] = credentials.token
        headers |= lower_headers(added)
        signature = self._signature(
            self.string_to_sign(request, headers, date=self._date_line(headers)), credentials
        )
        return {**added, "Authorization": f"{self.auth_scheme} {credentials.access_key}:{signature}"}

    def presign(
        self,
        request: Signable,
        credentials: Credentials,
        *,
        region: str,  # noqa: ARG002 - V2 signatures do not contain a region
        now: datetime,
        expires_s: int,
    ) -> tuple[tuple[str, str | None], ...]:
        """Return the complete query of a URL that needs no Authorization for *expires_s* seconds from *now*.

        The headers of *request* are signed, too: a request with the URL must send the same Content-Type, Content-MD5
        and vendor headers. Source: OBS API reference, "Authentication of Signature in a URL".
        """
        deadline = str(int(now.timestamp()) + expires_s)
        headers = lower_headers(request.headers)
        query = request.query
        if credentials.token:
            query = (*query, (self.token_parameter, credentials.token))
            if self.token_is_header:
                headers[self.token_parameter] = credentials.token
        text = self.string_to_sign(
            Signable(request.method, request.address, query, request.headers), headers, date=deadline
        )
        return (
            *query,
            (self.access_key_parameter, credentials.access_key),
            ("Expires", deadline),
            ("Signature", self._signature(text, credentials)),
        )

    def string_to_sign(self, request: Signable, headers: Mapping[str, str], *, date: str) -> str:
        """Return the string to sign of *request* with these lower-case *headers* and this Date line."""
        own = "".join(
            f"{name}:{value}\n" for name, value in sorted(headers.items()) if name.startswith(self.prefix)
        )
        resource = self.resource(request.address) + self._signed_query(request.query)
        return "\n".join(
            (
                request.method,
                headers.get("content-md5", ""),
                headers.get("content-type", ""),
                date,
                own + resource,
            )
        )

    def _date_line(self, headers: Mapping[str, str]) -> str:
        own_date = headers.get(f"{self.prefix}date")
        if own_date is None:
            return headers["date"]
        return "" if self.own_date_replaces_date else own_date

    def _signed_query(self, query: Iterable[tuple[str, str | None]]) -> str:
        signed = sorted((pair for pair in query if self._is_signed(pair[0])), key=lambda pair: pair[0])
        texts = [
            name if value is None or (self.bare_when_empty and not value) else f"{name}={value}"
            for name, value in signed
        ]
        return "?" + "&".join(texts) if texts else ""

    def _is_signed(self, parameter: str) -> bool:
        return parameter in self.sub_resources or (
            self.signs_prefixed_query and parameter.startswith(self.prefix)
        )

    def _signature(self, text: str, credentials: Credentials) -> str:
        return b64encode(hmac.digest(secret_bytes(credentials), text.encode(), hashlib.sha1)).decode()
