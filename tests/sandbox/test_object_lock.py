"""What boto3 sees of Object Lock in the sandbox, and of an object that obsup has locked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
OBJECT: dict[str, Any] = {"Bucket": "bucket", "Key": "key"}
UNTIL = datetime(2040, 12, 31, 18, tzinfo=UTC)
LOCK: dict[str, Any] = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL}
DENIED = (403, "AccessDenied")


def connect(sandbox: Sandbox) -> Any:
    """Return a client of boto3."""
    return boto3.client(
        "s3",
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=sandbox.access_key,
        aws_secret_access_key=sandbox.secret_key,
        region_name="eu-central-1",
        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )


@pytest.fixture
def locking(start: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox whose buckets have Object Lock, without a default retention."""
    return start(faults=["object-lock=0"], limits={"min_part": 1})


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Return the status and the code of a request that must fail."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def retention(mode: str, until: datetime) -> dict[str, Any]:
    return {**OBJECT, "Retention": {"Mode": mode, "RetainUntilDate": until}}


@pytest.mark.parametrize("parts", [(), ("--part-size", "5M")], ids=["one request", "parts"])
def test_boto3_reads_the_lock_that_obsup_has_set(
    locking: Sandbox, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    """By HeadObject, GetObjectRetention and GetObjectLegalHold; and it cannot delete the object."""
    (tmp_path / "file").write_bytes(bytes(6 * 2**20))
    lock = ("--retention", "governance", "--retain-until", "2040-12-31T18:00:00Z", "--legal-hold")
    outcome = Shell.against(locking, tmp_path).run(
        "upload",
        "file",
        "bucket/key",
        "--provider",
        "s3",
        *parts,
        *lock,
    )
    assert outcome.code == 0, outcome.err
    s3 = connect(locking)
    head = s3.head_object(**OBJECT)
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", UNTIL)
    assert head["ObjectLockLegalHoldStatus"] == "ON"
    assert s3.get_object_retention(**OBJECT)["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL}
    assert s3.get_object_legal_hold(**OBJECT)["LegalHold"] == {"Status": "ON"}
    assert refusal(s3.delete_object, **OBJECT) == DENIED


def test_locked_object_is_neither_replaced_nor_deleted(locking: Sandbox) -> None:
    """Until a legal hold is removed, and a retention in mode GOVERNANCE is shortened."""
    s3 = connect(locking)
    s3.put_object(**OBJECT, Body=b"x", **LOCK, ObjectLockLegalHoldStatus="ON")
    assert refusal(s3.put_object, **OBJECT, Body=b"y") == DENIED
    assert refusal(s3.copy_object, **OBJECT, CopySource="bucket/key", MetadataDirective="REPLACE") == DENIED
    errors = s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "key"}]})["Errors"]
    assert [one["Code"] for one in errors] == ["AccessDenied"]
    s3.put_object_legal_hold(**OBJECT, LegalHold={"Status": "OFF"})
    assert refusal(s3.get_object_legal_hold, **OBJECT) == (404, "NoSuchObjectLockConfiguration")
    assert refusal(s3.delete_object, **OBJECT) == DENIED
    soon = datetime.now(UTC) + timedelta(seconds=2)
    assert refusal(s3.put_object_retention, **retention("GOVERNANCE", soon)) == DENIED
    s3.put_object_retention(**retention("GOVERNANCE", soon), BypassGovernanceRetention=True)
    assert s3.get_object_retention(**OBJECT)["Retention"]["RetainUntilDate"] < UNTIL


def test_compliance_can_only_be_extended(locking: Sandbox) -> None:
    """Nobody can shorten it, change its mode, or bypass it."""
    s3 = connect(locking)
    s3.put_object(**OBJECT, Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=UNTIL)
    s3.put_object_retention(**retention("COMPLIANCE", UNTIL + timedelta(days=1)))
    for mode, until in (("COMPLIANCE", UNTIL), ("GOVERNANCE", UNTIL + timedelta(days=2))):
        arguments = retention(mode, until)
        assert refusal(s3.put_object_retention, **arguments, BypassGovernanceRetention=True) == DENIED


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"ObjectLockMode": "COMPLIANCE"}, "InvalidArgument"),
        ({"ObjectLockRetainUntilDate": UNTIL}, "InvalidArgument"),
        ({**LOCK, "ObjectLockMode": "FOREVER"}, "InvalidArgument"),
        ({**LOCK, "ObjectLockRetainUntilDate": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidArgument"),
        ({"ObjectLockLegalHoldStatus": "MAYBE"}, "InvalidArgument"),
    ],
)
def test_invalid_locks_are_refused(locking: Sandbox, options: dict[str, Any], code: str) -> None:
    s3 = connect(locking)
    assert refusal(s3.put_object, **OBJECT, Body=b"x", **options) == (400, code)
    assert refusal(s3.create_multipart_upload, **OBJECT, **options) == (400, code)


def test_bucket_without_object_lock_has_no_locks(start: Callable[..., Sandbox]) -> None:
    s3 = connect(start())
    assert refusal(s3.put_object, **OBJECT, Body=b"x", **LOCK) == (400, "InvalidRequest")
    s3.put_object(**OBJECT, Body=b"x")
    assert refusal(s3.get_object_retention, **OBJECT) == (400, "InvalidRequest")


def test_default_retention_applies_to_every_object_and_demands_digests(start: Callable[..., Sandbox]) -> None:
    """Of the parts, too, if boto3 sends no checksum of its own."""
    sandbox = start(faults=["object-lock=86400"], limits={"min_part": 1})
    s3 = connect(sandbox)
    s3.put_object(**OBJECT, Body=b"x")
    assert s3.head_object(**OBJECT)["ObjectLockMode"] == "COMPLIANCE"
    other = {"Bucket": "bucket", "Key": "other"}
    plain = boto3.client(
        "s3",
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=sandbox.access_key,
        aws_secret_access_key=sandbox.secret_key,
        region_name="eu-central-1",
        config=botocore.config.Config(request_checksum_calculation="when_required"),
    )
    upload_id = plain.create_multipart_upload(**other)["UploadId"]
    part = {**other, "UploadId": upload_id, "PartNumber": 1, "Body": b"x"}
    assert refusal(plain.upload_part, **part) == (400, "InvalidRequest")
    assert s3.upload_part(**part)["ETag"]
