"""Checksums in responses: valid ones are read, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from obsup.dialects.obs import OBS
from obsup.dialects.s3 import S3_V4
from obsup.errors import Refusal
from obsup.model import Checksum, ObjectChecksums, UploadChecksum
from obsup.store.answers.checksums import (
    agreement_headers,
    complete_headers,
    read_agreement,
    read_headers,
    rejects_checksums,
)

NVME = "rosUhgp5mIg="
NAMES = S3_V4.headers


@pytest.mark.parametrize(
    ("headers", "checksum"),
    [
        ({"crc64nvme": NVME}, Checksum("crc64nvme", NVME)),
        ({"crc64nvme": NVME, "type": "FULL_OBJECT"}, Checksum("crc64nvme", NVME)),
        ({"crc64nvme": f"{NVME}-12", "type": "COMPOSITE"}, Checksum("crc64nvme", f"{NVME}-12")),
        ({"crc32": "AAAAAA==", "crc64nvme": NVME}, Checksum("crc64nvme", NVME)),
        ({"crc64nvme": NVME, "type": "COMPOSITE"}, None),
        ({"crc64nvme": "rU3VPA=="}, None),
        ({"crc64nvme": f"{NVME}-"}, None),
        ({"crc64nvme": f"{NVME}-x"}, None),
        ({"crc64nvme": "not Base64"}, None),
        ({"crc64nvme": "é" * 12}, None),
        ({"sha1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}, Checksum("sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=")),
        ({"md5": "XUFAKrxLKna5cZ2REBfFkg=="}, None),
        ({}, None),
    ],
)
def test_what_a_response_shows(headers: Mapping[str, str], checksum: Checksum | None) -> None:
    """Without the number of parts, a composite checksum cannot be compared."""
    named = {f"x-amz-checksum-{name}": value for name, value in headers.items()}
    assert read_headers(NAMES, lambda name: named.get(name or "")) == checksum
    assert read_headers(OBS.headers, lambda name: named.get(name or "")) is None


@pytest.mark.parametrize(
    ("algorithm", "kind", "agreed"),
    [
        ("CRC64NVME", "FULL_OBJECT", UploadChecksum("crc64nvme", is_full_object=True)),
        ("CRC64NVME", None, UploadChecksum("crc64nvme", is_full_object=True)),
        ("CRC32C", None, UploadChecksum("crc32c", is_full_object=False)),
        ("SHA256", "COMPOSITE", UploadChecksum("sha256", is_full_object=False)),
        ("MD4", "FULL_OBJECT", None),
        (None, "FULL_OBJECT", None),
    ],
)
def test_what_a_store_agrees_to(
    algorithm: str | None, kind: str | None, agreed: UploadChecksum | None
) -> None:
    """CRC-64/NVME has only one type."""
    assert read_agreement(algorithm, kind) == agreed


def test_what_is_asked_for() -> None:
    """SHA-256 of the full object cannot be combined from parts."""
    assert agreement_headers(NAMES, "crc32c") == {
        "x-amz-checksum-algorithm": "CRC32C",
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    assert agreement_headers(NAMES, "sha256") == {"x-amz-checksum-algorithm": "SHA256"}
    assert agreement_headers(OBS.headers, "crc64nvme") == agreement_headers(NAMES, None) == {}


def test_complete_has_only_the_checksum_of_the_full_object() -> None:
    """Stores compute a composite one themselves."""
    whole = Checksum("crc64nvme", NVME)
    sent = complete_headers(S3_V4, ObjectChecksums({}, whole, 7))
    assert sent == {
        "x-amz-mp-object-size": "7",
        "x-amz-checksum-crc64nvme": NVME,
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    composite = ObjectChecksums({}, Checksum("sha256", f"{NVME}-2"), 7)
    assert complete_headers(S3_V4, composite) == {"x-amz-mp-object-size": "7"}
    assert complete_headers(S3_V4, None) == complete_headers(OBS, composite) == {}


@pytest.mark.parametrize(
    ("status", "code", "message", "rejects"),
    [
        (
            400,
            "InvalidArgument",
            "Unsupported header 'x-amz-checksum-algorithm' received for this API call.",
            True,
        ),
        (400, "InvalidRequest", "Checksum algorithm provided is unsupported.", True),
        (501, "NotImplemented", "", True),
        (400, "InvalidArgument", "Part number must be an integer between 1 and 1000, inclusive", False),
        (400, "InvalidBucketName", "The specified bucket is not valid.", False),
        (403, "AccessDenied", "checksum", False),
        (500, "InternalError", "header", False),
    ],
)
def test_which_rejections_may_be_about_the_headers(
    status: int, code: str, message: str, rejects: bool
) -> None:
    """Only then the request is sent again without them."""
    refusal = Refusal("InitiateMultipartUpload", "bucket/key", status, code, message)
    assert rejects_checksums(refusal) is rejects
