"""The list of a bucket in ranges of keys, which are read at once."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.engine.batch.bucket_index import open_bucket_index
from obsup.engine.batch.known_files import open_known_files
from obsup.engine.batch.request import BatchRequest, SharedRequest
from obsup.engine.job.request import UploadRequest
from obsup.errors import Denied, Refusal
from obsup.local.state.journal import Journal, JournalEntry
from obsup.model import ObjectPage, SourceStat, StoredObject, Target

PREFIX = Target("s3", "http://store", "bucket", "p/")
PAGE = 3


class PagedStore:
    """A store that lists *keys*, at most PAGE per page. ``markers`` are those of all requests."""

    def __init__(self, keys: set[str], at_once: int = 1) -> None:
        self.keys = sorted(keys, key=str.encode)
        self.markers: list[str] = []
        self._meeting = threading.Barrier(at_once)

    def list_objects(self, _bucket: str, prefix: str, marker: str) -> ObjectPage:
        """Return one page, of the first requests only once as many have begun as should be sent at once."""
        self.markers.append(marker)
        if len(self.markers) <= self._meeting.parties:
            self._meeting.wait(10)
        found = [key for key in self.keys if key.startswith(prefix) and key.encode() > marker.encode()]
        page = tuple(StoredObject(key, 1, "etag", "") for key in found[:PAGE])
        return ObjectPage(page, page[-1].key if len(found) > PAGE else None)


def names(*numbers: int) -> list[str]:
    """Return the keys with these numbers."""
    return [f"p/{number:02}" for number in numbers]


@given(
    st.sets(st.text("aé\U0001f600/", min_size=1, max_size=4)), st.sets(st.text("aé/", min_size=1, max_size=3))
)
def test_ranges_find_what_one_list_finds(stored: set[str], boundaries: set[str]) -> None:
    """Wherever the boundaries are: the journal may have other keys than the bucket."""
    store: Any = PagedStore({f"p/{key}" for key in stored})
    ends = sorted((f"p/{key}" for key in boundaries), key=str.encode)
    with open_bucket_index(store, PREFIX, ends, max_pages=100, observe=events.ignore) as index:
        for key in (*store.keys, *ends, "p/zzz"):
            assert index.covers(key)
            assert (index.find(key) is not None) == (key in store.keys)


def test_the_lists_of_ranges_are_read_at_once() -> None:
    """Each begins behind the last key of the range before."""
    store: Any = PagedStore(set(names(*range(12))), at_once=3)
    with open_bucket_index(store, PREFIX, names(3, 7), max_pages=100, observe=events.ignore) as index:
        assert all(index.find(key) for key in store.keys)
    assert sorted(store.markers[:3]) == ["", "p/03", "p/07"]


@pytest.mark.parametrize(("jobs", "lists"), [(1, 1), (2, 2), (5, 3)])
def test_no_more_lists_at_once_than_parts_in_flight(tmp_path: Path, jobs: int, lists: int) -> None:
    """Each has a connection, of which --jobs or the limit of open files may allow only one."""
    path, stat = tmp_path / "journal", SourceStat(1, 0, 0, 0, 0)
    with closing(Journal(path, PREFIX)) as journal:
        journal.add(*(JournalEntry(f"{number:04}", stat, "etag", "etag", "") for number in range(2000)))
    store: Any = PagedStore(set())
    store.dialect = find_dialect("s3")
    connection: Any = SimpleNamespace(store=store, customer_key_digest="")
    shared = SharedRequest(UploadRequest(Path("-"), PREFIX, jobs=jobs), PREFIX)
    request = BatchRequest(lambda: iter(()), shared, "id", path)
    with open_known_files(request, connection, events.ignore):
        assert sorted(store.markers) == ["", "p/0999", "p/1999"][:lists]


def test_a_range_with_too_many_objects_is_not_listed_to_its_end() -> None:
    """The keys behind its last page are not covered; those of other ranges are."""
    store: Any = PagedStore({*names(1, 2), *(f"p/03{letter}" for letter in "abcdefghijk"), "p/09"})
    with open_bucket_index(store, PREFIX, names(2, 8), max_pages=2, observe=events.ignore) as index:
        assert [index.covers(key) for key in ("p/01", "p/03f", "p/03g", "p/08", "p/09", "p/10")] == [
            True,
            True,
            False,
            False,
            True,
            True,
        ]
    assert len(store.markers) == 4


class StoreWithItsOwnOrder(PagedStore):
    """A store that lists keys by their last character, and begins anew behind a marker that it does not know."""

    def list_objects(self, _bucket: str, _prefix: str, marker: str) -> ObjectPage:
        self.markers.append(marker)
        found = sorted(self.keys, key=lambda key: key[::-1])
        found = found[found.index(marker) + 1 if marker in found else 0 :]
        page = tuple(StoredObject(key, 1, "etag", "") for key in found[:PAGE])
        return ObjectPage(page, page[-1].key if len(found) > PAGE else None)


def test_a_store_with_another_order_has_one_range() -> None:
    """The list of a range would end at a key behind its end, and lack others of it. They would be sent again."""
    store: Any = StoreWithItsOwnOrder(set(names(*range(40))))
    with open_bucket_index(store, PREFIX, names(9, 19, 29), max_pages=10, observe=events.ignore) as index:
        assert all(index.covers(key) and index.find(key) for key in store.keys)


def test_an_incomplete_list_in_another_order_covers_nothing() -> None:
    """The keys that it lacks may be anywhere."""
    store: Any = StoreWithItsOwnOrder(set(names(*range(40))))
    with open_bucket_index(store, PREFIX, (), max_pages=2, observe=events.ignore) as index:
        assert not any(index.covers(key) for key in store.keys)


def test_a_list_that_is_denied_covers_nothing() -> None:
    """Each file in the journal costs one request, as a note says."""

    class Denying:
        def list_objects(self, *_arguments: str) -> ObjectPage:
            raise Denied("no", refusal=Refusal("ListObjects", "bucket", 403, "AccessDenied"))

    store: Any = Denying()
    observed: list[events.Event] = []
    with open_bucket_index(store, PREFIX, names(2), max_pages=2, observe=observed.append) as index:
        assert not index.covers("p/01")
        assert index.find("p/01") is None
    (note,) = observed
    assert isinstance(note, events.Noted)
