"""The extension module computes what hashlib and anycrc compute, and fails as reading block by block does."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import hatch_build
from obsup.errors import SourceChanged
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import hash_part
from obsup.local.source.identity import stat_source
from obsup.model import Part
from tests.support.extension import installed

# One process compiles the module.
pytestmark = pytest.mark.xdist_group("extension")

SIZE = 3_000_000
CHECKSUMS = ("crc64nvme", "crc32c", "crc32", "crc64")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file."""
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def windows(count: int) -> list[Part]:
    """Return short windows of all lengths, and long ones, at any place of the file, and at its end."""
    chosen = random.Random(2)
    sizes = [*range(count), *(chosen.randrange(SIZE) for _ in range(20)), 1 << 20, SIZE]
    parts = [Part(1, chosen.randrange(SIZE - size + 1), size) for size in sizes]
    return [*parts, *(Part(1, SIZE - size, size) for size in (0, 1, 63, 64, 65, 4097))]


@pytest.mark.parametrize("checksum", CHECKSUMS)
def test_crcs_are_those_of_anycrc(source: Path, module: ModuleType | None, checksum: str) -> None:
    """Of every length: what is folded, what a table does, and what is read in several pieces."""
    stat = stat_source(source)

    def hashed(part: Part) -> PartDigest:
        return hash_part(source, part, stat, PartDigest(checksum=checksum), lambda size: max(1, size // 3))

    for part in windows(530):
        with installed(None):
            expected = hashed(part)
        with installed(module):
            assert hashed(part).checksum == expected.checksum, part


def test_crcs_are_added_to_what_was_hashed_before(source: Path, module: ModuleType | None) -> None:
    """A digest of two windows, one after the other, and with two CRCs at once."""
    stat, content = stat_source(source), source.read_bytes()
    expected = PartDigest(crc64=True, checksum="crc32c")
    expected.update(content[:1000])
    with installed(module):
        digest = PartDigest(crc64=True, checksum="crc32c")
        for part in (Part(1, 0, 300), Part(2, 300, 700)):
            hash_part(source, part, stat, digest)
    assert (digest.crc64, digest.checksum) == (expected.crc64, expected.checksum)


def test_md5s_are_those_of_hashlib(source: Path, module: ModuleType | None) -> None:
    """In every instruction set, for more and fewer windows than it has lanes, of equal and different lengths."""
    if module is None:  # there is nothing to compare
        return
    content, chosen = source.read_bytes(), random.Random(3)
    ways = [name for name in ("avx512", "avx2", "sse2", "neon") if _has(module, name)]
    assert ways[0] == module.MD5_WAY
    with source.open("rb") as file:
        for name in ways:
            for count in (0, 1, 7, 8, 9, 16, 17, 40):
                sizes = [
                    chosen.choice((chosen.randrange(200), chosen.randrange(200_000))) for _ in range(count)
                ]
                parts = [(chosen.randrange(SIZE - size), size) for size in sizes]
                expected = [hashlib.md5(content[start : start + size]).digest() for start, size in parts]
                assert module.md5s(file.fileno(), parts, lambda size: size, name) == expected


def _has(module: ModuleType, name: str) -> bool:
    try:
        module.md5s(0, [], None, name)
    except ValueError:
        return False
    return True


def test_the_functions_report_what_they_cannot_read(source: Path, module: ModuleType | None) -> None:
    """A window beyond the end, a descriptor that is not open, a gate that raises, or grants nothing."""
    if module is None:
        return
    functions: list[Callable[..., object]] = [
        lambda fd, start, gate: module.crc(fd, start, 100, 1, 0, gate, bytearray(30)),
        lambda fd, start, gate: module.md5s(fd, [(0, 10), (start, 100)], gate),
    ]
    with source.open("rb") as file:
        for function in functions:
            with pytest.raises(EOFError):
                function(file.fileno(), SIZE - 99, None)
            with pytest.raises(OSError, match="Bad file descriptor"):
                function(-1, 0, None)
            with pytest.raises(InterruptedError):
                function(file.fileno(), 0, _interrupt)
            with pytest.raises(ValueError, match="grants nothing"):
                function(file.fileno(), 0, lambda _size: 0)


def _interrupt(_size: int) -> int:
    raise InterruptedError


@pytest.mark.usefixtures("way")
def test_a_file_that_becomes_shorter_is_reported(source: Path) -> None:
    """While it is hashed, in both ways."""
    stat = stat_source(source)

    def truncate(size: int) -> int:
        os.truncate(source, SIZE // 2)
        return size

    with pytest.raises(SourceChanged, match="became shorter"):
        hash_part(source, Part(1, 10, SIZE - 20), stat, PartDigest(crc64=True), truncate)


@pytest.mark.usefixtures("way")
def test_a_file_that_changes_is_reported(source: Path) -> None:
    """Its length stays, so only its identity shows it."""
    stat = stat_source(source)

    def overwrite(size: int) -> int:
        source.write_bytes(bytes(SIZE))
        os.utime(source, ns=(0, 0))
        return size

    with pytest.raises(SourceChanged):
        hash_part(source, Part(1, 10, SIZE - 20), stat, PartDigest(crc64=True), overwrite)


def test_without_a_working_compiler_there_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel is built without it then."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hatch_build.compile_module(tmp_path) is None
    for name in ("cc", "gcc", "clang"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    assert hatch_build.compile_module(tmp_path) is None
