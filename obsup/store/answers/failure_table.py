"""The failure table: what each failure of the store or the network means, and how obsup handles it.

Retries, exit codes, messages, the ``reason`` and ``retryable`` of ``--json`` and the documentation use this table.
The first rule that matches applies. Sources: the error-code tables of OBS, S3 and OSS; the behaviour of their clients.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from obsup.errors import (
    BadConfiguration,
    DataMismatch,
    Denied,
    DigestRequired,
    NetworkError,
    NextStep,
    NotFinished,
    NotPermitted,
    ObsupError,
    Refusal,
    Refused,
    StoreError,
    Throttled,
    Unsupported,
    UploadGone,
    run_again,
)
from obsup.store.answers.failure_rule import Action, FailureRule, rule
from obsup.store.answers.network_failure_table import NETWORK_RULES
from obsup.store.answers.protection_failure_table import PROTECTION_RULES
from obsup.store.answers.server_clock import describe_difference
from obsup.text import printable
from obsup.vendor_names import COMPATIBLE_PROVIDER, DEFAULT_PROVIDER

_FIX_CREDENTIALS = run_again("fix the credentials")
_OTHER_SIGNATURE = run_again(
    "try another --signature, or the provider that most other stores are compatible with",
    add=("--provider", COMPATIBLE_PROVIDER),
    drop=("--signature",),
)
OTHER_PROVIDER = f"if the store is not {DEFAULT_PROVIDER.upper()}, add --provider {COMPATIBLE_PROVIDER}"
_SKEW = "The clocks of this computer and of the store differ by more than the store allows"
_SET_CLOCK = run_again("set the clock")
_BUCKET_REGION = run_again("set --region to the region of the bucket")
_UNKNOWN_SIGNATURE = "The store does not support the signature that was sent"
_WRONG_REGION = "The request was signed for a region that is not the bucket's"
_PART_LIMIT = re.compile(r"between 1 and ([0-9]{1,5})\b")
_CONFLICT = "The store reported a conflict for longer than --retry-for"
_REJECTED = "The store rejected the request permanently"
_FIX_CAUSE = run_again("fix the cause that the store reports")

FAILURE_RULES: tuple[FailureRule, ...] = (
    *NETWORK_RULES,
    # Signature, region and addressing.
    rule(
        Action.FAIL,
        BadConfiguration,
        _UNKNOWN_SIGNATURE,
        _OTHER_SIGNATURE,
        phrases=("unsupported authorization type", "authorization mechanism you have provided"),
    ),
    rule(Action.FAIL, BadConfiguration, _UNKNOWN_SIGNATURE, _OTHER_SIGNATURE, code="UnsupportedAlgorithm"),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The store returned no reason; it may not support the signature, or an object option such as the storage class",
        _OTHER_SIGNATURE,
        code="InvalidArgument",
        without_message=True,
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        _WRONG_REGION,
        _BUCKET_REGION,
        code="AuthorizationHeaderMalformed InvalidRegion",
    ),
    rule(Action.FAIL, BadConfiguration, _WRONG_REGION, _BUCKET_REGION, phrases=("signing region",)),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The store requires the bucket in the host name",
        run_again("set --endpoint to the host name of the store, not its IP address", drop=("--addressing",)),
        code="VirtualHostDomainRequired",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The store requires the bucket in the host name, and rejects it in the path",
        run_again("use virtual-hosted addressing", add=("--addressing", "virtual"), drop=("--addressing",)),
        # Alibaba OSS and Tencent COS, "Error codes".
        code="SecondLevelDomainForbidden PathStyleDomainForbidden",
    ),
    # Clock and credentials.
    rule(Action.SET_CLOCK, Denied, _SKEW, _SET_CLOCK, code="RequestTimeTooSkewed RequestExpired"),
    # rclone, with the code AccessDenied.
    rule(Action.SET_CLOCK, Denied, _SKEW, _SET_CLOCK, phrases=("difference between the request time and",)),
    rule(
        Action.RELOAD_CREDENTIALS,
        Denied,
        "The temporary credentials have expired or are no longer valid",
        _FIX_CREDENTIALS,
        code="ExpiredToken InvalidToken InvalidSecurityToken SecurityTokenExpired TokenRefreshRequired",
    ),
    rule(
        Action.RELOAD_CREDENTIALS,
        Denied,
        "The store does not know this access key",
        _FIX_CREDENTIALS,
        code="InvalidAccessKeyId",
    ),
    rule(
        Action.RELOAD_CREDENTIALS,
        Denied,
        "The secret key does not match the access key, or --signature or --region is wrong for this store",
        run_again("fix the credentials, or let 'obsup doctor' try other signatures"),
        code="SignatureDoesNotMatch",
    ),
    rule(Action.RELOAD_CREDENTIALS, Denied, "The store requires credentials", _FIX_CREDENTIALS, status="401"),
    # Throttling and temporary failures.
    rule(
        Action.SLOW_DOWN,
        Throttled,
        "The store, or a proxy in front of it, requested a lower rate for longer than --retry-for",
        run_again(),
        code="SlowDown TooManyRequests RequestLimitExceeded Throttling ThrottlingException QpsLimitExceeded "
        "UploadTrafficRateLimitExceeded TotalQpsLimitExceeded BandwidthLimitExceeded RequestThrottled "
        # Wasabi, with status 403.
        "RequestRateLimitExceeded",
    ),
    rule(
        Action.SLOW_DOWN,
        Throttled,
        "The store, or a proxy in front of it, was busy for longer than --retry-for",
        run_again(),
        status="429 503 529",
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The store or the network was too slow for longer than --retry-for",
        run_again(),
        code="RequestTimeout OperationAborted ConditionalRequestConflict Conflict IncompleteBody",
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The request body kept being cut off on its way for longer than --retry-for",
        run_again(),
        phrases=("request body was too small", "request body terminated unexpectedly"),
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The store kept failing for longer than --retry-for",
        run_again(),
        code="InternalError InternalFailure ServiceUnavailable ServerBusy",
    ),
    # Damaged data.
    rule(
        Action.ADD_DIGEST,
        DigestRequired,
        "The store requires Content-MD5 with each part, as buckets with a default retention do",
        run_again("send it", add=("--content-md5",), drop=("--presign",)),
        # Amazon S3, "Uploading objects with Object Lock"; MinIO and Ceph, error MissingContentMD5.
        phrases=(
            "content-md5 or x-amz-checksum- http header is required",
            "content-md5 http header is required",
            "missing required header for this request: content-md5",
        ),
    ),
    rule(
        Action.RESEND,
        DataMismatch,
        "The store received other data than was sent: something on the network path changes it",
        run_again("check the network path (proxies, memory)"),
        code="BadDigest XAmzContentSHA256Mismatch InvalidDigest",
    ),
    # Parts that the store does not accept.
    rule(
        Action.FAIL,
        Refused,
        "The store accepts fewer parts per upload than this one has",
        run_again(
            "start over with larger parts",
            add=("--max-parts", "1000", "--restart"),
            drop=("--parts", "--part-size"),
        ),
        phrases=("part number must be an integer between",),
    ),
    rule(
        Action.FAIL,
        Refused,
        "The store requires that all parts but the last have the same size",
        run_again("start over with parts of one size", add=("--part-size", "64M", "--restart")),
        # Cloudflare R2, InvalidPart.
        phrases=("parts must have the same length",),
    ),
    rule(
        Action.REPAIR,
        DataMismatch,
        "The parts in the store differ from the recorded ones",
        run_again(),
        code="InvalidPart InvalidPartOrder",
    ),
    rule(
        Action.ENLARGE,
        DataMismatch,
        "The store accepts no part of this size, except the last one",
        run_again(add=("--restart", "--part-size", "9M")),
        code="EntityTooSmall",
    ),
    # Missing, existing or forbidden things.
    *PROTECTION_RULES,
    rule(
        Action.FAIL,
        Refused,
        "The bucket does not exist at this endpoint",
        run_again("check the name of the bucket and --endpoint, or create the bucket"),
        code="NoSuchBucket",
    ),
    rule(
        Action.FAIL,
        UploadGone,
        "The upload was completed or aborted, or it expired",
        run_again("start over", add=("--restart",)),
        code="NoSuchUpload",
    ),
    # Alibaba OSS, status 409: a key of KMS, a part of an upload with the parameter sequential.
    rule(Action.FAIL, Refused, _REJECTED, _FIX_CAUSE, code="KeyDisabled KeyPendingDeletion PartAlreadyExist"),
    rule(
        Action.FAIL,
        Refused,
        "The account is in arrears or disabled",
        run_again("ask the provider to enable the account"),
        code="InArrearOrInsufficientBalance AllAccessDisabled UserDisable AccountProblem",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The response is a web page: a proxy or a gateway in front of the store rejected the request",
        run_again("check --endpoint and the proxies"),
        status="403",
        is_page=True,
    ),
    rule(
        Action.RELOAD_CREDENTIALS,
        NotPermitted,
        "The credentials lack the permission, the customer key (SSE-C) is another one, or the bucket blocks SSE-C",
        run_again(
            "check --sse-c-key-file (for the source of a copy: --copy-source-sse-c-key-file), or request the permission"
        ),
        status="403",
        sent_header="-customer-key",  # Amazon S3: another key for an object, or BlockedEncryptionTypes
    ),
    rule(
        Action.RELOAD_CREDENTIALS,
        NotPermitted,
        "These credentials do not have the permission for this request",
        run_again("request the permission"),
        status="403",
    ),
    # All other responses, by status. Of 5xx, two say that the server will never do it (RFC 9110); all others, those of
    # proxies (520 to 530) included, may be gone with the next attempt, and so may 408, 421, 425 and 499.
    rule(
        Action.FAIL,
        Unsupported,
        "The store does not support this operation",
        run_again("check --endpoint and --provider; if they are right, use another store"),
        status="405 501",
    ),
    rule(Action.FAIL, Refused, _REJECTED, _FIX_CAUSE, status="505"),
    rule(
        Action.RETRY,
        NotFinished,
        "The store, or a proxy in front of it, kept failing for longer than --retry-for",
        run_again(),
        status="5xx 408 421 425 499",
    ),
    rule(Action.RETRY, NotFinished, _CONFLICT, run_again(), status="409"),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The bucket is at another endpoint",
        run_again("set --endpoint and --region to those of the bucket, if you trust them"),
        status="301 302 303 307 308",
    ),
    rule(Action.FAIL, Refused, _REJECTED, _FIX_CAUSE),
)


def classify(failure: StoreError | NetworkError) -> FailureRule:
    """Return the rule that covers *failure*."""
    if isinstance(failure, NetworkError):
        return next(candidate for candidate in FAILURE_RULES if failure.kind in candidate.kinds)
    return next(candidate for candidate in FAILURE_RULES if candidate.covers(failure.refusal))


def as_error(failure: StoreError | NetworkError, *, doing: str) -> ObsupError:
    """Return the final error for *failure*, which occurred while *doing* (``part 3 of bkt/key``)."""
    matching = classify(failure)
    if isinstance(failure, NetworkError):
        return matching.error(f"{doing} failed: {failure}", matching.why, matching.next_step)
    refusal = failure.refusal
    what = f"{doing} was rejected: {refusal.answer}"
    details = [refusal.message.rstrip(".")] if refusal.message else []
    if refusal.credentials and matching.action is Action.RELOAD_CREDENTIALS:
        details.append(f"credentials from {refusal.credentials}")
    if refusal.location:
        details.append(f"location {printable(refusal.location)}")
    if refusal.request_id:
        details.append(f"request id {refusal.request_id}")
    reason = ""
    if matching.action is Action.SET_CLOCK:
        reason = describe_difference(refusal.clock_ahead_s, refusal.endpoint)
    why = (reason or matching.why) + (f" ({'; '.join(details)})" if details else "")
    return matching.error(what, why, _next_step(matching, refusal), refusal)


def _next_step(matching: FailureRule, refusal: Refusal) -> NextStep:
    """Return the next step of the rule, with the other possible cause if nothing shows whose protocol the store has."""
    step = matching.next_step
    limit = _PART_LIMIT.search(refusal.message)
    if limit is not None and "--max-parts" in step.add:
        step = step._replace(add=("--max-parts", limit[1], "--restart"))
    if step is _OTHER_SIGNATURE and not refusal.is_assumed:
        step = run_again("try another --signature")
    texts = [step.text]
    if matching.without_message and matching.next_step is _OTHER_SIGNATURE:
        texts.append("leave out the object options that the store may not have, such as --storage-class")
    if refusal.status == 403 and urlsplit(refusal.endpoint).path:
        texts.append("check the path of --endpoint")
    # The phrase of a rule shows that the store was understood.
    is_unclear = refusal.status != 404 and not matching.phrases
    if refusal.is_assumed and is_unclear and matching.error in (Denied, NotPermitted, Refused):
        texts.append(OTHER_PROVIDER)
    return step._replace(text=", or, ".join(texts))
