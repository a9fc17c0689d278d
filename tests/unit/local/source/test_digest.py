"""MD5 and CRC-64/XZ of parts, and the CRC-64 of an object from those of its parts."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from obsup.local.source.digest import PartDigest, combine_crc64


def crc64_of(data: bytes) -> int:
    """Return the CRC-64/XZ, bit by bit from the definition."""
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def test_crc64_of_the_check_string() -> None:
    """CRC-64/XZ of "123456789", as both clients of the vendor compute it."""
    digest = PartDigest(crc64=True)
    digest.update(b"123456789")
    assert digest.crc64 == 11051210869376104954 == crc64_of(b"123456789")


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_the_digest_does_not_depend_on_the_blocks(blocks: list[bytes]) -> None:
    """However the bytes are split."""
    digest = PartDigest(md5=True, crc64=True)
    for block in blocks:
        digest.update(memoryview(block))
    assert digest.crc64 == crc64_of(b"".join(blocks))
    assert digest.md5 == hashlib.md5(b"".join(blocks)).hexdigest()


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_combined_crcs_are_the_crc_of_the_concatenation(first: bytes, second: bytes) -> None:
    """This is what OSS returns for Complete."""
    assert combine_crc64(crc64_of(first), crc64_of(second), len(second)) == crc64_of(first + second)


def test_combining_with_a_part_of_many_gib_is_fast_and_exact() -> None:
    """For zero bytes, combining twice equals combining once with the sum of the sizes."""
    once = combine_crc64(12345, 0, 5 * 2**30)
    twice = combine_crc64(combine_crc64(12345, 0, 2 * 2**30), 0, 3 * 2**30)
    assert once == twice


def test_a_digest_that_is_not_asked_for_is_none() -> None:
    """For --digest none."""
    digest = PartDigest()
    digest.update(b"x")
    assert digest.md5 is None
    assert digest.crc64 is None
