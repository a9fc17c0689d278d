"""MD5s of several parts at once: of groups, for threads that send the parts, and for a file that changes."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from obsup.errors import SourceChanged
from obsup.local.source import part_md5s
from obsup.local.source.digest import PartDigest
from obsup.local.source.identity import stat_source
from obsup.local.source.part_md5s import PartGroup, hash_grouped, in_groups
from obsup.model import Part
from obsup.units import MIB
from tests.support.extension import installed

# One process compiles the module.
pytestmark = pytest.mark.xdist_group("extension")

PART = 10_000
PARTS = [Part(number, (number - 1) * PART, PART) for number in range(1, 41)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 40 parts."""
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(40 * PART))
    return path


def md5_of(source: Path, part: Part) -> str:
    """Return the MD5 of a part, from the whole content."""
    return hashlib.md5(source.read_bytes()[part.offset : part.offset + part.size]).hexdigest()


@pytest.mark.usefixtures("way")
def test_threads_take_the_md5s_of_parts_that_are_hashed_in_groups(source: Path) -> None:
    """In any order, also of parts that are hashed one by one because they are sent again."""
    stat = stat_source(source)
    grouped = [*in_groups(source, stat, PARTS, None)] * 2
    random.Random(2).shuffle(grouped)

    def hashed(pair: tuple[Part, PartGroup | None]) -> str | None:
        return hash_grouped(pair[1], source, pair[0], stat, PartDigest(md5=True), None).md5

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(hashed, grouped)] == [md5_of(source, part) for part, _ in grouped]


def test_an_md5_is_taken_once(source: Path, module: ModuleType | None) -> None:
    """A part that is sent again may have changed, so it is hashed again."""
    if module is None:
        return
    with installed(module):
        groups = [group for _, group in in_groups(source, stat_source(source), PARTS, None)]
        first, last = groups[0], groups[-1]
        assert first is not None
        assert last is not None
        assert groups == [first] * 16 + [first.next] * 16 + [last] * 8
        assert [first.take(1), first.take(1), last.take(40)] == [
            md5_of(source, PARTS[0]),
            None,
            md5_of(source, PARTS[39]),
        ]


@pytest.mark.usefixtures("way")
def test_a_file_that_changed_before_it_is_hashed_is_reported(source: Path) -> None:
    """As when it is read to be sent."""
    stat = stat_source(source)
    source.write_bytes(bytes(40 * PART + 1))
    part, group = next(in_groups(source, stat, PARTS, None))
    with pytest.raises(SourceChanged):
        hash_grouped(group, source, part, stat, PartDigest(md5=True), None)


def test_groups_fit_the_page_cache(source: Path, module: ModuleType | None) -> None:
    """Sixteen parts at most, and fewer large ones; one that is larger than a group is hashed while it is sent."""
    if module is None:
        return
    sizes = [9 * MIB] * 17 + [100 * MIB] * 3 + [300 * MIB]
    parts = [Part(number, 0, size) for number, size in enumerate(sizes, 1)]
    with installed(module):
        found = [
            group.parts
            for _, group in in_groups(source, stat_source(source), parts, None)
            if group is not None
        ]
        counts = [len(one) for i, one in enumerate(found) if i == 0 or one is not found[i - 1]]
        assert counts == [16, 3, 1, 1]
        assert part_md5s.md5s_of_parts(source, parts[-1:], stat_source(source), None) is None
