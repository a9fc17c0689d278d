"""CRC-64 as OSS computes it, with and without the C implementation."""

from __future__ import annotations

import oss2.utils
from hypothesis import given
from hypothesis import strategies as st

from obsup.sandbox.wire.digests import combine_crc, crc64, crc_by_table


def test_the_check_value_of_crc64_xz() -> None:
    assert crc64(memoryview(b"123456789")) == 11051210869376104954
    assert crc_by_table(memoryview(b"123456789")) == 11051210869376104954


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_table_the_library_and_the_vendor_agree(first: bytes, second: bytes) -> None:
    whole = crc_by_table(memoryview(first + second))
    assert crc64(memoryview(first + second)) == whole
    assert crc_by_table(memoryview(second), crc64(memoryview(first))) == whole
    vendor = oss2.utils.Crc64()
    vendor.update(first + second)
    assert vendor.crc == whole


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crcs_combine_as_their_data_does(first: bytes, second: bytes) -> None:
    one, two = crc64(memoryview(first)), crc64(memoryview(second))
    assert combine_crc(one, two, len(second)) == crc64(memoryview(first + second))


def test_crcs_of_gigabytes_combine_as_the_vendor_does_it() -> None:
    one, two, size = 1234567890123456789, 9876543210987654321, 5 * 1024**3 + 7
    assert combine_crc(one, two, size) == oss2.utils.Crc64().combine(one, two, size)
