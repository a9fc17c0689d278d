"""MD5 and CRC-64/XZ of parts, and the CRC-64 of an object from those of its parts."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.local.source.digest import PartDigest, combine_checksums, combine_crc64
from obsup.model import Checksum


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


def checksum_of(algorithm: str, data: bytes) -> Checksum | None:
    """Return the checksum of *data*."""
    digest = PartDigest(checksum=algorithm)
    digest.update(data)
    return digest.checksum


@pytest.mark.parametrize(
    ("algorithm", "raw"),
    [
        ("crc64nvme", "ae8b14860a799888"),
        ("crc32c", "e3069283"),
        ("crc32", "cbf43926"),
        ("sha256", hashlib.sha256(b"123456789").hexdigest()),
    ],
)
def test_checksums_of_the_check_string(algorithm: str, raw: str) -> None:
    """The check values of the catalogue of CRCs; big-endian, in Base64, as S3 has them."""
    checksum = checksum_of(algorithm, b"123456789")
    assert checksum == Checksum(algorithm, base64.b64encode(bytes.fromhex(raw)).decode())
    assert checksum is not None
    assert checksum.raw.hex() == raw


@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=6),
    st.sampled_from(["crc64nvme", "crc32c", "crc32"]),
)
def test_the_checksum_of_the_full_object_is_that_of_its_bytes(blocks: list[bytes], algorithm: str) -> None:
    """Parts of any size, empty ones included."""
    parts = [(checksum_of(algorithm, block), len(block)) for block in blocks]
    combined = combine_checksums(algorithm, parts, is_full_object=True)
    assert combined == checksum_of(algorithm, b"".join(blocks))


def test_a_composite_checksum_is_that_of_the_checksums_of_the_parts() -> None:
    """With the number of parts, as S3 has it."""
    parts = [(checksum_of("sha256", one), len(one)) for one in (b"first", b"second")]
    raw = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in (b"first", b"second"))).digest()
    composite = combine_checksums("sha256", parts, is_full_object=False)
    assert composite == Checksum("sha256", base64.b64encode(raw).decode() + "-2")


@pytest.mark.parametrize("unknown", [None, Checksum("crc32c", "AAAAAA==")])
def test_the_checksum_of_an_object_with_an_unknown_part_is_unknown(unknown: Checksum | None) -> None:
    """Also if a part has another one."""
    parts = [(checksum_of("crc64nvme", b"x"), 1), (unknown, 1)]
    assert combine_checksums("crc64nvme", parts, is_full_object=True) is None


def test_ten_thousand_parts_are_combined() -> None:
    """One step per part."""
    parts = [bytes([number % 251]) * (number % 7) for number in range(10_000)]
    combined = combine_checksums(
        "crc64nvme", [(checksum_of("crc64nvme", one), len(one)) for one in parts], is_full_object=True
    )
    assert combined == checksum_of("crc64nvme", b"".join(parts))
