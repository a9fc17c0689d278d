"""The HMAC-SHA256 signatures: AWS Signature Version 4 and OSS V4.

Sources: Amazon S3, "Signature Calculations for the Authorization Header"; Alibaba OSS, "Signature version 4".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import quote

from obsup.sandbox.signatures.claim import ISO_BASIC, Claim, timestamp_of
from obsup.sandbox.vendors import AWS4, OSS4
from obsup.sandbox.wire.request import Request, decode

_ALGORITHM = {AWS4: "AWS4-HMAC-SHA256", OSS4: "OSS4-HMAC-SHA256"}
_KEY_PREFIX = {AWS4: "AWS4", OSS4: "aliyun_v4"}
_SIGNATURE_PARAM = {AWS4: "X-Amz-Signature", OSS4: "x-oss-signature"}
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


def canonical_request(request: Request, claim: Claim) -> str:
    """Return the canonical request of either V4 dialect."""
    parts = _aws4_parts(request, claim) if claim.dialect == AWS4 else _oss4_parts(request, claim)
    return "\n".join((request.method, *parts))


def string_to_sign(canonical: str, claim: Claim) -> str:
    """Return the string to sign: algorithm, timestamp, scope, hash of the canonical request."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    # A client may send only Date (RFC 1123); the string to sign uses ISO 8601 in any case.
    moment = datetime.fromtimestamp(timestamp_of(claim), UTC).strftime(ISO_BASIC)
    return "\n".join((_ALGORITHM[claim.dialect], moment, "/".join(claim.scope), digest))


def sign(text: str, secret_key: str, claim: Claim) -> str:
    """Return the hex HMAC-SHA256 of *text* under the key derived for the claim's scope."""
    key = (_KEY_PREFIX[claim.dialect] + secret_key).encode()
    for element in claim.scope:
        key = hmac.new(key, element.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def payload_hash(request: Request, claim: Claim) -> str:
    """Return the payload hash that the client signed."""
    if claim.dialect == OSS4:
        return UNSIGNED_PAYLOAD
    sent = request.header("x-amz-content-sha256")
    return sent or UNSIGNED_PAYLOAD


def _aws4_parts(request: Request, claim: Claim) -> tuple[str, ...]:
    lines = "".join(f"{name}:{_collapse(request.header(name))}\n" for name in claim.signed_headers)
    return (
        _encode_path(decode(request.path)) or "/",
        _canonical_query(request, claim, bare_when_empty=False),
        lines,
        ";".join(claim.signed_headers),
        payload_hash(request, claim),
    )


def _oss4_parts(request: Request, claim: Claim) -> tuple[str, ...]:
    signed = {
        name
        for name, _ in request.headers
        if name.startswith("x-oss-") or name in ("content-type", "content-md5")
    }
    signed.update(name for name in claim.signed_headers if request.has_header(name))
    lines = "".join(f"{name}:{request.header(name)}\n" for name in sorted(signed))
    resource = f"/{request.bucket}/{request.key}" if request.bucket else "/"
    return (
        _encode_path(resource),
        _canonical_query(request, claim, bare_when_empty=True),
        lines,
        ";".join(sorted(claim.signed_headers)),
        payload_hash(request, claim),
    )


def _canonical_query(request: Request, claim: Claim, *, bare_when_empty: bool) -> str:
    pairs = sorted(
        (quote(name, safe="~"), quote(value or "", safe="~"))
        for name, value in request.query
        if name != _SIGNATURE_PARAM[claim.dialect]
    )
    if bare_when_empty:
        return "&".join(f"{name}={value}" if value else name for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _encode_path(path: str) -> str:
    return quote(path, safe="/~")


def _collapse(value: str) -> str:
    return re.sub(r"[ \t]+", " ", value.strip())
