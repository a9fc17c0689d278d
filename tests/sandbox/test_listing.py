"""Lists, page by page, with their markers, prefixes and encodings."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, unquote_plus

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.client import Client, Reply

KEYS = ["a", "a/b", "a/c", "dir//x", "z z+%", "ä"]


def pages(ask: Callable[[dict[str, str]], Reply], **markers: str) -> list[Reply]:
    """Follow a list to its end: *markers* map query parameters to the elements they come from."""
    found: list[Reply] = []
    query: dict[str, str] = {}
    while not found or found[-1].text("IsTruncated") == "true":
        found.append(ask(query))
        query = {name.replace("_", "-"): found[-1].text(element) for name, element in markers.items()}
        assert len(found) < 100
    return found


def uploads_by_page(client: Client, **filters: str) -> list[Reply]:
    fixed: dict[str, str | None] = {"uploads": None, **{n.replace("_", "-"): v for n, v in filters.items()}}
    return pages(
        lambda query: client.send("GET", "", {**fixed, **query}),
        key_marker="NextKeyMarker",
        upload_id_marker="NextUploadIdMarker",
    )


@pytest.mark.parametrize("page", [1, 2, 3, 7, 1000])
def test_parts_come_by_number_behind_the_marker(
    start: Callable[..., Sandbox], connect: Callable[..., Client], page: int
) -> None:
    client = connect(start(limits={"page": page}))
    upload_id = client.initiate("key")
    numbers = [7, 1, 10000, 3, 2, 50, 6]
    for number in numbers:
        client.part("key", upload_id, number, b"x" * number)
    found = pages(
        lambda query: client.send("GET", "key", {"uploadId": upload_id, **query}),
        part_number_marker="NextPartNumberMarker",
    )
    assert len(found) == -(-7 // page)
    listed = [int(text) for reply in found for text in reply.texts("Part/PartNumber")]
    assert listed == sorted(numbers)
    assert [text for reply in found for text in reply.texts("Part/Size")] == [str(n) for n in listed]
    assert found[0].text("MaxParts") == str(page)


def test_max_parts_asks_for_less_but_not_for_more(client: Client) -> None:
    upload_id = client.initiate("key")
    for number in (1, 2, 3):
        client.part("key", upload_id, number, b"x")
    for asked, shown in (("2", "2"), ("0", "1000"), ("5000", "1000")):
        reply = client.send("GET", "key", {"uploadId": upload_id, "max-parts": asked})
        assert reply.text("MaxParts") == shown
    assert client.send("GET", "key", {"uploadId": upload_id, "max-parts": "x"}).code == "InvalidArgument"


@pytest.mark.parametrize("page", [1, 2, 5, 1000])
def test_uploads_come_by_key_and_id_behind_both_markers(
    start: Callable[..., Sandbox], connect: Callable[..., Client], page: int
) -> None:
    client = connect(start(limits={"page": page}))
    opened = sorted((key.encode(), client.initiate(key)) for key in KEYS * 2)
    found = uploads_by_page(client)
    keys = [text.encode() for reply in found for text in reply.texts("Upload/Key")]
    ids = [text for reply in found for text in reply.texts("Upload/UploadId")]
    assert list(zip(keys, ids, strict=True)) == opened
    assert len(found) == -(-len(opened) // page)


def test_an_upload_id_marker_without_a_key_marker_is_ignored(client: Client) -> None:
    client.initiate("key")
    reply = client.send("GET", "", {"uploads": None, "upload-id-marker": "F" * 32})
    assert reply.texts("Upload/Key") == ["key"]


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_a_delimiter_rolls_keys_up(
    start: Callable[..., Sandbox], connect: Callable[..., Client], page: int
) -> None:
    client = connect(start(limits={"page": page}))
    for key in KEYS:
        client.initiate(key)
    found = uploads_by_page(client, delimiter="/")
    assert [text for reply in found for text in reply.texts("CommonPrefixes/Prefix")] == ["a/", "dir/"]
    assert [text for reply in found for text in reply.texts("Upload/Key")] == ["a", "z z+%", "ä"]
    found = uploads_by_page(client, prefix="a/")
    assert [text for reply in found for text in reply.texts("Upload/Key")] == ["a/b", "a/c"]
    found = uploads_by_page(client, prefix="dir/", delimiter="/")
    assert [text for reply in found for text in reply.texts("CommonPrefixes/Prefix")] == ["dir//"]


def test_keys_are_encoded_on_request_in_the_vendors_way(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    key = "a b+%/ä"
    for dialect, encoded, decode in (
        ("obs", "a+b%2B%25%2F%C3%A4", unquote_plus),
        ("aws2", "a+b%2B%25/%C3%A4", unquote_plus),
        ("oss1", "a%20b%2B%25%2F%C3%A4", unquote),
    ):
        client = connect(sandbox, dialect, f"bucket-{dialect}")
        client.initiate(key)
        plain = client.send("GET", "", {"uploads": None})
        assert (plain.text("Upload/Key"), plain.text("EncodingType")) == (key, "")
        reply = client.send("GET", "", {"uploads": None, "encoding-type": "url"})
        assert (reply.text("Upload/Key"), reply.text("EncodingType")) == (encoded, "url")
        assert decode(reply.text("Upload/Key")) == key


def test_s3_encodes_only_lists_and_the_others_every_response(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    for dialect, wanted in (("obs", "a+b"), ("aws2", "a b"), ("oss1", "a%20b")):
        client = connect(sandbox, dialect)
        query = {"uploads": None, "encoding-type": "url"}
        reply = client.send("POST", "a b", query)
        assert reply.text("Key") == wanted
        upload_id = reply.text("UploadId")
        query = {"uploadId": upload_id, "encoding-type": "url"}
        assert client.send("GET", "a b", query).text("Key") == wanted
    assert client.send("POST", "key", {"uploads": None, "encoding-type": "x"}).code == "InvalidArgument"


@pytest.mark.parametrize("page", [1, 2, 1000])
@pytest.mark.parametrize("version", ["1", "2"])
def test_objects_come_by_key(
    start: Callable[..., Sandbox], connect: Callable[..., Client], page: int, version: str
) -> None:
    client = connect(start(limits={"page": page}))
    for key in KEYS:
        client.send("PUT", key, body=key.encode())
    marker = {"marker": "NextMarker"} if version == "1" else {"continuation_token": "NextContinuationToken"}
    found = pages(lambda query: client.send("GET", "", {"list-type": version, **query}), **marker)
    assert [text for reply in found for text in reply.texts("Contents/Key")] == KEYS
    sizes = [text for reply in found for text in reply.texts("Contents/Size")]
    assert sizes == [str(len(key.encode())) for key in KEYS]


def test_lists_have_the_vendors_namespace(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    for dialect, wanted in (
        ("obs", b'xmlns="http://obs.'),
        ("aws2", b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'),
        ("oss1", None),
    ):
        reply = connect(sandbox, dialect).send("GET", "", {"uploads": None})
        assert (wanted or b"xmlns") in reply.body or wanted is None
        assert (b"xmlns" in reply.body) is (wanted is not None)
        assert reply.headers["content-type"] == "application/xml"
