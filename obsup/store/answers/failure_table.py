"""The classification table: what each failure of store or line means, and what to do about it.

One table drives the retries, the exit codes, ``--json``'s reason and retryable, and the documentation.
First match wins. Sources: the error-code tables of OBS, S3 and OSS; the behaviour of their own clients.
"""

from __future__ import annotations

from obsup.errors import (
    BadConfiguration,
    DataMismatch,
    Denied,
    NetworkError,
    NotFinished,
    ObsupError,
    Refused,
    StoreError,
    Throttled,
    UploadGone,
)
from obsup.store.answers.failure_rule import Action, FailureRule, row
from obsup.store.answers.server_clock import difference
from obsup.text import printable

AGAIN = "run the same command again; what is stored is not sent again"
FIX_CREDENTIALS = "mend the credentials, then run the same command again; what is stored is not sent again"
OTHER_SIGNATURE = (
    "run the same command again with --provider s3, as most such stores want it, or another --signature"
)
LOOK = (
    "mend the cause that the store names, then run the same command again; what is stored is not sent again"
)

FAILURE_RULES: tuple[FailureRule, ...] = (
    # The line.
    row(
        Action.FAIL,
        BadConfiguration,
        "the server is not who it says it is, or its authority is not known here",
        "check --endpoint, or name the authority's certificate with --ca-bundle, then run the same command again",
        kind="certificate",
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "https is asked for, and another protocol is spoken there, most likely http",
        "check --endpoint: write http:// instead of https://, or the port that speaks TLS, then run the same command "
        "again",
        kind="no-tls",
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "the proxy does not let us through to the store",
        "check --proxy or HTTPS_PROXY, with its user and password (NO_PROXY names hosts to reach without it), then run "
        "the same command again",
        kind="tunnel",
    ),
    row(
        Action.RETRY,
        NotFinished,
        "the line failed for longer than --retry-for",
        AGAIN,
        kind="resolve refused connect proxy tls reset stall incomplete",
    ),
    row(
        Action.ASK_AGAIN,
        Refused,
        "what answers there does not speak the store's protocol, or something on the way rewrites its answers",
        "check --endpoint and the proxies, then run the same command again; what is stored is not sent again",
        kind="garbled",
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "the proxy wants a user and a password",
        "write them into HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), then run the same command again",
        status="407",
    ),
    # What stands before the store, or is there in its place.
    row(
        Action.FAIL,
        BadConfiguration,
        "http is spoken to a port that wants https",
        "check --endpoint: write https:// instead of http://, then run the same command again",
        phrases=("plain http request", "http request to an https server", "plain http to an ssl"),
    ),
    row(
        Action.FAIL,
        Refused,
        "the store, or a proxy before it, takes no request so large; smaller parts would be a new upload (--restart)",
        "have that limit raised (nginx: client_max_body_size), then run the same command again; what is stored is not "
        "sent again",
        status="413",
    ),
    # What the signature is made for.
    row(
        Action.FAIL,
        BadConfiguration,
        "this store does not know the kind of signature that was sent",
        OTHER_SIGNATURE,
        phrases=("unsupported authorization type", "authorization mechanism you have provided"),
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "this store does not know the kind of signature that was sent",
        OTHER_SIGNATURE,
        code="UnsupportedAlgorithm",
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "this store gives no reason; it may not know the kind of signature that was sent",
        OTHER_SIGNATURE,
        code="InvalidArgument",
        silent=True,
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "the request was signed for another region than the bucket's",
        "run the same command again with the bucket's --region",
        code="AuthorizationHeaderMalformed",
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "the request was signed for another region than the bucket's",
        "run the same command again with the bucket's --region",
        phrases=("signing region",),
    ),
    row(
        Action.FAIL,
        BadConfiguration,
        "this store wants the bucket in the host's name",
        "name the endpoint by its name, not by its IP address, leave out --addressing, then run the same command again",
        code="VirtualHostDomainRequired",
    ),
    # The clock and the keys.
    row(
        Action.SET_CLOCK,
        Denied,
        "this computer's clock and the store's differ by more than the store allows",
        "set the clock, then run the same command again; what is stored is not sent again",
        code="RequestTimeTooSkewed RequestExpired",
    ),
    row(
        Action.RENEW_KEYS,
        Denied,
        "the temporary credentials have expired, or the store no longer takes them",
        FIX_CREDENTIALS,
        code="ExpiredToken InvalidToken InvalidSecurityToken SecurityTokenExpired TokenRefreshRequired",
    ),
    row(
        Action.RENEW_KEYS,
        Denied,
        "the store does not know this access key",
        FIX_CREDENTIALS,
        code="InvalidAccessKeyId",
    ),
    row(
        Action.RENEW_KEYS,
        Denied,
        "the secret does not fit the access key, or --signature or --region is not this store's",
        FIX_CREDENTIALS,
        code="SignatureDoesNotMatch",
    ),
    row(Action.RENEW_KEYS, Denied, "the store asks for credentials", FIX_CREDENTIALS, status="401"),
    # What the store asks to wait for.
    row(
        Action.SLOW_DOWN,
        Throttled,
        "the store asked to slow down for longer than --retry-for",
        AGAIN,
        code="SlowDown TooManyRequests RequestLimitExceeded Throttling ThrottlingException QpsLimitExceeded "
        "UploadTrafficRateLimitExceeded TotalQpsLimitExceeded BandwidthLimitExceeded RequestThrottled",
    ),
    row(
        Action.SLOW_DOWN, Throttled, "the store was busy for longer than --retry-for", AGAIN, status="429 503"
    ),
    row(
        Action.RETRY,
        NotFinished,
        "the store or the line was too slow for longer than --retry-for",
        AGAIN,
        code="RequestTimeout OperationAborted ConditionalRequestConflict Conflict",
    ),
    row(
        Action.RETRY,
        NotFinished,
        "the store failed for longer than --retry-for",
        AGAIN,
        code="InternalError InternalFailure ServiceUnavailable ServerBusy",
    ),
    # What was damaged on the way.
    row(
        Action.RESEND,
        DataMismatch,
        "what arrives is not what was sent: something between here and the store changes the data",
        "look at the line (proxies, memory), then run the same command again; what is stored is not sent again",
        code="BadDigest IncompleteBody XAmzContentSHA256Mismatch InvalidDigest",
    ),
    # What Complete found.
    row(
        Action.REPAIR,
        DataMismatch,
        "the store does not hold the parts as they were recorded",
        "run the same command again; it lists the parts and sends what is missing",
        code="InvalidPart InvalidPartOrder",
    ),
    row(
        Action.ENLARGE,
        DataMismatch,
        "this bucket wants larger parts than its kind usually does (OBS 2.0: 5 MB)",
        "begin again with --restart --part-size 9M",
        code="EntityTooSmall",
    ),
    # What is gone, or not allowed.
    row(
        Action.FAIL,
        Refused,
        "the bucket does not exist at this endpoint",
        "check the bucket's name and --endpoint, or make the bucket, then run the same command again",
        code="NoSuchBucket",
    ),
    row(
        Action.FAIL,
        UploadGone,
        "the upload was completed, aborted or expired meanwhile",
        "run with --restart to begin again",
        code="NoSuchUpload",
    ),
    row(
        Action.FAIL,
        Refused,
        "the object exists and is not to be replaced",
        "choose another key, or leave out --no-overwrite",
        code="FileAlreadyExists PreconditionFailed",
    ),
    row(
        Action.FAIL,
        Refused,
        "the account is in arrears or disabled",
        "settle the account, then run the same command again; what is stored is not sent again",
        code="InArrearOrInsufficientBalance AllAccessDisabled UserDisable AccountProblem",
    ),
    row(
        Action.RENEW_KEYS,
        Denied,
        "these credentials are not permitted to do this",
        "have the permission granted, then run the same command again; what is stored is not sent again",
        status="403",
    ),
    # The rest by status.
    row(
        Action.RETRY,
        NotFinished,
        "the store failed for longer than --retry-for",
        AGAIN,
        status="500 502 504 408",
    ),
    row(
        Action.RETRY,
        NotFinished,
        "the store reported a conflict for longer than --retry-for",
        AGAIN,
        status="409",
    ),
    row(Action.FAIL, Refused, "the store refused the request for good", LOOK, status="404"),
    row(
        Action.FAIL,
        BadConfiguration,
        "the bucket lives elsewhere",
        "run the same command again with its --endpoint and its --region, if you trust it",
        status="301 302 303 307 308",
    ),
    row(Action.FAIL, Refused, "the store refused the request for good", LOOK),
)


def classify(failure: StoreError | NetworkError) -> FailureRule:
    """Return the row of the table that *failure* falls under."""
    if isinstance(failure, NetworkError):
        return next(row for row in FAILURE_RULES if failure.kind in row.kinds)
    return next(row for row in FAILURE_RULES if row.covers(failure.refusal))


def as_error(failure: StoreError | NetworkError, *, doing: str) -> ObsupError:
    """Return the final error for *failure*, which happened while *doing* (``part 3 of bkt/key``)."""
    rule = classify(failure)
    if isinstance(failure, NetworkError):
        return rule.error(f"{doing} failed: {failure}", rule.why, rule.next_step)
    refusal = failure.refusal
    what = f"{doing} was refused: {refusal.status} {refusal.code}"
    details = [refusal.message] if refusal.message else []
    if refusal.location:
        details.append(f"it names {printable(refusal.location)}")
    if refusal.request_id:
        details.append(f"request id {refusal.request_id}")
    reason = difference(refusal.clock_ahead_s, refusal.endpoint) if rule.action is Action.SET_CLOCK else ""
    why = (reason or rule.why) + (f" ({'; '.join(details)})" if details else "")
    return rule.error(what, why, rule.next_step, refusal)
