"""Checksums of S3 as boto3 sees them, on stores that support them fully, in part, or not at all."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest
from anycrc import Model

from obsup.sandbox.sandbox import Sandbox

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
OBJECT: dict[str, Any] = {"Bucket": "bucket", "Key": "key"}
BODIES = (b"first part", b"second")
WHOLE = b"".join(BODIES)
AGREED: dict[str, Any] = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}


def crc64nvme(data: bytes) -> str:
    """Return the checksum as S3 writes it."""
    value: int = Model("CRC64-NVME").calc(data)
    return base64.b64encode(value.to_bytes(8, "big")).decode()


def test_the_check_value_of_crc64nvme() -> None:
    """That of the catalogue of CRCs, CRC-64/NVME."""
    assert crc64nvme(b"123456789") == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()


@pytest.fixture
def sandbox(start: Callable[..., Sandbox]) -> Sandbox:
    """A store that accepts small parts."""
    return start(limits={"min_part": 1})


@pytest.fixture
def s3(sandbox: Sandbox) -> Any:
    """A client that sends checksums only if it is told to."""
    config = botocore.config.Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"max_attempts": 0},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=sandbox.access_key,
        aws_secret_access_key=sandbox.secret_key,
        region_name="eu-central-1",
        config=config,
    )


def send_parts(s3: Any, initiated: dict[str, Any]) -> dict[str, Any]:
    """Send the parts of an upload with their checksums; return the arguments of Complete."""
    upload = {**OBJECT, "UploadId": initiated["UploadId"]}
    parts = []
    for number, body in enumerate(BODIES, start=1):
        value = crc64nvme(body)
        sent = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumCRC64NVME=value)
        parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC64NVME": value})
    return {**upload, "MultipartUpload": {"Parts": parts}}


def test_a_store_with_checksums(s3: Any) -> None:
    """Confirmed by Initiate, returned with each part, listed, and combined for the whole object."""
    initiated = s3.create_multipart_upload(**OBJECT, **AGREED)
    assert (initiated["ChecksumAlgorithm"], initiated["ChecksumType"]) == ("CRC64NVME", "FULL_OBJECT")
    complete = send_parts(s3, initiated)
    listed = s3.list_parts(**OBJECT, UploadId=initiated["UploadId"])
    assert [one["ChecksumCRC64NVME"] for one in listed["Parts"]] == [crc64nvme(one) for one in BODIES]
    size, whole = len(WHOLE), crc64nvme(WHOLE)
    made = s3.complete_multipart_upload(**complete, ChecksumCRC64NVME=whole, MpuObjectSize=size)
    assert (made["ChecksumCRC64NVME"], made["ChecksumType"]) == (whole, "FULL_OBJECT")
    shown = s3.head_object(**OBJECT, ChecksumMode="ENABLED")
    assert (shown["ChecksumCRC64NVME"], shown["ChecksumType"]) == (whole, "FULL_OBJECT")
    assert "ChecksumCRC64NVME" not in s3.head_object(**OBJECT)


@pytest.mark.parametrize("status", [400, 501])
def test_a_store_that_rejects_the_header(s3: Any, sandbox: Sandbox, status: int) -> None:
    sandbox.add_fault(f"reject-checksums={status}")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.create_multipart_upload(**OBJECT, **AGREED)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert s3.create_multipart_upload(**OBJECT)["UploadId"]
    with pytest.raises(botocore.exceptions.ClientError):
        s3.put_object(**OBJECT, Body=WHOLE, ChecksumCRC64NVME=crc64nvme(WHOLE))


def test_a_store_that_ignores_the_header(s3: Any, sandbox: Sandbox) -> None:
    """Even a wrong checksum is not noticed."""
    sandbox.add_fault("ignore-checksums")
    initiated = s3.create_multipart_upload(**OBJECT, **AGREED)
    assert "ChecksumAlgorithm" not in initiated
    upload = {**OBJECT, "UploadId": initiated["UploadId"]}
    sent = s3.upload_part(**upload, PartNumber=1, Body=WHOLE, ChecksumCRC64NVME=crc64nvme(b"other"))
    assert "ChecksumCRC64NVME" not in sent
    assert "ChecksumCRC64NVME" not in s3.put_object(**OBJECT, Body=WHOLE, ChecksumCRC64NVME=crc64nvme(b""))
    assert "ChecksumCRC64NVME" not in s3.head_object(**OBJECT, ChecksumMode="ENABLED")


def test_a_store_that_returns_no_checksum_of_the_object(s3: Any, sandbox: Sandbox) -> None:
    """It confirms that of each part."""
    for operation in ("complete", "head", "parts"):
        sandbox.add_fault(f"hide-checksums,op={operation}")
    initiated = s3.create_multipart_upload(**OBJECT, **AGREED)
    complete = send_parts(s3, initiated)
    listed = s3.list_parts(**OBJECT, UploadId=initiated["UploadId"])["Parts"]
    assert not any("ChecksumCRC64NVME" in one for one in listed)
    assert "ChecksumCRC64NVME" not in s3.complete_multipart_upload(**complete)
    assert "ChecksumCRC64NVME" not in s3.head_object(**OBJECT, ChecksumMode="ENABLED")


def test_a_store_that_returns_wrong_checksums(s3: Any, sandbox: Sandbox) -> None:
    sandbox.add_fault("wrong-checksum,op=part")
    sandbox.add_fault("wrong-checksum,op=complete")
    upload = {**OBJECT, "UploadId": s3.create_multipart_upload(**OBJECT, **AGREED)["UploadId"]}
    value = crc64nvme(WHOLE)
    sent = s3.upload_part(**upload, PartNumber=1, Body=WHOLE, ChecksumCRC64NVME=value)
    assert sent["ChecksumCRC64NVME"] != value
    parts = [{"PartNumber": 1, "ETag": sent["ETag"], "ChecksumCRC64NVME": value}]
    made = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert made["ChecksumCRC64NVME"] != value
    assert s3.head_object(**OBJECT, ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == value


def test_a_store_that_makes_composite_checksums(s3: Any, sandbox: Sandbox) -> None:
    """It confirms FULL_OBJECT nevertheless."""
    sandbox.add_fault("composite-checksums")
    initiated = s3.create_multipart_upload(**OBJECT, **AGREED)
    assert initiated["ChecksumType"] == "FULL_OBJECT"
    made = s3.complete_multipart_upload(**send_parts(s3, initiated))
    assert made["ChecksumType"] == "COMPOSITE"
    assert made["ChecksumCRC64NVME"].endswith("-2")


def test_a_part_that_is_stored_changed_has_the_checksum_of_what_is_stored(s3: Any, sandbox: Sandbox) -> None:
    sandbox.add_fault("flip-bit,op=part")
    upload = {**OBJECT, "UploadId": s3.create_multipart_upload(**OBJECT, **AGREED)["UploadId"]}
    value = crc64nvme(WHOLE)
    sent = s3.upload_part(**upload, PartNumber=1, Body=WHOLE, ChecksumCRC64NVME=value)
    assert sent["ChecksumCRC64NVME"] != value
