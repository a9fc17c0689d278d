"""Trees of many files, and the comparison of a tree with what a sink received."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
FOLDER = 100
# Tools that send one file at a time get this fraction of the smallest files.
SLOW_PEER_DIVISOR = 10


@dataclass(frozen=True)
class Kind:
    """A kind of tree: pairs of the number of files and their size in bytes."""

    name: str
    files: tuple[tuple[int, int], ...]


TREES = (
    Kind("small", ((20_000, 4 * KIB),)),
    Kind("large", ((200, 8 * MIB),)),
    Kind("mixture", ((5000, 4 * KIB), (500, 256 * KIB), (40, 8 * MIB), (2, 64 * MIB))),
)


@dataclass(frozen=True)
class Tree:
    """A tree of *count* files with *size* bytes in total; ``md5s`` by name."""

    path: Path
    count: int
    size: int
    md5s: dict[str, str]


def make_tree(folder: Path, name: str, share: int = 1, *, few: bool = False) -> Tree:
    """Create the tree *name* below *folder* if missing: one of *share* files; *few* reduces the small ones."""
    kind = next(one for one in TREES if one.name == name)
    path = folder / f"tree-{name}-{share}{'-few' if few and name == 'small' else ''}"
    size, md5s = 0, {}
    for wanted, each in kind.files:
        divisor = SLOW_PEER_DIVISOR if few and name == "small" else 1
        for number in range(max(1, wanted // share // divisor)):
            inner = f"{each}/{number // FOLDER:03}/{number % FOLDER:02}.bin"
            data = make_content(f"{name} {each} {number}", each)
            file = path / inner
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            md5s[inner] = hashlib.md5(data, usedforsecurity=False).hexdigest()
            size += each
    return Tree(path, len(md5s), size, md5s)


def make_content(seed: str, size: int) -> bytes:
    """Return *size* bytes that depend on *seed*."""
    head = random.Random(seed).randbytes(min(size, 4 * KIB))
    return (head * (-(-size // len(head))))[:size]


def find_differences(tree: Tree, received: Path) -> list[str]:
    """Return the files of *tree* that are missing or different in *received*, which the sink wrote."""
    found = {}
    for line in received.read_text().splitlines():
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
    """Return whether *etag* is that of a multipart upload of the file with a part size that the peers use."""
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
