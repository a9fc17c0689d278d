"""The signature of a request: access key, algorithm, time and signed parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from obsup.sandbox.refusals import Refused
from obsup.sandbox.vendors import AWS, AWS4, OBS, OSS, OSS4
from obsup.sandbox.wire.request import Request

ISO_BASIC = "%Y%m%dT%H%M%SZ"

PREFIXES = {OBS: "x-obs-", AWS: "x-amz-", OSS: "x-oss-", AWS4: "x-amz-", OSS4: "x-oss-"}
"""The prefix of the vendor's headers, by dialect."""
_SCHEMES = {"OBS": OBS, "AWS": AWS, "OSS": OSS}
_SCHEMES_V4 = {"AWS4-HMAC-SHA256": AWS4, "OSS4-HMAC-SHA256": OSS4}


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature and what it covers."""

    dialect: str
    access_key: str
    signature: str
    presigned: bool = False
    scope: tuple[str, ...] = ()
    """V4 only: (yyyymmdd, region, service, terminator)."""
    signed_headers: tuple[str, ...] = ()
    """AWS4: SignedHeaders; OSS4: AdditionalHeaders. Lower-case."""
    timestamp: str = ""
    """The date as it enters the string to sign (V2: the Date line, may be empty)."""
    expires: int | None = None
    """Presigned: epoch seconds (V2, OSS V1) or seconds after the timestamp (V4)."""
    token: str = ""


def read_claim(request: Request) -> Claim | None:
    """Return the claim of *request*, from its Authorization header or its query; None if unsigned.

    Raises Refused: 400 "Unsupported Authorization Type", or a malformed header.
    """
    authorization = request.header("authorization")
    if authorization:
        return _from_header(request, authorization)
    return _from_query(request)


def timestamp_of(claim: Claim) -> float:
    """Return the claim's timestamp as epoch seconds. Raises Refused (403 AccessDenied) if it is missing."""
    text = claim.timestamp
    try:
        if text.endswith("Z") and "T" in text:
            return datetime.strptime(text, ISO_BASIC).replace(tzinfo=UTC).timestamp()
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError) as exc:
        message = f"A valid Date or {claim.dialect} date header is required, not {text!r}."
        raise Refused(403, "AccessDenied", message) from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _from_header(request: Request, authorization: str) -> Claim:
    scheme, _, rest = authorization.partition(" ")
    if scheme in _SCHEMES_V4:
        return _v4_from_header(request, _SCHEMES_V4[scheme], rest)
    access_key, colon, signature = rest.strip().rpartition(":")
    if scheme not in _SCHEMES:
        raise Refused(400, "InvalidArgument", "Unsupported Authorization Type")
    if not colon:
        raise Refused(400, "InvalidArgument", f"Authorization header is invalid: {scheme} AK:Signature")
    dialect = _SCHEMES[scheme]
    prefix = PREFIXES[dialect]
    return Claim(
        dialect=dialect,
        access_key=access_key,
        signature=signature,
        timestamp=request.header(prefix + "date") or request.header("date"),
        token=request.header(prefix + "security-token"),
    )


def _v4_from_header(request: Request, dialect: str, text: str) -> Claim:
    fields = {}
    for field in text.split(","):
        name, _, value = field.strip().partition("=")
        fields[name] = value
    prefix = PREFIXES[dialect]
    listed = fields.get("SignedHeaders" if dialect == AWS4 else "AdditionalHeaders", "")
    access_key, scope = _split_credential(fields.get("Credential", ""), dialect)
    if "Signature" not in fields or (dialect == AWS4 and not listed):
        raise Refused(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
    return Claim(
        dialect=dialect,
        access_key=access_key,
        signature=fields["Signature"],
        scope=scope,
        signed_headers=tuple(listed.split(";")) if listed else (),
        timestamp=request.header(prefix + "date") or request.header("date"),
        token=request.header(prefix + "security-token"),
    )


def _split_credential(credential: str, dialect: str) -> tuple[str, tuple[str, ...]]:
    parts = credential.rsplit("/", 4)
    terminator = "aws4_request" if dialect == AWS4 else "aliyun_v4_request"
    if len(parts) != 5 or parts[4] != terminator:
        message = f"The Credential must be AK/yyyymmdd/region/service/{terminator}, not {credential!r}."
        raise Refused(400, "AuthorizationHeaderMalformed", message)
    return parts[0], tuple(parts[1:])


def _from_query(request: Request) -> Claim | None:
    if request.has_param("X-Amz-Signature"):
        return _v4_from_query(request, AWS4, "X-Amz-", "X-Amz-SignedHeaders")
    if request.has_param("x-oss-signature"):
        return _v4_from_query(request, OSS4, "x-oss-", "x-oss-additional-headers")
    if not request.has_param("Signature"):
        return None
    names = {"AccessKeyId": OBS, "AWSAccessKeyId": AWS, "OSSAccessKeyId": OSS}
    for name, dialect in names.items():
        if request.has_param(name):
            return _v2_from_query(request, dialect, request.param(name))
    return None


def _v2_from_query(request: Request, dialect: str, access_key: str) -> Claim:
    token = {OBS: "x-obs-security-token", AWS: "x-amz-security-token", OSS: "security-token"}[dialect]
    return Claim(
        dialect=dialect,
        access_key=access_key,
        signature=request.param("Signature"),
        presigned=True,
        timestamp=request.param("Expires"),
        expires=_seconds(request, "Expires"),
        token=request.param(token) or request.header(token),
    )


def _v4_from_query(request: Request, dialect: str, prefix: str, listed_in: str) -> Claim:
    names = ("credential", "signature", "date", "expires")
    credential, signature, date, expires = (
        prefix + (name.title() if dialect == AWS4 else name) for name in names
    )
    access_key, scope = _split_credential(request.param(credential), dialect)
    listed = request.param(listed_in)
    token = request.param("X-Amz-Security-Token") or request.param("x-amz-security-token")
    if dialect == OSS4:
        token = request.param("x-oss-security-token")
    return Claim(
        dialect=dialect,
        access_key=access_key,
        signature=request.param(signature),
        presigned=True,
        scope=scope,
        signed_headers=tuple(listed.split(";")) if listed else (),
        timestamp=request.param(date),
        expires=_seconds(request, expires),
        token=token,
    )


def _seconds(request: Request, name: str) -> int:
    text = request.param(name)
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Refused(403, "AccessDenied", f"Invalid {name}: {text!r} is not a number of seconds.")
    return int(text)
