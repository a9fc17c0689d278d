"""What the store, or a proxy in front of it, returns."""

from __future__ import annotations

from typing import Any

from tests.support.next_lines import Case

_TABLE = "store/answers/failure_table"
_PROTECTION = "store/answers/protection_failure_table"
_KEY = "head -c 32 /dev/urandom > k1; chmod 600 k1"
_PARTS = "obsup upload bigfile bucket/key --parts 2 -j 1"
_PART = "op=part,times=always"


def _fault(match: str, code: int, answer: str, site: str = _TABLE, **more: Any) -> Case:
    """Return the case of an error of the store that is gone when "Next:" is run."""
    fields = {"before": f"fault error={answer},{_PART}", "command": _PARTS, **more}
    return Case(f"{site}: {match}", code, **fields)


def _answer(match: str, code: int, answer: str, operation: str = "part", **more: Any) -> Case:
    """Return the case of a response that only its message, or the lack of one, tells apart."""
    command = _PARTS if operation == "part" else "obsup uploads bucket"
    fields = {"before": f"answer {operation} {answer}", "command": command, "fix": "direct", **more}
    return Case(f"{_TABLE}: {match}", code, **fields)


CASES = (
    _answer("UnsupportedAlgorithm", 78, "400 UnsupportedAlgorithm -", "uploads"),
    _fault("AuthorizationHeaderMalformed", 78, "400:InvalidRegion", fix="export OBSUP_REGION=here"),
    _fault("VirtualHostDomainRequired", 78, "403:VirtualHostDomainRequired"),
    _fault("RequestTimeTooSkewed", 77, "403:RequestTimeTooSkewed"),
    _fault("ExpiredToken", 77, "400:ExpiredToken"),
    _fault("InvalidAccessKeyId", 77, "403:InvalidAccessKeyId"),
    _fault("SignatureDoesNotMatch", 77, "403:SignatureDoesNotMatch"),
    _fault("401", 77, "401:Unauthorized"),
    _fault("SlowDown", 75, "503:SlowDown"),
    _fault("429", 75, "429:Whatever"),
    _fault("RequestTimeout", 75, "400:RequestTimeout"),
    _fault("InternalError", 75, "500:InternalError"),
    _fault("BadDigest", 65, "400:BadDigest"),
    _fault("NoSuchBucket", 69, "404:NoSuchBucket"),
    _fault("InArrearOrInsufficientBalance", 69, "403:AllAccessDisabled"),
    _fault("403", 77, "403:AccessDenied"),
    _fault("405", 69, "501:NotImplemented"),
    _fault("505", 69, "505:Whatever"),
    _fault("5xx", 75, "520:Whatever"),
    _fault("KeyDisabled", 69, "409:PartAlreadyExist"),
    _fault(
        "FileImmutable",
        69,
        "409:FileImmutable",
        site=_PROTECTION,
    ),
    _fault("409", 75, "409:Whatever"),
    _fault("301", 78, "307:TemporaryRedirect"),
    _fault("everything else", 69, "400:Whatever"),
    _fault("InvalidPart", 65, "", before="fault error=400:InvalidPart,op=complete,times=always"),
    _fault("EntityTooSmall", 65, "", before="fault error=400:EntityTooSmall,op=complete,times=always"),
    _fault(
        "NoSuchUpload",
        69,
        "",
        before=f"obsup init bigfile bucket/key --parts 2; fault error=404:NoSuchUpload,{_PART}",
    ),
    _fault("412", 69, "412:PreconditionFailed", site=_PROTECTION),
    _fault(
        "412 if-none-match",
        69,
        "",
        site=_PROTECTION,
        before="fault error=412:Whatever,op=put,times=always",
        command="obsup upload bigfile s3://bucket/key --no-overwrite",
    ),
    _fault(
        "FileAlreadyExists",
        69,
        "",
        site=_PROTECTION,
        before="fault error=409:FileAlreadyExists,op=put,times=always",
        command="obsup upload bigfile oss://bucket/key --no-overwrite --region here",
    ),
    _fault(
        "SecondLevelDomainForbidden",
        78,
        "",
        before=f"export OBSUP_ENDPOINT=http://localhost:$PORT; fault error=403:SecondLevelDomainForbidden,{_PART}",
    ),
    _answer(
        "unsupported authorization type", 78, "400 InvalidRequest Unsupported Authorization Type", "uploads"
    ),
    _answer("InvalidArgument without_message", 78, "400 InvalidArgument -", "uploads"),
    Case(
        f"{_TABLE}: _next_step",
        78,
        before="answer part 400 InvalidArgument -",
        command="obsup upload bigfile s3://bucket/key --parts 1",
        fix="direct",
    ),
    _answer(
        "difference between the request time and",
        77,
        "400 AccessDenied The difference between the request time and the server's time exceeds the maximum allowed",
    ),
    _answer("signing region", 78, "400 InvalidRequest The signing region is wrong"),
    _answer("request body was too small", 75, "400 InvalidRequest The request body was too small"),
    _answer(
        "content-md5 or x-amz-checksum- http header is required",
        69,
        "",
        before="answer put 400 InvalidRequest Content-MD5 HTTP header is required",
        command="obsup upload bigfile bucket/key",
    ),
    Case(
        f"{_TABLE}: part number must be an integer between",
        69,
        before="truncate -s 600K bigfile",
        command="obsup upload bigfile bucket/key --part-size 100K",
        max_parts=4,
    ),
    _answer(
        "parts must have the same length",
        69,
        "400 InvalidPart All non-trailing parts must have the same length",
    ),
    Case(
        f"{_PROTECTION}: bucket is missing object lock configuration",
        69,
        command="obsup upload bigfile s3://bucket/key --legal-hold",
    ),
    Case(
        f"{_PROTECTION}: InvalidRequest -object-lock- without_message",
        69,
        before="answer put 400 InvalidRequest -",
        command="obsup upload bigfile s3://bucket/key --retention governance --retain-until 30d",
        fix="direct",
    ),
    Case(
        f"{_PROTECTION}: requires http header x-amz-server-side-encryption-aws-kms-key-id",
        69,
        before="answer initiate 400 InvalidArgument Server Side Encryption with KMS managed key requires HTTP header "
        "x-amz-server-side-encryption-aws-kms-key-id",
        command="obsup upload bigfile s3://bucket/key --sse kms",
        fill=("KEY", "key-1"),
        fix="direct",
    ),
    Case(
        f"{_PROTECTION}: correct parameters must be provided to retrieve 400",
        69,
        before=f"{_KEY}; obsup upload bigfile bucket/key --sse-c-key-file k1",
        command="obsup verify bigfile bucket/key",
        fill=("bucket/key", "bucket/key --sse-c-key-file k1 --download"),
    ),
    Case(
        f"{_TABLE}: 403 -customer-key",
        77,
        before=f"{_KEY}; obsup upload bigfile bucket/key --sse-c-key-file k1; cp k1 k2; head -c 32 /dev/urandom > k1",
        command="obsup verify bigfile bucket/key --sse-c-key-file k1 --download",
        fill=("k1", "k2"),
    ),
    Case(
        f"{_PROTECTION}: by object lock",
        69,
        before="fault object-lock=9999; obsup upload bigfile s3://bucket/key; truncate -s 10 bigfile",
        command="obsup upload bigfile s3://bucket/key",
        fix="clear; rm $STORE/bucket/key",
    ),
    _answer("403 is_page", 78, "403 - <html>Forbidden</html>"),
)
