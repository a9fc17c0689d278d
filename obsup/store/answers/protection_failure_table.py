"""The part of the failure table about what protects objects: Object Lock, conditions and encryption."""

from __future__ import annotations

from obsup.errors import ObjectExists, Refused, run_again
from obsup.store.answers.failure_rule import Action, FailureRule, rule

_WITHOUT_LOCK = run_again(
    "enable it for the bucket, or leave out the lock", drop=("--retention", "--retain-until", "--legal-hold")
)
_LOCKED = "The object is locked, by a retention or a legal hold, and cannot be replaced until that ends"
_EXISTS = "The object exists and must not be replaced"
_OTHER_KEY = run_again("choose another key, or replace the object", drop=("--no-overwrite",))
_AFTER_LOCK = run_again("choose another key, or wait until the lock ends")

PROTECTION_RULES: tuple[FailureRule, ...] = (
    rule(
        Action.FAIL,
        Refused,
        "The bucket does not have Object Lock (OBS: WORM), so that its objects cannot be locked",
        _WITHOUT_LOCK,
        # Amazon S3; MinIO and moto; Ceph.
        phrases=(
            "bucket is missing object lock configuration",
            "bucket is missing objectlockconfiguration",
            "bucket object lock not configured",
        ),
    ),
    rule(
        Action.FAIL,
        Refused,
        "The store returned no reason; if the bucket does not have Object Lock, its objects cannot be locked",
        _WITHOUT_LOCK,
        code="InvalidRequest",  # Ceph, PutObject
        without_message=True,
        sent_header="-object-lock-",
    ),
    # Amazon S3, AccessDenied; MinIO, InvalidRequest.
    rule(Action.FAIL, Refused, _LOCKED, _AFTER_LOCK, phrases=("by object lock", "worm protected")),
    rule(Action.FAIL, Refused, _LOCKED, _AFTER_LOCK, code="FileImmutable"),  # Alibaba OSS
    rule(Action.FAIL, ObjectExists, _EXISTS, _OTHER_KEY, code="FileAlreadyExists"),
    rule(Action.FAIL, ObjectExists, _EXISTS, _OTHER_KEY, status="412", sent_header="if-none-match"),
    rule(
        Action.FAIL,
        Refused,
        "The store, or a gateway in front of it, has a condition that the request does not meet",
        run_again("fix the cause that it reports"),
        status="412",
    ),
    rule(
        Action.FAIL,
        Refused,
        "The store has no default key for this encryption",
        run_again("name the key that encrypts", add=("--sse-kms-key-id", "KEY")),
        phrases=("requires http header x-amz-server-side-encryption-aws-kms-key-id",),  # Ceph
    ),
    rule(
        Action.FAIL,
        Refused,
        "The request must have the customer key (SSE-C) of the object or upload, and no key if that has none",
        run_again(
            "give that key with --sse-c-key-file, or leave it out (for the source of a copy: "
            "--copy-source-sse-c-key-file)"
        ),
        # Amazon S3: no key for an object, none for a part, another one for a part, one for an object without; Ceph: no
        # key, another one. Another one for an object has status 403.
        phrases=(
            "correct parameters must be provided to retrieve",
            "must include the appropriate encryption parameters",
            "encryption parameters did not match",
            "encryption parameters are not applicable",
            "customer provided keys must provide",
            "md5 hash of the key did not match",
        ),
        status="400",
    ),
)
