"""CRC-64 as OSS computes it."""

from __future__ import annotations

import oss2.utils
from hypothesis import given
from hypothesis import strategies as st

from obsup.sandbox.wire.digests import Digest, combine_crc


def crc64(*blocks: bytes) -> int:
    """Return the CRC-64 of *blocks*."""
    digest = Digest(["crc64"])
    for block in blocks:
        digest.update(memoryview(block))
    return digest.crc64 or 0


def test_the_check_value_of_crc64_xz() -> None:
    assert crc64(b"123456789") == 11051210869376104954


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_vendor_agrees(first: bytes, second: bytes) -> None:
    """Also if the CRCs of both halves are combined."""
    vendor = oss2.utils.Crc64()
    vendor.update(first + second)
    assert crc64(first, second) == combine_crc(crc64(first), crc64(second), len(second)) == vendor.crc


def test_crcs_of_gigabytes_combine_as_the_vendor_does_it() -> None:
    one, two, size = 1234567890123456789, 9876543210987654321, 5 * 1024**3 + 7
    assert combine_crc(one, two, size) == oss2.utils.Crc64().combine(one, two, size)
