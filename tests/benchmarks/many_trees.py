"""Trees of many files, and whether a sink has them as they are."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
FOLDER = 100
# Those that send one file after the other get so many fewer of the smallest.
FEW = 10


@dataclass(frozen=True)
class Kind:
    """A tree: how many files of which size (bytes)."""

    name: str
    files: tuple[tuple[int, int], ...]


TREES = (
    Kind("small", ((20_000, 4 * KIB),)),
    Kind("large", ((200, 8 * MIB),)),
    Kind("mixture", ((5000, 4 * KIB), (500, 256 * KIB), (40, 8 * MIB), (2, 64 * MIB))),
)


@dataclass(frozen=True)
class Tree:
    """A tree of *count* files with *size* bytes together; ``md5s`` by name."""

    path: Path
    count: int
    size: int
    md5s: dict[str, str]


def make(folder: Path, name: str, share: int = 1, *, few: bool = False) -> Tree:
    """Return the tree *name* below *folder*, made where it is not there: one file of *share*, *few* of the smallest."""
    kind = next(one for one in TREES if one.name == name)
    path = folder / f"tree-{name}-{share}{'-few' if few and name == 'small' else ''}"
    size, md5s = 0, {}
    for wanted, each in kind.files:
        fewer = FEW if few and name == "small" else 1
        for number in range(max(1, wanted // share // fewer)):
            inner = f"{each}/{number // FOLDER:03}/{number % FOLDER:02}.bin"
            data = content(f"{name} {each} {number}", each)
            file = path / inner
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            md5s[inner] = hashlib.md5(data, usedforsecurity=False).hexdigest()
            size += each
    return Tree(path, len(md5s), size, md5s)


def content(seed: str, size: int) -> bytes:
    """Return *size* bytes that are no other file's."""
    head = random.Random(seed).randbytes(min(size, 4 * KIB))
    return (head * (-(-size // len(head))))[:size]


def unlike(tree: Tree, kept: Path) -> list[str]:
    """Return the files of *tree* that the sink, which wrote *kept*, has not or has otherwise."""
    found = {}
    for line in kept.read_text().splitlines():
        key, arrived_size, etag = line.rsplit(" ", 2)
        found[key] = (int(arrived_size), etag)
    wrong = []
    for name, md5 in tree.md5s.items():
        arrived, etag = found.get(f"p/{name}", (-1, ""))
        is_same = etag == md5 if "-" not in etag else _is_composite(tree.path / name, etag)
        if arrived != (tree.path / name).stat().st_size or not is_same:
            wrong.append(name)
    return wrong


def _is_composite(path: Path, etag: str) -> bool:
    """Return whether *etag* is that of the file in parts of some size that the peers use."""
    data = path.read_bytes()
    for part in (mib * MIB for mib in (5, 8, 9, 15, 16, 50)):
        md5s = [
            hashlib.md5(data[at : at + part], usedforsecurity=False).digest()
            for at in range(0, len(data), part)
        ]
        whole = hashlib.md5(b"".join(md5s), usedforsecurity=False).hexdigest()
        if etag == f"{whole}-{len(md5s)}":
            return True
    return False
