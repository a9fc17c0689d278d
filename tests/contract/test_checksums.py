"""The checksums of real servers, as obsup and boto3 see them; the servers that return none are verified by ETags."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import boto3
from anycrc import Model
from botocore.config import Config

from obsup.model import Checksum
from tests.contract.subjects import Subject
from tests.contract.test_uploads import every_server, source, upload

__all__ = ["source"]


def client(subject: Subject) -> Any:
    """Return boto3 for the server of *subject*."""
    keys = subject.server.credentials
    return boto3.client(
        "s3",
        endpoint_url=subject.server.endpoint,
        region_name=subject.server.region or "us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


@every_server
def test_checksums_agree_with_those_of_boto3(subject: Subject, source: Path, key: str) -> None:
    """What verified the object of obsup is what boto3 shows; obsup shows that of an object of boto3."""
    if subject.dialect.name != "s3-v4" or subject.addressing != "path":
        return
    data = source.read_bytes()
    verified = upload(subject, source, key)
    assert verified in ("crc64nvme", "etag")
    store, bucket = client(subject), subject.server.bucket
    shown = store.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED").get("ChecksumCRC64NVME")
    nvme = base64.b64encode(Model("CRC64-NVME").calc(data).to_bytes(8, "big")).decode()
    if verified == "crc64nvme":
        assert shown == nvme
    if subject.server.has_crc64nvme:
        assert verified == "crc64nvme"
        # Only with the package awscrt does boto3 compute this checksum.
        store.upload_file(str(source), bucket, f"{key}-boto3", ExtraArgs={"ChecksumAlgorithm": "CRC64NVME"})
        made = store.head_object(Bucket=bucket, Key=f"{key}-boto3", ChecksumMode="ENABLED")
        assert made["ChecksumCRC64NVME"] == shown
    store.put_object(Bucket=bucket, Key=key, Body=data[:1000], ChecksumAlgorithm="CRC32")
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    crc32 = Checksum("crc32", base64.b64encode(zlib.crc32(data[:1000]).to_bytes(4, "big")).decode())
    assert info.checksum in (crc32, None)
