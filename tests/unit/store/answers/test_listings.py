"""Lists over all pages, and servers that never end a list."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from obsup.dialects.registry import DIALECTS
from obsup.errors import NetworkError
from obsup.model import ListWindow, StoredPart, Upload
from obsup.store.answers import listings
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, response
from tests.support.stores import open_store, small_pages, target

Script = Callable[[ReceivedRequest], Reply]


def parts_page(
    *numbers: object, more: bool = False, following: object = None, upload_id: str = "the-id"
) -> Reply:
    marker = "" if following is None else f"<NextPartNumberMarker>{following}</NextPartNumberMarker>"
    parts = "".join(
        f"<Part><PartNumber>{n}</PartNumber><Size>5</Size><ETag>&quot;e{n}&quot;</ETag></Part>"
        for n in numbers
    )
    return response(
        200,
        f"<ListPartsResult><UploadId>{upload_id}</UploadId><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{marker}{parts}</ListPartsResult>",
    )


def list_parts(script: Script) -> tuple[list[StoredPart], list[ReceivedRequest]]:
    with ScriptedServer(script) as server, open_store("obs", server.endpoint) as store:
        return list(store.list_parts(Upload(target(server.endpoint), "the-id"))), server.received


def replay(*replies: Reply) -> Script:
    left = iter(replies)
    return lambda _: next(left)


def marker_of(request: ReceivedRequest, name: str) -> str:
    return parse_qs(urlsplit(request.target).query).get(name, [""])[0]


def test_parts_come_from_all_pages() -> None:
    """The marker is the last part of the page before."""
    parts, asked = list_parts(
        replay(
            parts_page(1, 3, more=True, following=3),
            parts_page(4, 9000, more=True, following=9000),
            parts_page(),
        )
    )
    assert [(part.number, part.size, part.etag) for part in parts] == [
        (1, 5, "e1"),
        (3, 5, "e3"),
        (4, 5, "e4"),
        (9000, 5, "e9000"),
    ]
    assert [marker_of(one, "part-number-marker") for one in asked] == ["0", "3", "9000"]
    assert {marker_of(one, "max-parts") for one in asked} == {"1000"}


def test_more_parts_without_a_marker_go_on_from_the_last() -> None:
    parts, asked = list_parts(replay(parts_page(1, 2, more=True), parts_page(3)))
    assert [part.number for part in parts] == [1, 2, 3]
    assert marker_of(asked[1], "part-number-marker") == "2"


def test_part_that_is_listed_twice_counts_once() -> None:
    """A store whose marker is inclusive."""
    parts, _ = list_parts(replay(parts_page(1, 2, more=True), parts_page(2, 3)))
    assert [part.number for part in parts] == [1, 2, 3]


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_part_that_is_listed_twice_the_newest_counts(order: int) -> None:
    """SeaweedFS keeps the part that was replaced until Complete, and lists both in any order."""
    page = "".join(
        f"<Part><PartNumber>1</PartNumber><Size>{size}</Size><ETag>e{size}</ETag>"
        f"<LastModified>2026-11-29T21:53:4{size}Z</LastModified></Part>"
        for size in (3, 6)[::order]
    )
    body = f"<ListPartsResult><UploadId>the-id</UploadId><IsTruncated>false</IsTruncated>{page}</ListPartsResult>"
    parts, _ = list_parts(replay(response(200, body)))
    assert [(part.number, part.etag) for part in parts] == [(1, "e6")]


def test_part_that_the_protocol_does_not_have_is_left_out() -> None:
    """Ceph takes parts 0 and 10001; whose ever they are, they are none of ours."""
    parts, asked = list_parts(replay(parts_page(0, 1, more=True), parts_page(10000, 10001, more=True)))
    assert [part.number for part in parts] == [1, 10000]
    assert len(asked) == 2


@pytest.mark.parametrize(
    "replies",
    [
        [parts_page(more=True)],
        [parts_page(1, more=True), parts_page(1, more=True, following=1)],
        [parts_page(1, 2, more=True), parts_page(1, more=True, following=1)],
        [parts_page(more=True, following=20000)],
        [parts_page(-1)],
        [parts_page("x")],
        [parts_page("9" * 30)],
        [parts_page(1, following="x")],
        [parts_page(1, upload_id="another")],
    ],
)
def test_list_of_parts_that_lies_is_left(replies: list[Reply]) -> None:
    """Truncated without a marker, with a repeated marker, with invalid numbers, or of another upload."""
    with pytest.raises(NetworkError) as caught:
        list_parts(replay(*replies))
    assert caught.value.kind == "garbled"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (response(204), "garbled"),
        (response(200), "garbled"),
        (Reply([b"HTTP/1.1 202 Accepted\r\n\r\n"], close=True), "garbled"),
        (Reply([b"HTTP/1.1 200 OK\r\n\r\n"], close=True), "incomplete"),
    ],
)
def test_a_success_without_a_list(reply: Reply, kind: str) -> None:
    """It is what the server answered, unless it closed the connection in place of the list."""
    with pytest.raises(NetworkError) as caught:
        list_parts(replay(reply))
    assert caught.value.kind == kind
    assert kind != "garbled" or "without a body" in caught.value.detail


def uploads_page(*keys: str, more: bool = False, extra: str = "") -> Reply:
    uploads = "".join(
        f"<Upload><Key>{key}</Key><UploadId>id-{key}</UploadId><Initiated>now</Initiated></Upload>"
        for key in keys
    )
    return response(
        200,
        f"<ListMultipartUploadsResult><IsTruncated>{str(more).lower()}</IsTruncated>{extra}{uploads}"
        "</ListMultipartUploadsResult>",
    )


def list_uploads(
    script: Script, prefix: str = "", *, dialect: str = "obs"
) -> tuple[list[tuple[str, str]], list[ReceivedRequest]]:
    with ScriptedServer(script) as server, open_store(dialect, server.endpoint) as store:
        found = [(one.key, one.upload_id) for one in store.list_uploads("bucket", prefix)]
        return found, server.received


def test_uploads_come_from_all_pages() -> None:
    """With both markers: the upload id's alone means nothing."""
    following = "<NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>id-b</NextUploadIdMarker>"
    uploads, asked = list_uploads(
        replay(uploads_page("a", "b", more=True, extra=following), uploads_page("c"))
    )
    assert uploads == [("a", "id-a"), ("b", "id-b"), ("c", "id-c")]
    assert (marker_of(asked[1], "key-marker"), marker_of(asked[1], "upload-id-marker")) == ("b", "id-b")


def test_more_uploads_without_a_marker_go_on_from_the_last() -> None:
    uploads, asked = list_uploads(replay(uploads_page("a", more=True), uploads_page("b")))
    assert [key for key, _ in uploads] == ["a", "b"]
    assert marker_of(asked[1], "key-marker") == "a"


def test_keys_are_decoded_if_the_response_declares_it() -> None:
    """Old servers ignore encoding-type: then a percent sign is part of the key."""
    encoded = "<EncodingType>url</EncodingType><NextKeyMarker>x%2By</NextKeyMarker>"
    uploads, asked = list_uploads(
        replay(
            uploads_page("a%2Fb+c%0A", more=True, extra=encoded),
            uploads_page("a/b c\n", more=True),
            uploads_page("100%"),
        )
    )
    assert [key for key, _ in uploads] == ["a/b c\n", "100%"]
    assert marker_of(asked[2], "key-marker") == "x+y"
    assert [marker_of(one, "encoding-type") for one in asked] == ["url", "", "url"]


@pytest.mark.parametrize(
    ("shown", "plain", "found"),
    [
        (["a+b", "%41 100%", "c"], ["a+b", "%41 100%", "c"], ["a+b", "%41 100%", "c"]),
        (["a%2Bb", "x%1B"], ["a+b", "x\x1b"], ["a+b", "x\x1b"]),  # the page without encoding is not valid XML
        (["é", "100%"], None, ["é", "100%"]),
    ],
)
def test_declared_keys_are_decoded_only_if_the_store_encodes_them(
    shown: list[str], plain: list[str] | None, found: list[str]
) -> None:
    """SeaweedFS declares that it encodes the keys of uploads, and does not."""
    pages = [uploads_page(*shown, extra="<EncodingType>url</EncodingType>")]
    pages += [uploads_page(*plain)] if plain is not None else []
    uploads, _ = list_uploads(replay(*pages))
    assert [key for key, _ in uploads] == found


def test_a_list_that_continues_from_an_upload_id_gets_no_key() -> None:
    """SeaweedFS returns only the next upload id, and with a key it lists that key alone."""
    following = "<NextUploadIdMarker>id-b</NextUploadIdMarker>"
    uploads, asked = list_uploads(replay(uploads_page("b", more=True, extra=following), uploads_page("a")))
    assert [key for key, _ in uploads] == ["b", "a"]
    assert (marker_of(asked[1], "key-marker"), marker_of(asked[1], "upload-id-marker")) == ("", "id-b")


@pytest.mark.parametrize(
    ("shown", "plain", "found"),
    [
        # Ceph: encoded, but not declared.
        (["a%20b", "c%2Bd"], ["a b", "c+d"], ["a b", "c+d"]),
        (["%1B"], ["?"], ["\x1b"]),
        # Stores that do not encode.
        (["a%20b", "c+d"], ["a%20b", "c+d"], ["a%20b", "c+d"]),
        (["a+b", "100%"], None, ["a+b", "100%"]),
    ],
)
def test_undeclared_keys_are_decoded_only_if_the_store_encodes_them(
    shown: list[str], plain: list[str] | None, found: list[str]
) -> None:
    """A key that may be encoded is requested again without encoding; other keys are what they are."""
    pages = [uploads_page(*shown)] + ([uploads_page(*plain)] if plain is not None else [])
    uploads, asked = list_uploads(replay(*pages))
    assert [key for key, _ in uploads] == found
    assert [marker_of(one, "encoding-type") for one in asked] == ["url", ""][: len(pages)]


def test_white_space_belongs_to_a_key() -> None:
    uploads, _ = list_uploads(replay(uploads_page(" a ")))
    assert [key for key, _ in uploads] == [" a "]


def test_upload_outside_the_prefix_is_not_ours() -> None:
    """A store that ignores the parameter must not have a stranger's uploads collected."""
    uploads, asked = list_uploads(replay(uploads_page("a/1", "b/1")), "a/")
    assert [key for key, _ in uploads] == ["a/1"]
    assert marker_of(asked[0], "prefix") == "a/"


def test_window_of_uploads_is_requested() -> None:
    """Markers, delimiter and limit go to the store, and no more pages than needed are requested."""
    window = ListWindow("/", "a b", "id", 3)
    pages = replay(uploads_page("b", "c", more=True), uploads_page("d", "e", more=True))
    with ScriptedServer(pages) as server, open_store(small_pages(DIALECTS["obs"]), server.endpoint) as store:
        assert [one.key for one in store.list_uploads("bucket", "", window)] == ["b", "c", "d"]
        names = ("delimiter", "key-marker", "upload-id-marker", "max-uploads")
        sent = [[marker_of(one, name) for name in names] for one in server.received]
    assert sent == [["/", "a b", "id", "2"], ["/", "c", "id-c", "1"]]


def test_common_prefixes_are_decoded_and_in_order() -> None:
    """Also if the store encodes them without saying so, and if the next page follows a prefix."""
    prefix = "<CommonPrefixes><Prefix>a%20b/</Prefix></CommonPrefixes>"
    plain = "<CommonPrefixes><Prefix>a b/</Prefix></CommonPrefixes>"
    pages = [uploads_page("a", "c", extra=prefix), uploads_page("a", "c", extra=plain)]
    uploads, asked = list_uploads(replay(*pages))
    assert uploads == [("a", "id-a"), ("a b/", ""), ("c", "id-c")]
    _, asked = list_uploads(replay(uploads_page("a", more=True, extra=plain), uploads_page("c")))
    assert (marker_of(asked[1], "key-marker"), marker_of(asked[1], "upload-id-marker")) == ("a b/", "")


def test_window_of_parts_is_requested() -> None:
    """Parts up to the marker are skipped, even if a store ignores the parameters."""
    pages = replay(parts_page(1, 2, 3, more=True), parts_page(4, 5))
    with ScriptedServer(pages) as server, open_store(small_pages(DIALECTS["obs"]), server.endpoint) as store:
        assert [
            one.number for one in store.list_parts(Upload(target(server.endpoint), "the-id"), after=1, most=3)
        ] == [2, 3, 4]
        sent = [
            (marker_of(one, "part-number-marker"), marker_of(one, "max-parts")) for one in server.received
        ]
    assert sent == [("1", "2"), ("3", "1")]


@pytest.mark.parametrize(
    "replies",
    [
        [uploads_page(more=True)],
        [uploads_page("a", more=True), uploads_page("a", more=True)],
        [uploads_page("a", more=True), uploads_page("b", more=True), uploads_page("a", more=True)],
    ],
)
def test_list_of_uploads_that_lies_is_left(replies: list[Reply]) -> None:
    with pytest.raises(NetworkError) as caught:
        list_uploads(replay(*replies))
    assert caught.value.kind == "garbled"


def test_list_of_uploads_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """However new each page's markers are."""
    monkeypatch.setattr(listings, "MAX_PAGES", 20)
    names = iter(range(1000))
    with pytest.raises(NetworkError, match="does not end after 20 pages"):
        list_uploads(lambda _: uploads_page(str(next(names)), more=True))


def test_list_of_uploads_that_stays_empty_is_left() -> None:
    """Each page has new markers, and none has an upload."""
    names = iter(range(1000))
    with pytest.raises(NetworkError, match="does not end after 100 pages"):
        list_uploads(lambda _: uploads_page(more=True, extra=f"<NextKeyMarker>{next(names)}</NextKeyMarker>"))


def test_page_is_the_dialects() -> None:
    dialect = DIALECTS["obs"]
    small = replace(dialect, limits=replace(dialect.limits, page=7))
    with ScriptedServer(replay(uploads_page())) as server, open_store(small, server.endpoint) as store:
        assert list(store.list_uploads("bucket", "")) == []
        assert marker_of(server.last, "max-uploads") == "7"


def objects_page(*keys: str, more: bool = False, extra: str = "") -> Reply:
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>5</Size><ETag>&quot;e&quot;</ETag></Contents>" for key in keys
    )
    more_text = str(more).lower()
    return response(
        200,
        f"<ListBucketResult><Name>bucket</Name><IsTruncated>{more_text}</IsTruncated>{extra}{contents}"
        "</ListBucketResult>",
    )


def list_objects(
    reply: Reply, *, prefix: str = "", marker: str = ""
) -> tuple[list[str], str | None, ReceivedRequest]:
    with ScriptedServer(replay(reply)) as server, open_store("obs", server.endpoint) as store:
        page = store.list_objects("bucket", prefix, marker)
        return [one.key for one in page.objects], page.marker, server.last


def test_a_page_of_objects_begins_after_the_marker() -> None:
    keys, marker, asked = list_objects(objects_page("a/2", "a/3", more=True), prefix="a/", marker="a/1")
    assert (keys, marker) == (["a/2", "a/3"], "a/3")
    assert (marker_of(asked, "prefix"), marker_of(asked, "marker"), marker_of(asked, "max-keys")) == (
        "a/",
        "a/1",
        "1000",
    )


def test_a_page_of_objects_has_the_marker_of_the_next() -> None:
    """NextMarker, decoded as the keys are; the last page has none."""
    page = objects_page(
        "a%20b", more=True, extra="<EncodingType>url</EncodingType><NextMarker>a%20c</NextMarker>"
    )
    assert list_objects(page)[:2] == (["a b"], "a c")
    own_word = objects_page("a", more=True, extra="<NextMarker>0</NextMarker>")
    assert list_objects(own_word, marker="1")[:2] == (["a"], "0")
    assert list_objects(objects_page("z"), marker="y")[:2] == (["z"], None)


@pytest.mark.parametrize("reply", [objects_page(more=True), objects_page("b", more=True)])
def test_a_truncated_list_of_objects_without_a_new_marker_is_an_error(reply: Reply) -> None:
    """Otherwise the list would never end."""
    with pytest.raises(NetworkError, match="next marker"):
        list_objects(reply, marker="b")


def test_an_object_without_a_size_is_an_error() -> None:
    """The size and the ETag are compared with the source."""
    reply = response(
        200, "<ListBucketResult><Name>b</Name><Contents><Key>a</Key></Contents></ListBucketResult>"
    )
    with pytest.raises(NetworkError):
        list_objects(reply)


@pytest.mark.parametrize("name", ["PartNumber", "Size", "HashCrc64ecma", "ETag", "NextPartNumberMarker"])
def test_values_have_a_limit(name: str) -> None:
    """int() fails for thousands of digits, and no name of the protocol is that long."""
    elements = {"PartNumber": "1", "Size": "5", "ETag": "e", name: "9" * 100_000}
    marker = elements.pop("NextPartNumberMarker", "0")
    part = "".join(f"<{element}>{value}</{element}>" for element, value in elements.items())
    head = f"<UploadId>the-id</UploadId><NextPartNumberMarker>{marker}</NextPartNumberMarker>"
    reply = response(200, f"<ListPartsResult>{head}<Part>{part}</Part></ListPartsResult>")
    with pytest.raises(NetworkError, match="more than"):
        list_parts(lambda _: reply)


@pytest.mark.parametrize("digits", [20, 21, 5000])
def test_a_checksum_with_too_many_digits_is_unknown(digits: int) -> None:
    """5,000 digits ended in a bug."""
    crc64 = f"<HashCrc64ecma>{'1' * digits}</HashCrc64ecma>"
    part = f"<Part><PartNumber>1</PartNumber><Size>5</Size><ETag>e</ETag>{crc64}</Part>"
    body = f"<ListPartsResult><UploadId>the-id</UploadId>{part}</ListPartsResult>"
    parts, _ = list_parts(lambda _: response(200, body))
    assert parts[0].crc64 == (int("1" * 20) if digits == 20 else None)
