"""The media type of a key by its suffix."""

from __future__ import annotations

import mimetypes
import re

import pytest

from obsup.dialects.objects import media_types
from obsup.dialects.objects.media_types import media_type_of


@pytest.mark.parametrize(
    ("key", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("A.JPG", "image/jpeg"),
        ("dir.txt/a", "binary/octet-stream"),
        ("a.iso", "application/x-iso9660-image"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.7z", "application/x-7z-compressed"),
        ("a.tar", "application/x-tar"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.csv.bz2", "application/x-bzip2"),
        ("a.tar.xz", "application/x-xz"),
        ("data:text/html,x", "binary/octet-stream"),
        ("http://x/a.txt", "text/plain"),
        ("a.txt?x", "binary/octet-stream"),
        ("a.", "binary/octet-stream"),
        ("", "binary/octet-stream"),
        (".txt", "binary/octet-stream"),
    ],
)
def test_media_type_of_a_suffix(key: str, media_type: str) -> None:
    assert media_type_of(key) == media_type


def test_media_type_does_not_depend_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mimetypes.types_map, ".txt", "application/x-surprise")
    mimetypes.add_type("application/x-surprise", ".obsuptest")
    assert media_type_of("a.txt") == "text/plain"
    assert media_type_of("a.obsuptest") == "binary/octet-stream"


def test_each_suffix_has_one_type() -> None:
    rows = [line.split() for line in media_types._TABLE.splitlines() if line]
    suffixes = [suffix for row in rows for suffix in row[1:]]
    assert len(suffixes) == len(set(suffixes)) > 150
    assert all(re.fullmatch(r"[a-z]+/[\w.+-]+", row[0]) and len(row) > 1 for row in rows)
