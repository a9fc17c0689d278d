"""The single steps of an upload in Python, as on the vendors' page of uploadPart."""

from __future__ import annotations

import array
import asyncio
import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import obsup
from obsup.api import (
    abort_upload,
    complete_upload,
    copy_part,
    initiate_upload,
    list_parts,
    list_uploads,
    upload_file,
    upload_part,
    verify_file,
)
from obsup.dialects.registry import DIALECTS
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import Busy, DataMismatch, OutOfTime, SourceUnreadable, UploadGone, WrongUsage
from obsup.events import Requested
from obsup.local.state.lock import UploadLock
from obsup.model import Credentials, ObjectOptions, Target
from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import every_dialect

MakeFile = Callable[..., Path]


@pytest.fixture
def dialect() -> str:
    """The dialect of tests without a parameter."""
    return "obs"


@pytest.fixture
def store(dialect: str) -> Iterator[Sandbox]:
    """A sandbox with small parts."""
    vendor = "obs" if dialect.startswith("obs") else "s3"
    with Sandbox(aws_vendor=vendor) as running:
        yield running


@pytest.fixture
def where(store: Sandbox, dialect: str) -> dict[str, Any]:
    """The arguments of every step: the store and the credentials."""
    selected = DIALECTS[dialect]
    return {
        "connecting": ConnectOptions(
            endpoint=store.endpoint, provider=selected.provider, signature=selected.signature, region="eu-1"
        ),
        "credentials": Credentials(store.access_key, store.secret_key),
    }


@pytest.mark.parametrize("dialect", every_dialect())
def test_a_file_is_sent_window_by_window(
    dialect: str, store: Sandbox, where: dict[str, Any], make_file: MakeFile
) -> None:
    """The vendors' example: explicit offset and partSize, and a list of ETags."""
    size = DIALECTS[dialect].limits.min_part
    source = make_file(2 * size + 5)
    upload_id = initiate_upload("bucket/key", **where)
    etags = {}
    for number in (1, 2, 3):
        stored = upload_part(
            source,
            "bucket/key",
            number,
            upload_id=upload_id,
            offset=(number - 1) * size,
            part_size=size,
            **where,
        )
        assert (stored.status, bool(stored.request_id)) == (200, True)
        etags[number] = stored.etag
    result = complete_upload("bucket/key", upload_id=upload_id, etags=etags, size=2 * size + 5, **where)
    assert (result.parts, result.size, result.upload_id) == (3, 2 * size + 5, upload_id)
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert store.uploads() == []


def test_an_open_object_is_read_part_by_part(store: Sandbox, where: dict[str, Any]) -> None:
    """With ``close=False`` the next part starts where this one ended. The first part is bytes."""
    content = bytes(range(256)) * 1600
    stream = io.BytesIO(content[150_000:])
    more = {"upload_id": initiate_upload("bucket/key", **where), **where}
    upload_part(content[:150_000], "bucket/key", 1, **more)
    upload_part(stream, "bucket/key", 2, part_size=150_000, close=False, **more)
    assert stream.tell() == 150_000
    upload_part(stream, "bucket/key", 3, part_size=150_000, **more)
    assert stream.closed
    with pytest.raises(DataMismatch, match="409600"):
        complete_upload("bucket/key", size=1, **more)
    complete_upload("bucket/key", parts=3, **more)
    assert store.object_path("bucket", "key").read_bytes() == content


def test_an_open_object_is_closed_after_a_failure(store: Sandbox, where: dict[str, Any]) -> None:
    """The vendors' autoClose. A closed object is unreadable."""
    stream = io.BytesIO(b"x")
    with pytest.raises(UploadGone):
        upload_part(stream, "bucket/key", 1, upload_id="unknown", part_size=1, **where)
    assert stream.closed
    with pytest.raises(SourceUnreadable):
        upload_part(stream, "bucket/key", 1, upload_id="unknown", part_size=1, **where)


def test_a_part_with_another_md5_than_given_is_not_sent(store: Sandbox, where: dict[str, Any]) -> None:
    """The vendors' ``md5`` is Base64 of the 16 bytes; ``isAttachMd5`` computes it."""
    upload_id = initiate_upload("bucket/key", **where)
    first = len(store.requests)
    md5 = base64.b64encode(hashlib.md5(b"the part").digest()).decode()
    with pytest.raises(DataMismatch, match=md5):
        upload_part(b"the part!", "bucket/key", 1, upload_id=upload_id, md5=md5, **where)
    assert len(store.requests) == first
    upload_part(b"the part", "bucket/key", 1, upload_id=upload_id, md5=md5, **where)
    upload_part(b"the part", "bucket/key", 1, upload_id=upload_id, content_md5=True, **where)
    sent = [dict(request.headers).get("Content-MD5") for request in store.requests[first:]]
    assert sent == [md5, md5]


@pytest.mark.parametrize("wrong", [{"offset": 0}, {"part_size": 5, "parts": 2}])
def test_an_open_object_has_no_offset(store: Sandbox, where: dict[str, Any], wrong: dict[str, Any]) -> None:
    """It is read from its current position."""
    with pytest.raises(WrongUsage, match="offset and parts"):
        upload_part(io.BytesIO(b"x"), "bucket/key", 1, upload_id="x", **wrong, **where)
    assert store.requests == []


@pytest.mark.parametrize(
    ("source", "more", "content"),
    [
        (b"bytes", {}, b"bytes"),
        (bytearray(b"bytearray"), {}, b"bytearray"),
        (memoryview(b"memoryview"), {}, b"memoryview"),
        ("größer", {"is_file": False}, "größer".encode()),
        (None, {}, b""),
        (io.BytesIO(b"the rest"), {}, b"the rest"),
        (io.BytesIO(b"first 5"), {"part_size": "5"}, b"first"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_part_may_have_any_content(
    store: Sandbox, where: dict[str, Any], source: Any, more: dict[str, Any], content: bytes
) -> None:
    """The vendors' ``object``: a text, nothing, anything with read; the response shows how much was sent."""
    upload_id = initiate_upload("bucket/key", **where)
    stored = upload_part(source, "bucket/key", 1, upload_id=upload_id, **more, **where)
    assert (stored.size, stored.etag) == (len(content), hashlib.md5(content).hexdigest())


def test_the_end_of_an_open_object_can_be_seen(store: Sandbox, where: dict[str, Any]) -> None:
    """Parts are read until one is smaller than asked for."""
    stream = io.BytesIO(bytes(250_000))
    sizes: list[int | None] = []
    more = {"upload_id": initiate_upload("bucket/key", **where), "part_size": "100K", "close": False, **where}
    while not sizes or sizes[-1] == 102_400:
        sizes.append(upload_part(stream, "bucket/key", len(sizes) + 1, **more).size)
    assert sizes == [102_400, 102_400, 45_200]
    assert not stream.closed
    assert complete_upload("bucket/key", upload_id=more["upload_id"], size=250_000, **where).parts == 3


@pytest.mark.parametrize("number", ["1", 1.0, True, 0, 10_001])
def test_an_invalid_part_number_sends_nothing(store: Sandbox, where: dict[str, Any], number: Any) -> None:
    with pytest.raises(WrongUsage, match="part_number must be") as caught:
        upload_part(b"x", "bucket/key", number, upload_id="x", **where)
    assert store.requests == []
    assert "--" not in str(caught.value)


def test_the_upload_of_a_file_is_initiated_and_continued(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile
) -> None:
    """With a source, initiate writes the checkpoint; the steps and upload_file find it."""
    source = make_file(400_000)
    upload_id = initiate_upload("bucket/key", source=source, parts=3, **where)
    upload_part(source, "bucket/key", 1, **where)
    assert [one.number for one in list_parts("bucket/key", source=source, **where)] == [1]
    result = upload_file(source, "bucket/key", parts=3, **where)
    assert (result.upload_id, result.sent_parts) == (upload_id, 2)
    assert verify_file(source, "bucket/key", **where).parts == 3
    source.write_bytes(bytes(400_000))
    with pytest.raises(DataMismatch):
        verify_file(source, "bucket/key", parts=3, **where)


def test_a_part_is_copied_and_uploads_are_listed(store: Sandbox, where: dict[str, Any]) -> None:
    upload_file(io.BytesIO(b"0123456789"), "bucket/from", **where)
    upload_id = initiate_upload("bucket/a/key", **where)
    copied = copy_part("bucket/from", "bucket/a/key", 1, upload_id=upload_id, copy_range=(2, 5), **where)
    assert copied.etag == hashlib.md5(b"2345").hexdigest()
    assert [(one.number, one.size) for one in list_parts("bucket/a/key", upload_id=upload_id, **where)] == [
        (1, 4)
    ]
    other = initiate_upload("bucket/b", **where)
    assert [one.upload.upload_id for one in list_uploads("bucket", **where)] == [upload_id, other]
    assert [one.upload.target.key for one in list_uploads("bucket", delimiter="/", **where)] == ["a/", "b"]
    assert [one.is_own for one in list_uploads("bucket/a/", **where)] == [True]
    with pytest.raises(WrongUsage, match="copy_range"):
        copy_part("bucket/from", "bucket/a/key", 1, upload_id=upload_id, copy_range=(5, 2), **where)


def test_lists_in_a_window(store: Sandbox, where: dict[str, Any]) -> None:
    """Markers and limits of the SDK's lists; without a limit all pages are read."""
    ids = {key: initiate_upload(f"bucket/{key}", **where) for key in ("a/1", "a/2", "b/1", "c")}

    def keys(prefix: str = "bucket", **window: Any) -> list[str]:
        return [one.upload.target.key for one in list_uploads(prefix, **window, **where)]

    assert keys(key_marker="a/1", max_uploads=2) == ["a/2", "b/1"]
    assert keys(key_marker="b/1", upload_id_marker=ids["b/1"]) == ["c"]
    assert keys("bucket/a/") == ["a/1", "a/2"]
    assert keys(delimiter="/") == ["a/", "b/", "c"]
    for number in (1, 2, 3):
        upload_part(b"x", "bucket/c", number, upload_id=ids["c"], **where)
    listed = list_parts("bucket/c", upload_id=ids["c"], part_number_marker=1, max_parts_listed=1, **where)
    assert [one.number for one in listed] == [2]


def test_a_key_in_memory_encrypts_the_object(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile
) -> None:
    """The vendors' SseCHeader: the object can be verified with the same key only."""
    key = bytes(range(32))
    upload_id = initiate_upload("bucket/key", sse_c_key=key, **where)
    assert upload_part(b"x", "bucket/key", 1, upload_id=upload_id, sse_c_key=key, **where).sse_c == "AES256"
    complete_upload("bucket/key", upload_id=upload_id, sse_c_key=key, **where)
    result = upload_file(make_file(300_000), "bucket/other", sse_c_key=key, parts=2, **where)
    assert result.sse_c_key_md5 == base64.b64encode(hashlib.md5(key).digest()).decode()
    sent = len(store.requests)
    for wrong in ({"sse_c_key": b"short"}, {"sse_c_key": key, "executor": "processes"}):
        with pytest.raises(WrongUsage):
            upload_file(make_file(1), "bucket/third", **wrong, **where)
    assert len(store.requests) == sent


@pytest.mark.slow
def test_an_encrypted_object_is_copied_with_a_key_in_memory(
    store: Sandbox, where: dict[str, Any], tmp_path: Path
) -> None:
    """Its key decrypts it, another one encrypts the part; a key of another length, or given twice, is refused."""
    old, new = bytes(range(32)), bytes(32)
    upload_file(io.BytesIO(b"0123456789"), "bucket/from", sse_c_key=old, **where)
    more = {"upload_id": initiate_upload("bucket/key", sse_c_key=new, **where), **where}
    copied = copy_part("bucket/from", "bucket/key", 1, sse_c_key=new, copy_source_sse_c_key=old, **more)
    assert copied.sse_c_key_md5 == base64.b64encode(hashlib.md5(new).digest()).decode()
    assert complete_upload("bucket/key", sse_c_key=new, **more).size == 10
    file = tmp_path / "key"
    file.write_bytes(old)
    sent = len(store.requests)
    twice = {"copy_source_sse_c_key": old, "copy_source_sse_c_key_file": file}
    for wrong in ({"copy_source_sse_c_key": b"short"}, twice):
        with pytest.raises(WrongUsage, match="copy_source_sse_c_key"):
            copy_part("bucket/from", "bucket/key", 1, sse_c_key=new, **wrong, **more)
    assert len(store.requests) == sent


def test_options_of_the_object_are_keywords(store: Sandbox, where: dict[str, Any]) -> None:
    """A keyword counts more than the same field of *options*."""
    initiate_upload(
        "bucket/key",
        acl="public-read",
        metadata={"by": "me"},
        storage_class="WARM",
        options=ObjectOptions(acl="private", content_type="text/html"),
        **where,
    )
    (headers,) = [dict(one.headers) for one in store.requests if one.operation == "initiate"]
    assert (headers["x-obs-acl"], headers["x-obs-meta-by"]) == ("public-read", "me")
    assert (headers["x-obs-storage-class"], headers["Content-Type"]) == ("WARM", "text/html")


def test_the_time_limit_of_a_call(store: Sandbox, where: dict[str, Any]) -> None:
    """max_time ends the wait for a retry, as on the command line; a StopSignal has its own deadline."""
    upload_id = initiate_upload("bucket/key", **where)
    store.add_fault("error=503:SlowDown,op=part,times=always")
    with pytest.raises(OutOfTime, match="max_time or until"):
        upload_part(b"x", "bucket/key", 1, upload_id=upload_id, max_time=0.3, **where)
    with pytest.raises(WrongUsage, match="stop cannot be combined with max_time"):
        upload_part(b"x", "bucket/key", 1, upload_id=upload_id, max_time=1, stop=StopSignal(), **where)


def test_a_failing_callback_loses_no_progress(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile
) -> None:
    """Its exception reaches the caller; the next call resumes."""
    source = make_file(1_000_000)

    def stop_later(transferred: int, _total: int | None, _seconds: float) -> None:
        if transferred > 300_000:  # one part more may be queued
            raise KeyError("callback")

    with pytest.raises(KeyError, match="callback"):
        upload_file(source, "bucket/key", parts=5, jobs=1, progress=stop_later, **where)
    assert 1 <= upload_file(source, "bucket/key", parts=5, **where).sent_parts < 5
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_calls_run_beside_each_other_in_asyncio(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile
) -> None:
    """With asyncio.to_thread, as in any thread."""
    sources = [make_file(300_000, f"file{number}", seed=number) for number in range(4)]

    async def upload_all() -> list[str]:
        calls = [
            asyncio.to_thread(upload_file, source, f"bucket/{source.name}", parts=2, **where)
            for source in sources
        ]
        return [result.target.key for result in await asyncio.gather(*calls)]

    assert asyncio.run(upload_all()) == ["file0", "file1", "file2", "file3"]
    for source in sources:
        assert store.object_path("bucket", source.name).read_bytes() == source.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("use_asyncio", [True, False], ids=["asyncio", "threads"])
@pytest.mark.parametrize("keyword", ["progress", "observer"])
def test_a_callback_that_raises_in_a_thread_ends_its_own_call_only(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile, use_asyncio: bool, keyword: str
) -> None:
    """The exception is that of its call; the next call resumes, and the calls beside it are complete."""
    sources = [make_file(1_000_000, f"file{number}", seed=number) for number in range(3)]

    def call(source: Path) -> obsup.Result:
        seen: list[Any] = []

        def callback(*values: Any) -> None:
            seen.append(values)
            stored = [one for one in store.uploads() if one.key == "file1" and len(one.parts) >= 2]
            if source.name == "file1" and stored:
                raise KeyError(source.name)

        given: dict[str, Any] = {keyword: callback}
        result = upload_file(source, f"bucket/{source.name}", parts=5, jobs=1, **given, **where)
        assert seen
        return result

    async def in_asyncio() -> list[Any]:
        calls = [asyncio.to_thread(call, source) for source in sources]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    if use_asyncio:
        results = asyncio.run(in_asyncio())
    else:
        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(call, source) for source in sources]
        results = [future.exception() or future.result() for future in futures]
    assert [type(result) for result in results] == [obsup.Result, KeyError, obsup.Result]
    assert 1 <= upload_file(sources[1], "bucket/file1", parts=5, **where).sent_parts <= 3
    for source in sources:
        assert store.object_path("bucket", source.name).read_bytes() == source.read_bytes()


def test_an_observer_sees_the_response_of_every_request(store: Sandbox, where: dict[str, Any]) -> None:
    """The vendors' ``header`` and ``body``: all headers, and the document of the store."""
    seen: list[obsup.Event] = []
    upload_id = initiate_upload("bucket/key", observer=seen.append, **where)
    (response,) = [one for one in seen if isinstance(one, Requested) and one.operation.startswith("Initiate")]
    assert response.headers["x-obs-request-id"] == response.request_id
    assert upload_id.encode() in response.body
    assert upload_id not in repr(response)


def test_the_response_of_a_part_has_the_fields_of_the_vendors_table(
    store: Sandbox, where: dict[str, Any]
) -> None:
    """etag, sseKms and sseKmsKey; the error of a rejected part has status, code and ids."""
    options = ObjectOptions(sse="kms", sse_kms_key_id="key-1")
    upload_id = initiate_upload("bucket/key", options=options, **where)
    stored = upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **where)
    assert (stored.sse_kms, stored.sse_kms_key, len(stored.etag)) == ("kms", "key-1", 32)
    with pytest.raises(UploadGone) as caught:
        upload_part(b"x", "bucket/key", 1, upload_id="unknown", **where)
    refusal = caught.value.refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (404, "NoSuchUpload")
    assert refusal.message
    assert refusal.request_id
    assert refusal.host_id


def test_abort_can_be_repeated(store: Sandbox, where: dict[str, Any]) -> None:
    upload_id = initiate_upload("bucket/key", **where)
    for _ in range(2):
        abort_upload("bucket/key", upload_id=upload_id, **where)
    assert store.uploads() == []


def test_an_upload_with_a_missing_part_is_not_completed(store: Sandbox, where: dict[str, Any]) -> None:
    """The upload is unchanged."""
    upload_id = initiate_upload("bucket/key", **where)
    upload_part(b"x", "bucket/key", 2, upload_id=upload_id, **where)
    with pytest.raises(DataMismatch):
        complete_upload("bucket/key", upload_id=upload_id, **where)
    assert len(store.uploads()) == 1


def test_the_checks_apply_to_a_completed_upload(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile, tmp_path: Path
) -> None:
    """With the right source the object is returned again; with another one, or another count, it is refused."""
    source, other = make_file(300_000), make_file(300_000, "other", seed=2)
    upload_id = initiate_upload("bucket/key", **where)
    for number in (1, 2):
        upload_part(source, "bucket/key", number, upload_id=upload_id, parts=2, **where)
    etag = complete_upload("bucket/key", upload_id=upload_id, source=source, **where).etag
    for wrong in ({"source": other}, {"parts": 3}, {"size": 5}, {"etags": {1: "0" * 32}}):
        with pytest.raises(DataMismatch):
            complete_upload("bucket/key", upload_id=upload_id, **wrong, **where)
    assert complete_upload("bucket/key", upload_id=upload_id, source=source, parts=2, **where).etag == etag


def test_two_threads_do_not_send_the_same_part_at_once(store: Sandbox, where: dict[str, Any]) -> None:
    """The second one waits or fails, as its caller asks."""
    upload_id = initiate_upload("bucket/key", **where)
    target = Target(where["connecting"].provider, store.endpoint, "bucket", "key")
    with UploadLock(target, part=(upload_id, 1)), pytest.raises(Busy):
        upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **where)
    assert upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **where).etag


class OneRead:
    """An object whose first read returns *value*, and whose next one returns nothing."""

    def __init__(self, value: object) -> None:
        self._values = [b"", value]

    def read(self, _size: int = -1, /) -> Any:
        """Return the value."""
        return self._values.pop() if self._values else b""


NUMBERS = array.array("I", range(100))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (NUMBERS, NUMBERS.tobytes()),
        (memoryview(NUMBERS), NUMBERS.tobytes()),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(array.array("I")), b""),
    ],
    ids=["array", "view of an array", "every second byte", "empty view"],
)
def test_arrays_and_views_are_their_bytes(
    store: Sandbox, where: dict[str, Any], value: Any, content: bytes
) -> None:
    """From read of a stream and of a part; a view is also the part itself."""
    upload_file(OneRead(value), "bucket/key", **where)
    assert store.object_path("bucket", "key").read_bytes() == content
    upload_id = initiate_upload("bucket/part", **where)
    sent = [upload_part(OneRead(value), "bucket/part", 1, upload_id=upload_id, **where)]
    if isinstance(value, memoryview):
        sent.append(upload_part(value, "bucket/part", 1, upload_id=upload_id, **where))
    assert {one.etag for one in sent} == {hashlib.md5(content).hexdigest()}


@pytest.mark.parametrize("value", ["text", 5, [1, 2]], ids=repr)
def test_read_must_return_bytes(where: dict[str, Any], value: object) -> None:
    """Nothing is published."""
    upload_id = initiate_upload("bucket/part", **where)
    for send in (
        lambda: upload_file(OneRead(value), "bucket/key", **where),
        lambda: upload_part(OneRead(value), "bucket/part", 1, upload_id=upload_id, **where),
    ):
        with pytest.raises(WrongUsage, match="bytes"):
            send()


def test_wrong_arguments_of_the_steps_are_wrong_usage(store: Sandbox, where: dict[str, Any]) -> None:
    """Before any request."""
    wrong: list[Callable[[], object]] = [
        *(
            lambda copied=copied: copy_part("bucket/a", "bucket/b", 1, upload_id="u", copy_range=copied, **where)
            for copied in ((-1, 2), (2, 1), ("0", 1), (0.0, 1), (True, True), (0,), "0-1")
        ),
        lambda: copy_part("bucket/a", "bucket/b", 1, upload_id="u", version_id=5, **where),  # type: ignore[arg-type]
        *(
            lambda etags=etags: complete_upload("bucket/a", upload_id="u", etags=etags, **where)
            for etags in ({0: "a"}, {-1: "a"}, {True: "a"}, {1: ""}, {1: 5})
        ),
        *(
            lambda parts=parts: complete_upload("bucket/a", upload_id="u", parts=parts, **where)
            for parts in (0, -1, True)
        ),
        lambda: complete_upload("bucket/a", upload_id="u", size=-1, **where),
        *(
            lambda number=number: upload_part(b"a", "bucket/a", number, upload_id="u", **where)
            for number in (0, -1, 10_001, True)
        ),
        *(
            lambda call=call: call("bucket/a", upload_id=5, **where)
            for call in (list_parts, complete_upload, abort_upload)
        ),
        *(
            lambda parts=parts: upload_file(io.BytesIO(b"a"), "bucket/a", parts=parts, **where)
            for parts in (0, -1)
        ),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(WrongUsage):
            call()
    assert store.requests == []
