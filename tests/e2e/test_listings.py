"""The windows on the lists of parts and of open uploads: markers, delimiter and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside

KEYS = ("2026/a", "2026/b", "2026/c d", "readme", "video/1")
PROVIDERS = ("obs", "s3", "oss")


@pytest.fixture
def uploads(inside: Inside) -> list[tuple[str, str]]:
    """An open upload of each key and two of the last, as pairs of key and upload id in the order of the list."""
    found = [(key, inside.run("init", f"bucket/{key}").out.strip()) for key in (*KEYS, KEYS[-1])]
    return sorted(found)


def listed(out: str) -> list[tuple[str, str]]:
    """Return the key and the upload id of each line."""
    return [(line.split("\t")[0], line.split("\t")[1]) for line in out.splitlines()]


def test_uploads_continue_after_the_markers(inside: Inside, uploads: list[tuple[str, str]]) -> None:
    """The key marker alone skips all uploads of its key; with an upload id, later ones of that key follow."""
    outcome = inside.run("uploads", "bucket", "--key-marker", "2026/c d")
    assert (outcome.code, listed(outcome.out), outcome.err) == (0, uploads[3:], "")
    key, first = uploads[-2]
    markers = ("--key-marker", key, "--upload-id-marker", first)
    assert listed(inside.run("uploads", "bucket", *markers).out) == uploads[-1:]
    assert listed(inside.run("uploads", "bucket", "--key-marker", key).out) == []


def test_an_upload_id_marker_needs_the_key(inside: Inside, sandbox: Sandbox) -> None:
    """Stores ignore it without a key marker, so that the whole list would follow."""
    outcome = inside.run("uploads", "bucket", "--upload-id-marker", "x")
    assert (outcome.code, "--upload-id-marker needs --key-marker" in outcome.err) == (2, True)
    assert sandbox.requests == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_uploads_of_a_folder_are_one_entry(
    inside: Inside, uploads: list[tuple[str, str]], provider: str
) -> None:
    """In their place in the list, without an upload id; --long has no columns for them."""
    prefixes = [("2026/", ""), ("video/", "")]
    expected = sorted([*prefixes, *(one for one in uploads if "/" not in one[0])])
    arguments = ("uploads", f"{provider}://bucket", "--region", "eu-test-1", "--delimiter", "/")
    outcome = inside.run(*arguments)
    assert (outcome.code, listed(outcome.out)) == (0, expected), outcome.err
    assert {line.count("\t") for line in inside.run(*arguments, "--long").out.splitlines()} == {8}
    found = inside.run(*arguments, "--json").json
    assert found["commonPrefixes"] == ["2026/", "video/"]
    assert [one["key"] for one in found["uploads"]] == ["readme"]
    below = inside.run("uploads", f"{provider}://bucket/2026/", *arguments[2:])
    assert listed(below.out) == uploads[:3]


def pages(inside: Inside, *options: str) -> Iterator[list[tuple[str, str]]]:
    """Yield the lists of the command and of those that its notes ask for."""
    added: list[str] = []
    while True:
        outcome = inside.run("uploads", "bucket", "--max-uploads", "2", *options, *added)
        assert outcome.code == 0
        yield listed(outcome.out)
        following = inside.run("uploads", "bucket", "--max-uploads", "2", *options, *added, "--json").json
        assert following["isTruncated"] is bool(outcome.err)
        if not following["isTruncated"]:
            assert (following["nextKeyMarker"], following["nextUploadIdMarker"]) == (None, None)
            return
        added = ["--key-marker", following["nextKeyMarker"]]
        if following["nextUploadIdMarker"]:
            added += ["--upload-id-marker", following["nextUploadIdMarker"]]
        assert "there are more uploads; to list them, add: --key-marker" in outcome.err


@pytest.mark.parametrize("options", [(), ("--delimiter", "/")])
def test_max_uploads_limits_the_list(
    inside: Inside, uploads: list[tuple[str, str]], options: tuple[str, ...]
) -> None:
    """The note and the JSON have the markers of the rest: all lists together have every entry once."""
    found = list(pages(inside, *options))
    expected = uploads if not options else [("2026/", ""), uploads[3], ("video/", "")]
    assert [entry for page in found for entry in page] == expected
    assert [len(page) for page in found] == ([2, 2, 2] if not options else [2, 1])


def test_max_uploads_may_exceed_a_page(inside: Inside, uploads: list[tuple[str, str]]) -> None:
    """The limit is that of the command, not of one request."""
    assert listed(inside.run("uploads", "bucket", "--max-uploads", "5000").out) == uploads
    assert inside.run("uploads", "bucket", "--max-uploads", "0").code == 2


def test_parts_in_a_window(inside: Inside, sandbox: Sandbox, make_file: Callable[..., Path]) -> None:
    """--part-number-marker and --max-parts-listed; the note and the JSON have the marker of the rest."""
    source = make_file(10)
    upload_id = inside.run("init", "bucket/key").out.strip()
    [upload] = sandbox.uploads()
    for number in (1, 2, 5, 7):
        options = ("--upload-id", upload_id, "--part-number", str(number), "--offset", "0")
        sent = inside.run("part", source, "bucket/key", *options)
        assert sent.code == 0, sent.err
    arguments = ("parts", "bucket/key", "--upload-id", upload.upload_id)

    def numbers(*options: str) -> tuple[list[int], str]:
        outcome = inside.run(*arguments, *options)
        return [int(line.split("\t")[0]) for line in outcome.out.splitlines()], outcome.err

    assert numbers() == ([1, 2, 5, 7], "")
    assert numbers("--part-number-marker", "2") == ([5, 7], "")
    assert numbers("--part-number-marker", "2", "--max-parts-listed", "2") == ([5, 7], "")
    more = "Note:  there are more parts; to list them, add: --part-number-marker 5\n"
    assert numbers("--part-number-marker", "1", "--max-parts-listed", "2") == ([2, 5], more)
    found = inside.run(*arguments, "--max-parts-listed", "3", "--json").json
    assert (found["isTruncated"], found["nextPartNumberMarker"], found["parts"]) == (True, 5, 3)
    assert inside.run(*arguments, "--json").json["isTruncated"] is False
