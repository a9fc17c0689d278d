"""--expect-size, --expect-md5 and --expect-sha256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from obsup.errors import DataMismatch, WrongUsage
from obsup.local.source.expectation import Expectation
from obsup.local.source.identity import stat_source

DATA = b"the whole dump"
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = hashlib.sha256(DATA).hexdigest()


def check_stream(expected: Expectation, *blocks: bytes) -> None:
    """Check a stream of *blocks*."""
    meter = expected.meter()
    for block in blocks:
        meter.update(memoryview(block))
        meter.check_size_so_far("the stream")
    meter.check("the stream")


@pytest.mark.parametrize(
    "expected",
    [
        Expectation(),
        Expectation(size=len(DATA)),
        Expectation(md5=MD5),
        Expectation(sha256=SHA256.upper()),
        Expectation(len(DATA), MD5, SHA256),
    ],
)
def test_the_expected_content_passes(expected: Expectation, tmp_path: Path) -> None:
    """In one block, in several, or as a file."""
    check_stream(expected, DATA)
    check_stream(expected, DATA[:5], DATA[5:])
    file = tmp_path / "dump"
    file.write_bytes(DATA)
    expected.check_file(file, stat_source(file))


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Expectation(size=len(DATA) + 1), "has 14 bytes, not 15"),
        (Expectation(size=len(DATA) - 1), "13 bytes"),
        (Expectation(md5="0" * 32), f"has the MD5 {MD5}, not 000"),
        (Expectation(sha256="0" * 64), f"has the SHA-256 {SHA256}, not 000"),
        (Expectation(len(DATA), MD5, "0" * 64), "SHA-256"),
    ],
)
def test_other_content_is_an_error(expected: Expectation, words: str, tmp_path: Path) -> None:
    """With the expected and the actual value."""
    with pytest.raises(DataMismatch, match=words):
        check_stream(expected, DATA)
    file = tmp_path / "dump"
    file.write_bytes(DATA)
    with pytest.raises(DataMismatch):
        expected.check_file(file, stat_source(file))


def test_a_stream_that_is_too_large_fails_at_once() -> None:
    """It is not read to its end."""
    meter = Expectation(size=3).meter()
    meter.update(memoryview(b"four"))
    with pytest.raises(DataMismatch, match="more than 3 bytes"):
        meter.check_size_so_far("the stream")


@pytest.mark.parametrize(
    ("kind", "value"), [("md5", "abc"), ("md5", "g" * 32), ("sha256", MD5), ("sha256", "")]
)
def test_an_invalid_digest_is_an_error(kind: str, value: str) -> None:
    """It must not disable the check."""
    with pytest.raises(WrongUsage, match=f"the expected {kind.upper()}"):
        Expectation(md5=value) if kind == "md5" else Expectation(sha256=value)
