"""The HMAC-SHA1 signatures: OBS, AWS V2 and OSS V1, which differ in prefix, key and date line.

Sources: OBS API reference, "Authentication in a Header"; Amazon S3, "Signing and Authenticating REST
Requests" (signature version 2); Alibaba OSS, "Include signatures in the Authorization header".
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from obsup.sandbox.signatures.claim import PREFIXES, Claim
from obsup.sandbox.vendors import OSS
from obsup.sandbox.wire.request import CUSTOM_DOMAIN, PATH_STYLE, VIRTUAL, Request, host_name

_RESPONSE = {
    f"response-{name}"
    for name in (
        "content-type",
        "content-language",
        "expires",
        "cache-control",
        "content-disposition",
        "content-encoding",
    )
}
_OBS_AND_AWS = _RESPONSE | set(
    """acl backtosource policy torrent logging location storageinfo quota storageclass storagepolicy
    requestpayment versions versioning versionid uploads uploadid partnumber website notification lifecycle
    deletebucket delete cors restore tagging replication metadata encryption publicaccessblock bucketstatus
    policystatus inventory obscompresspolicy object-lock retention legal-hold directcoldaccess append position truncate
    modify rename length name accelerate defaultobjectacl analytics metrics select select-type""".split()  # noqa: SIM905 - a table of names reads better as text
)
_OSS = _RESPONSE | set(
    """acl uploads uploadId partNumber group link delete website location objectInfo objectMeta lifecycle
    restore qos referer stat bucketInfo append position security-token live comp status vod startTime endTime
    x-oss-process symlink callback callback-var tagging encryption versions versioning versionId policy
    requestPayment x-oss-traffic-limit qosInfo asyncFetch x-oss-request-payer sequential inventory
    inventoryId continuation-token worm wormId wormExtend cors logging cname replication
    replicationLocation replicationProgress transferAcceleration metaQuery resourceGroup style styleName
    x-oss-async-process regionList cloudboxes bucketArchiveDirectRead""".split()  # noqa: SIM905 - a table of names reads better as text
)
_QUERY_AUTH = {"Signature", "Expires", "AccessKeyId", "AWSAccessKeyId", "OSSAccessKeyId"}


def strings_to_sign(request: Request, claim: Claim) -> list[str]:
    """Return the strings that a correct client may have signed, the documented one first.

    There is more than one where clients disagree: for ``/bucket?…`` in path style, whether the resource ends in a
    slash; for ``?uploads=``, whether the ``=`` is signed (Ceph and MinIO: not, so neither does rclone).
    """
    prefix = PREFIXES[claim.dialect]
    head = "\n".join(
        (
            request.method,
            request.header("content-md5"),
            request.header("content-type"),
            _date_line(request, claim, prefix),
            "",
        )
    )
    names = sorted({name for name, _ in request.headers if name.startswith(prefix)})
    canonical = "".join(f"{name}:{request.header(name)}\n" for name in names)
    queries = [_sub_resources(request, claim, with_equals=with_equals) for with_equals in (True, False)]
    return [
        head + canonical + resource + query for resource in _resources(request, claim) for query in queries
    ]


def sign(text: str, secret_key: str) -> str:
    """Return the base64 of the HMAC-SHA1 of *text*."""
    digest = hmac.new(secret_key.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def _date_line(request: Request, claim: Claim, prefix: str) -> str:
    if claim.presigned:
        return claim.timestamp
    if claim.dialect == OSS:
        return claim.timestamp
    # With x-obs-date (x-amz-date) the date is signed as a header, and the Date line is empty.
    return "" if request.has_header(prefix + "date") else request.header("date")


def _resources(request: Request, claim: Claim) -> list[str]:
    if claim.dialect == OSS:
        # Only OSS V1 signs the key itself, not its percent-encoding.
        return [f"/{request.bucket}/{request.key}" if request.bucket else "/"]
    if request.addressing == CUSTOM_DOMAIN:
        return [f"/{host_name(request.host)}{request.path}"]
    if request.addressing == VIRTUAL:
        return [f"/{request.bucket}{request.path}"]
    if request.addressing == PATH_STYLE and request.bucket and request.path == f"/{request.bucket}":
        return [f"{request.path}/", request.path]
    return [request.path]


def _sub_resources(request: Request, claim: Claim, *, with_equals: bool) -> str:
    signed = []
    for name, value in request.query:
        if name in _QUERY_AUTH or not _is_signed(name, claim.dialect):
            continue
        bare = value is None or (not value and (claim.dialect == OSS or not with_equals))
        signed.append((name, name if bare else f"{name}={value}"))
    return "?" + "&".join(text for _, text in sorted(signed)) if signed else ""


def _is_signed(name: str, dialect: str) -> bool:
    if dialect == OSS:
        return name in _OSS
    return name.lower() in _OBS_AND_AWS or name.lower().startswith(PREFIXES[dialect])
