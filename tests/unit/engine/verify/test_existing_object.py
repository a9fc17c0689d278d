"""Find an object in the lists of a bucket."""

from __future__ import annotations

from typing import Any, cast

import pytest

from obsup.engine.verify.existing_object import find_listed
from obsup.model import ObjectPage, StoredObject, Target
from obsup.store.interface import ObjectStore

TARGET = Target("s3", "https://store.example", "bucket", "key")


class Pages:
    """A store that lists *pages*, each with these keys; the marker is the number of the next one."""

    def __init__(self, *pages: list[str]) -> None:
        self.pages = pages
        self.requests = 0

    def list_objects(self, _bucket: str, _prefix: str, marker: str) -> ObjectPage:
        self.requests += 1
        number = int(marker or 0)
        objects = tuple(StoredObject(key, 5, "etag", "") for key in self.pages[number])
        return ObjectPage(objects, str(number + 1) if number + 1 < len(self.pages) else None)


@pytest.mark.parametrize(
    ("pages", "is_found", "requests"),
    [
        ([["key", "key2"], ["key3"]], True, 1),
        ([["key1", "key2"], ["key3"]], False, 1),
        ([[], ["key"]], True, 2),
        ([["key2", "key1"], ["key"]], True, 2),
        ([["key2", "key1"], ["key4", "key3"]], False, 2),
        ([[]], False, 1),
    ],
)
def test_the_key_is_searched_as_far_as_it_may_be(
    pages: list[list[str]], is_found: bool, requests: int
) -> None:
    """It is the first one in the order of bytes; a page may be empty, and some stores have another order."""
    store = Pages(*pages)
    found = find_listed(cast(ObjectStore, cast(Any, store)), TARGET)
    assert ((found is not None), store.requests) == (is_found, requests)
