"""Files to upload, and the digests that a real store would return for them."""

from __future__ import annotations

import hashlib
import os
import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anycrc import Model

MIB = 1024 * 1024
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Source:
    """A file, its size and part size in bytes, and the file with the digests that the sink returns."""

    path: Path
    size: int
    part_size: int
    digests: Path

    @property
    def parts(self) -> int:
        """The number of parts."""
        return max(1, -(-self.size // self.part_size))


def make_random(folder: Path, size: int, part_size: int) -> Source:
    """Return a file of random bytes, created if missing."""
    path = folder / f"random-{size}"
    if not path.exists() or path.stat().st_size != size:
        rng = random.Random(size)
        with path.open("wb") as file:
            for begin in range(0, size, MIB):
                file.write(rng.randbytes(min(MIB, size - begin)))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        digests = folder / f"{path.name}-{part_size}.digests"
        return _with_digests(
            path, size, part_size, digests=digests, read=lambda at, count: os.pread(descriptor, count, at)
        )
    finally:
        os.close(descriptor)


def make_sparse(folder: Path, size: int, part_size: int) -> Source:
    """Return a sparse file, which uses no disk space and reads as zeros.

    It is in shared memory if possible: other file systems fill the page cache with zeros, which costs more CPU than the
    upload.
    """
    path = (SHARED_MEMORY if SHARED_MEMORY.is_dir() else folder) / f"obsup-sparse-{os.getpid()}-{size}"
    with path.open("wb") as file:
        file.truncate(size)
    zeros = bytes(max(1, min(part_size, size)))
    digests = folder / f"sparse-{size}-{part_size}.digests"
    return _with_digests(
        path, size, part_size, digests=digests, read=lambda _at, count: zeros[:count], is_sparse=True
    )


def _with_digests(
    path: Path,
    size: int,
    part_size: int,
    *,
    digests: Path,
    read: Callable[[int, int], bytes],
    is_sparse: bool = False,
) -> Source:
    """Write the digests that the sink returns; the format is in sink.c."""
    lines, md5s = [], []
    crc64, nvme = Model("CRC64-XZ"), Model("CRC64-NVME")
    whole = whole_nvme = 0
    known: dict[int, tuple[str, int, int]] = {}
    for number, begin in enumerate(range(0, max(size, 1), part_size), 1):
        count = min(part_size, size - begin)
        if not is_sparse or count not in known:
            data = read(begin, count)
            known[count] = (
                hashlib.md5(data, usedforsecurity=False).hexdigest(),
                crc64.calc(data),
                nvme.calc(data),
            )
        md5, crc, crc_nvme = known[count]
        whole = crc64.combine(whole, crc, count) if number > 1 else crc
        whole_nvme = nvme.combine(whole_nvme, crc_nvme, count) if number > 1 else crc_nvme
        md5s.append(bytes.fromhex(md5))
        lines.append(f"{number} {md5} {crc} {_base64(crc_nvme)}")
    etag = f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"
    lines.append(f"object {size} {etag} {whole} {_base64(whole_nvme)}")
    digests.write_text("\n".join(lines) + "\n")
    return Source(path, size, part_size, digests)


def _base64(crc: int) -> str:
    return b64encode(crc.to_bytes(8, "big")).decode()
