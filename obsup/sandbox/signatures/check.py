"""Check a request's signature, age and integrity."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from obsup.sandbox.refusals import Refused
from obsup.sandbox.signatures import v2, v4
from obsup.sandbox.signatures.claim import Claim, timestamp_of
from obsup.sandbox.vendors import AWS4, OSS, OSS4
from obsup.sandbox.wire.request import Request

_MAX_PRESIGNED_V4_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Account:
    """The accepted credentials. With *token*, only requests that contain it."""

    access_key: str
    secret_key: str
    token: str | None = None


def check_signature(request: Request, claim: Claim, account: Account, *, now: float, skew_s: float) -> None:
    """Accept the request, or raise Refused as the vendors do.

    *now* is the server's clock in epoch seconds; *skew_s* the allowed difference of the client's clock (900 s for all
    three). Codes: InvalidAccessKeyId, RequestTimeTooSkewed, AccessDenied (expired, unsigned headers, no
    date), AuthorizationHeaderMalformed, SignatureDoesNotMatch.
    """
    if not hmac.compare_digest(claim.access_key.encode(), account.access_key.encode()):
        message = "The AWS Access Key Id you provided does not exist in our records."
        if claim.dialect in (OSS, OSS4):
            message = "The OSS Access Key Id you provided does not exist in our records."
        raise Refused(403, "InvalidAccessKeyId", message, details={"AWSAccessKeyId": claim.access_key})
    _check_time(claim, now=now, skew_s=skew_s)
    if claim.dialect in (AWS4, OSS4):
        _check_v4(request, claim, account)
    else:
        texts = v2.strings_to_sign(request, claim)
        _check_any(claim, [v2.sign(text, account.secret_key) for text in texts], texts[0])


def _check_v4(request: Request, claim: Claim, account: Account) -> None:
    if claim.dialect == AWS4:
        _check_signed_headers(request, claim)
    elif not claim.presigned and request.header("x-oss-content-sha256") != v4.UNSIGNED_PAYLOAD:
        message = "x-oss-content-sha256 must be UNSIGNED-PAYLOAD."
        raise Refused(400, "InvalidArgument", message)
    canonical = v4.canonical_request(request, claim)
    text = v4.string_to_sign(canonical, claim)
    _check_any(claim, [v4.sign(text, account.secret_key, claim)], text, canonical=canonical)


def _check_signed_headers(request: Request, claim: Claim) -> None:
    """Reject unsigned host or x-amz- headers, as AWS does."""
    must = {name for name, _ in request.headers if name.startswith("x-amz-")} | {"host"}
    unsigned = sorted(must - set(claim.signed_headers))
    if unsigned:
        raise Refused(
            403,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            details={"HeadersNotSigned": ", ".join(unsigned)},
        )
    if not claim.presigned and not request.has_header("x-amz-content-sha256"):
        message = "Missing required header for this request: x-amz-content-sha256"
        raise Refused(400, "InvalidRequest", message)


def _check_any(claim: Claim, signatures: Sequence[str], text: str, *, canonical: str | None = None) -> None:
    if any(hmac.compare_digest(claim.signature.encode(), signature.encode()) for signature in signatures):
        return
    details = {
        "AWSAccessKeyId" if claim.dialect not in (OSS, OSS4) else "OSSAccessKeyId": claim.access_key,
        "StringToSign": text,
        "SignatureProvided": claim.signature,
    }
    if canonical is not None:
        details["CanonicalRequest"] = canonical
    raise Refused(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        details=details,
    )


def _check_time(claim: Claim, *, now: float, skew_s: float) -> None:
    if claim.presigned:
        _check_expiry(claim, now=now, skew_s=skew_s)
        return
    signed_at = timestamp_of(claim)
    if abs(signed_at - now) > skew_s:
        raise _too_skewed(claim, now=now)
    if claim.scope and claim.scope[0] != datetime.fromtimestamp(signed_at, UTC).strftime("%Y%m%d"):
        message = f"The credential's date {claim.scope[0]} is not the day of {claim.timestamp}."
        raise Refused(400, "AuthorizationHeaderMalformed", message)


def _check_expiry(claim: Claim, *, now: float, skew_s: float) -> None:
    expires = claim.expires or 0
    if claim.dialect in (AWS4, OSS4):
        if not 1 <= expires <= _MAX_PRESIGNED_V4_S:
            message = f"The expiry must be 1 to {_MAX_PRESIGNED_V4_S} s, not {expires}."
            raise Refused(400, "AuthorizationQueryParametersError", message)
        signed_at = timestamp_of(claim)
        if signed_at - now > skew_s:
            raise _too_skewed(claim, now=now)
        expires += int(signed_at)
    if now > expires:
        details = {"Expires": _iso(expires), "ServerTime": _iso(now)}
        raise Refused(403, "AccessDenied", "Request has expired", details=details)


def _too_skewed(claim: Claim, *, now: float) -> Refused:
    return Refused(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        details={
            "RequestTime": claim.timestamp,
            "ServerTime": _iso(now),
            "MaxAllowedSkewMilliseconds": "900000",
        },
    )


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
