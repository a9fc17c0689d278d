"""Listing objects: over all pages, with what tells whether an object is still the one that was proved."""

from __future__ import annotations

import pytest

from obsup.model import StoredObject
from tests.contract.subjects import PAGE, SUBJECTS, Subject
from tests.contract.test_promises import md5_of
from tests.support.stores import bytes_body

every_store = pytest.mark.parametrize("subject", SUBJECTS, indirect=True)


def listed(subject: Subject, prefix: str) -> list[StoredObject]:
    """Return the objects below *prefix*, page by page."""
    found: list[StoredObject] = []
    marker: str | None = ""
    pages = 0
    while marker is not None:
        page = subject.store.list_objects(subject.server.bucket, prefix, marker)
        assert len(page.objects) <= PAGE
        found += page.objects
        marker = page.marker
        pages += 1
    assert pages >= max(1, len(found) // PAGE)
    return found


@every_store
def test_objects_are_listed_over_all_pages(subject: Subject, key: str) -> None:
    """Ascending by key, with size and ETag, and never those of another prefix."""
    names = [f"{key}/{number}" for number in range(2 * PAGE + 1)] + [f"{key}/é +&<"]
    for number, name in enumerate([*names, f"{key}-stranger"]):
        subject.store.put_object(subject.target(name), bytes_body(b"x" * number), {})
    found = [(one.key, one.size, one.etag.lower()) for one in listed(subject, f"{key}/")]
    assert found == [(name, number, md5_of(b"x" * number)) for number, name in enumerate(names)]


@every_store
def test_a_prefix_without_objects_has_none(subject: Subject, key: str) -> None:
    """That is no error: it is where every first run stands."""
    assert listed(subject, f"{key}/nothing/") == []
