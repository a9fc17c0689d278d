"""The digest of the object options, by which a resumed upload is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from obsup.engine.job.request import UploadRequest
from obsup.model import ObjectOptions, Target

TARGET = Target("obs", "https://x", "b", "k")


def digest(options: ObjectOptions) -> str:
    """Return the digest of an upload with *options*."""
    return UploadRequest(Path("f"), TARGET, options=options).headers_digest


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ObjectOptions(), "0b4bca77edf74e922420de8be46e1bde"),
        (ObjectOptions(acl="private", metadata={"a": "b"}), "7ecca77200f46e1ea01e8939f40125c8"),
    ],
)
def test_digest_is_that_of_earlier_versions(options: ObjectOptions, expected: str) -> None:
    """A new option must not keep an upload from being resumed after an update."""
    assert digest(options) == expected


def test_every_option_changes_the_digest() -> None:
    """Otherwise the object could have other options than requested."""
    changed = [
        *(ObjectOptions(retention="governance"), ObjectOptions(retention="compliance")),
        *(ObjectOptions(retain_until="30d"), ObjectOptions(legal_hold=True), ObjectOptions(acl="private")),
    ]
    assert len({digest(one) for one in (ObjectOptions(), *changed)}) == len(changed) + 1
