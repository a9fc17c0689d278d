"""Listing objects: all pages, with the size and ETag that identify a verified object."""

from __future__ import annotations

import pytest

from obsup.model import StoredObject
from tests.contract.subjects import PAGE_SIZE, SUBJECTS, Subject
from tests.contract.test_operations import md5_of
from tests.support.stores import bytes_body

every_store = pytest.mark.parametrize("subject", SUBJECTS, indirect=True)


def list_all(subject: Subject, prefix: str) -> list[StoredObject]:
    """Return all objects with *prefix*, requested page by page."""
    objects: list[StoredObject] = []
    marker: str | None = ""
    pages = 0
    while marker is not None:
        page = subject.store.list_objects(subject.server.bucket, prefix, marker)
        assert len(page.objects) <= PAGE_SIZE
        objects += page.objects
        marker = page.marker
        pages += 1
    assert pages >= max(1, len(objects) // PAGE_SIZE)
    return objects


@every_store
def test_objects_are_listed_over_all_pages(subject: Subject, key: str) -> None:
    """They are sorted by key, have size and ETag, and have the requested prefix."""
    names = [f"{key}/{number}" for number in range(2 * PAGE_SIZE + 1)] + [f"{key}/é +&<"]
    for number, name in enumerate([*names, f"{key}-other"]):
        subject.store.put_object(subject.target(name), bytes_body(b"x" * number), {})
    objects = [(info.key, info.size, info.etag.lower()) for info in list_all(subject, f"{key}/")]
    assert objects == [(name, number, md5_of(b"x" * number)) for number, name in enumerate(names)]


@every_store
def test_a_prefix_without_objects_is_an_empty_list(subject: Subject, key: str) -> None:
    """It is not an error: every first run of a batch gets it."""
    assert list_all(subject, f"{key}/nothing/") == []
