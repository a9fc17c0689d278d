"""What every store keeps, one promise a function, malice included.

Where a server is known to do otherwise, the promise says what it does instead.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Callable
from functools import partial

import pytest
from fastcrc import crc64

from obsup.engine.proof.object_proof import composite_etag
from obsup.errors import BadConfiguration, Denied, NetworkError, Refusal, StoreError
from obsup.model import Credentials, Stored, Upload
from obsup.store.answers.failure_rule import Action
from obsup.store.answers.failure_table import as_error, classify
from obsup.store.interface import ObjectStore
from tests.contract.subjects import PAGE, SUBJECTS, Server, Subject
from tests.support.stores import BytesBody, bytes_body, open_store

every_store = pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
over_a_line = pytest.mark.parametrize(
    "subject", [one for one in SUBJECTS if "memory" not in str(one.id)], indirect=True
)


# Real servers that check signatures, and do not speak OBS.
FOREIGN = [
    one for one in SUBJECTS if str(one.id).startswith(("rclone", "ceph")) and str(one.id).endswith("path")
]


def refusal_of(call: Callable[[], object]) -> Refusal:
    """Return the refusal that *call* meets."""
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.refusal


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def content_md5_of(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def shows(stored: Stored, content: bytes) -> bool:
    """Whether what the store answered proves *content*, by each digest it has."""
    same_crc = stored.crc64 is None or stored.crc64 == crc64.xz(content)
    return same_crc and stored.etag.lower() == md5_of(content)


def send(subject: Subject, upload: Upload, *contents: bytes) -> list[tuple[int, str]]:
    """Send *contents* as parts from 1 on; return what Complete wants."""
    return [
        (number, subject.store.upload_part(upload, number, bytes_body(content)).etag)
        for number, content in enumerate(contents, start=1)
    ]


def numbers(subject: Subject, upload: Upload) -> list[int]:
    return [part.number for part in subject.store.list_parts(upload)]


def kept(subject: Subject, upload: Upload) -> list[int]:
    """The numbers of the parts after a refusal. A store that forgets the whole upload over it says so."""
    if subject.server.keeps_refused_uploads:
        return numbers(subject, upload)
    assert refusal_of(lambda: numbers(subject, upload)).code == "NoSuchUpload"
    return [1]


def open_ids(subject: Subject, key: str) -> set[str]:
    return {one.upload_id for one in subject.store.list_uploads(subject.server.bucket, key) if one.key == key}


def unknown(server: Server, verb: str) -> str:
    """What this server's *verb* says of an upload that it does not know."""
    return server.unknown.get(verb, "NoSuchUpload")


@every_store
def test_upload_that_was_initiated_is_listed_until_it_is_aborted(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    assert open_ids(subject, key) == {upload.upload_id}
    subject.store.abort(upload)
    assert open_ids(subject, key) == set()


@every_store
def test_uploads_of_one_key_are_apart(subject: Subject, key: str) -> None:
    """What is sent to, or done with, one does not touch the other."""
    first, second = subject.begin(key), subject.begin(key)
    assert first.upload_id != second.upload_id
    send(subject, first, b"first")
    subject.store.abort(second)
    assert numbers(subject, first) == [1]
    subject.store.abort(first)


@every_store
def test_uploads_are_listed_over_all_pages(subject: Subject, key: str) -> None:
    """Several of one key, several keys, and never those of another prefix."""
    opened = [subject.begin(f"{key}/{number // 2}") for number in range(2 * PAGE + 1)]
    stranger = subject.begin(f"{key}-stranger")
    listed = [
        (one.key, one.upload_id) for one in subject.store.list_uploads(subject.server.bucket, f"{key}/")
    ]
    assert sorted(listed) == sorted((one.target.key, one.upload_id) for one in opened)
    for upload in [*opened, stranger]:
        subject.store.abort(upload)


@every_store
def test_response_to_a_part_has_its_digest(subject: Subject, key: str) -> None:
    """MD5 in the ETag, whatever its case; CRC-64 where the vendor has it."""
    upload = subject.begin(key)
    stored = subject.store.upload_part(upload, 1, bytes_body(b"content"))
    assert shows(stored, b"content")
    assert (stored.crc64 is not None) == (subject.dialect.provider == "oss")
    subject.store.abort(upload)


@every_store
def test_parts_are_listed_over_all_pages(subject: Subject, key: str) -> None:
    """Ascending, whatever the order they were sent in; with sizes and ETags."""
    upload = subject.begin(key)
    contents = {number: b"%d" % number for number in (5, 1, 9, 2, 10_000)}
    for number, content in contents.items():
        subject.store.upload_part(upload, number, bytes_body(content))
    listed = [(part.number, part.size, part.etag.lower()) for part in subject.store.list_parts(upload)]
    sent = [(n, len(contents[n]), md5_of(contents[n])) for n in sorted(contents)]
    # A part that a list leaves out is sent again; a part that is not there must never be listed.
    assert (listed == sent) if subject.server.lists_sparse_parts else (listed == sent[:-1])
    subject.store.abort(upload)


@every_store
def test_part_that_is_sent_again_replaces_the_first(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    send(subject, upload, b"first")
    if subject.server.replaces_parts:
        send(subject, upload, b"second one")
    else:
        assert refusal_of(lambda: send(subject, upload, b"second one")).status == 501
    size = 10 if subject.server.replaces_parts else 5
    assert [(part.number, part.size) for part in subject.store.list_parts(upload)] == [(1, size)]
    subject.store.abort(upload)


@every_store
def test_completed_object_is_its_parts_in_order(subject: Subject, key: str) -> None:
    """Size, composite ETag or CRC-64, metadata; and the upload is no more."""
    name = subject.dialect.headers.meta + "Obsup-Token"
    upload = subject.begin(key, {name: "the token"})
    contents = [bytes([number]) * subject.server.min_part for number in (1, 2)] + [b"the end"]
    parts = send(subject, upload, *contents)
    stored = subject.store.complete(upload, parts, {})
    info = subject.store.head_object(upload.target)
    assert info is not None
    assert info.size == sum(map(len, contents))
    assert info.metadata == {"obsup-token": "the token"}
    if info.crc64 is not None:
        assert info.crc64 == crc64.xz(b"".join(contents))
    composite = composite_etag([md5_of(content) for content in contents])
    if subject.dialect.etag_is_composite:
        assert stored.etag in (composite, "")
        assert info.etag == (composite if subject.server.composes_etags else md5_of(b"".join(contents)))
    assert open_ids(subject, key) == set()


@every_store
def test_object_has_the_id_of_its_upload_if_the_vendor_returns_it(subject: Subject, key: str) -> None:
    """OBS: the exact answer to whether our Complete was the one."""
    upload = subject.begin(key)
    subject.store.complete(upload, send(subject, upload, b"x"), {})
    info = subject.store.head_object(upload.target)
    assert info is not None
    assert info.upload_id == (upload.upload_id if subject.dialect.headers.upload_id else None)


@every_store
def test_complete_again_changes_nothing(subject: Subject, key: str) -> None:
    """It is refused, or answered as the first time; the object stays."""
    upload = subject.begin(key)
    parts = send(subject, upload, b"content")
    subject.store.complete(upload, parts, {})
    before = subject.store.head_object(upload.target)
    try:
        subject.store.complete(upload, parts, {})
    except StoreError as again:
        assert again.refusal.code == unknown(subject.server, "complete")  # noqa: PT017 - refusal or success
    after = subject.store.head_object(upload.target)
    assert before is not None
    assert after is not None
    assert (after.size, after.etag) == (before.size, before.etag)


@every_store
def test_complete_with_a_wrong_etag_is_refused_and_keeps_the_parts(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    send(subject, upload, b"content")
    said = refusal_of(lambda: subject.store.complete(upload, [(1, md5_of(b"other"))], {}))
    assert classify(StoreError(said)).action is Action.REPAIR
    assert subject.store.head_object(upload.target) is None
    assert kept(subject, upload) == [1]
    subject.store.abort(upload)


@every_store
def test_complete_with_a_part_that_is_not_there_is_refused(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    size = subject.server.min_part
    parts = send(subject, upload, bytes(size))
    said = refusal_of(lambda: subject.store.complete(upload, [*parts, (2, md5_of(b"x"))], {}))
    assert said.code == "InvalidPart"
    assert kept(subject, upload) == [1]
    subject.store.abort(upload)


@every_store
def test_complete_without_parts_is_refused(subject: Subject, key: str) -> None:
    """An empty list must not make an empty object."""
    upload = subject.begin(key)
    send(subject, upload, b"content")
    said = refusal_of(lambda: subject.store.complete(upload, [], {}))
    assert said.status == 400
    assert subject.store.head_object(upload.target) is None
    subject.store.abort(upload)


@every_store
def test_parts_that_are_too_small_are_refused_at_the_end(subject: Subject, key: str) -> None:
    """And kept."""
    if subject.server.min_part == 1:
        assert subject.server.name == "rclone", "the others have a least size"
    upload = subject.begin(key)
    parts = send(subject, upload, b"x", b"y")
    if subject.server.min_part == 1:
        assert subject.store.complete(upload, parts, {}).status == 200
        return
    assert refusal_of(lambda: subject.store.complete(upload, parts, {})).code == "EntityTooSmall"
    assert numbers(subject, upload) == [1, 2]
    subject.store.abort(upload)


@every_store
def test_abort_discards_the_parts_and_may_be_repeated(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    send(subject, upload, b"content")
    for _ in range(2):
        subject.store.abort(upload)
    assert refusal_of(lambda: numbers(subject, upload)).code == unknown(subject.server, "list")
    assert subject.store.head_object(upload.target) is None


UNKNOWN_VERBS: dict[str, Callable[[ObjectStore, Upload], object]] = {
    "part": lambda store, upload: store.upload_part(upload, 1, bytes_body(b"x")),
    "list": lambda store, upload: list(store.list_parts(upload)),
    "complete": lambda store, upload: store.complete(upload, [(1, md5_of(b"x"))], {}),
}


@every_store
@pytest.mark.parametrize("verb", UNKNOWN_VERBS)
def test_upload_that_never_was_is_unknown(subject: Subject, key: str, verb: str) -> None:
    """Whatever its id looks like; nothing is stored."""
    for upload_id in ("no-such-upload", "../../etc/passwd", "a b+c%2F&x=1", "é"):
        upload = Upload(subject.target(key), upload_id)
        said = refusal_of(partial(UNKNOWN_VERBS[verb], subject.store, upload))
        assert said.code == unknown(subject.server, verb)
    assert subject.store.head_object(subject.target(key)) is None


@every_store
def test_abort_of_an_upload_that_never_was_is_success(subject: Subject, key: str) -> None:
    """It is gone, which is what was wanted."""
    subject.store.abort(Upload(subject.target(key), "no-such-upload"))


@every_store
def test_upload_id_of_another_key_is_unknown(subject: Subject, key: str) -> None:
    """It must not lead to another's parts."""
    upload = subject.begin(key)
    send(subject, upload, b"content")
    other = Upload(subject.target(f"{key}-other"), upload.upload_id)
    if subject.server.keeps_uploads_apart:
        assert refusal_of(lambda: numbers(subject, other)).code == unknown(subject.server, "list")
    else:
        assert numbers(subject, other) == [1]
    subject.store.abort(upload)


@every_store
@pytest.mark.parametrize("number", [0, 10_001])
def test_part_number_outside_the_protocol_is_refused_or_never_listed(
    subject: Subject, key: str, number: int
) -> None:
    upload = subject.begin(key)
    if subject.server.checks_part_numbers:
        said = refusal_of(lambda: subject.store.upload_part(upload, number, bytes_body(b"x")))
        assert said.status in (400, 404)
    else:
        subject.store.upload_part(upload, number, bytes_body(b"x"))
    assert numbers(subject, upload) == []
    subject.store.abort(upload)


@every_store
def test_damaged_part_is_refused_and_the_right_one_taken(subject: Subject, key: str) -> None:
    """Its Content-MD5 tells. One store forgets the whole upload over it, which the next verb must find out."""
    upload = subject.begin(key)
    wrong = content_md5_of(b"other")
    if not subject.server.checks_digests:
        stored = subject.store.upload_part(upload, 1, bytes_body(b"content"), content_md5=wrong)
        assert shows(stored, b"content")
        return
    said = refusal_of(lambda: subject.store.upload_part(upload, 1, bytes_body(b"content"), content_md5=wrong))
    assert classify(StoreError(said)).action is Action.RESEND
    if not subject.server.keeps_refused_uploads:
        assert refusal_of(lambda: send(subject, upload, b"content")).code == "NoSuchUpload"
        return
    right = content_md5_of(b"content")
    stored = subject.store.upload_part(upload, 1, bytes_body(b"content"), content_md5=right)
    assert shows(stored, b"content")
    assert [part.size for part in subject.store.list_parts(upload)] == [7]
    subject.store.abort(upload)


@every_store
def test_body_that_breaks_leaves_no_part(subject: Subject, key: str) -> None:
    """A disk that fails in the middle: what was read before is not taken for the part."""
    upload = subject.begin(key)

    def broken() -> BytesBody:
        return BytesBody(bytes(100_000), fails_after=50_000)

    with pytest.raises(RuntimeError, match="the body broke"):
        subject.store.upload_part(upload, 1, broken)
    if subject.server.keeps_refused_uploads:
        assert numbers(subject, upload) == []
    subject.store.abort(upload)


@every_store
def test_response_to_an_object_has_its_digest(subject: Subject, key: str) -> None:
    target = subject.target(key)
    name = subject.dialect.headers.meta + "Colour"
    stored = subject.store.put_object(target, bytes_body(b"content"), {name: "blue"})
    info = subject.store.head_object(target)
    assert shows(stored, b"content")
    assert info is not None
    assert (info.size, info.etag.lower(), info.metadata) == (7, md5_of(b"content"), {"colour": "blue"})
    assert info.upload_id is None


@every_store
def test_object_that_is_sent_again_replaces_the_first(subject: Subject, key: str) -> None:
    for content in (b"first", b"second one"):
        subject.store.put_object(subject.target(key), bytes_body(content), {})
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == 10


@every_store
def test_damaged_object_is_refused_and_replaces_nothing(subject: Subject, key: str) -> None:
    target = subject.target(key)
    subject.store.put_object(target, bytes_body(b"before"), {})
    wrong = content_md5_of(b"other")
    if not subject.server.checks_digests:
        assert shows(subject.store.put_object(target, bytes_body(b"x"), {}, content_md5=wrong), b"x")
        return
    said = refusal_of(lambda: subject.store.put_object(target, bytes_body(b"x"), {}, content_md5=wrong))
    assert classify(StoreError(said)).action is Action.RESEND
    info = subject.store.head_object(target)
    assert info is not None
    assert info.size == 6


@every_store
def test_empty_object_is_an_object(subject: Subject, key: str) -> None:
    """In one request, and of one empty part."""
    subject.store.put_object(subject.target(key), bytes_body(b""), {})
    upload = subject.begin(f"{key}-part")
    subject.store.complete(upload, send(subject, upload, b""), {})
    for target in (subject.target(key), upload.target):
        info = subject.store.head_object(target)
        assert info is not None
        assert info.size == 0


@every_store
def test_object_that_is_not_there_is_none(subject: Subject, key: str) -> None:
    """Also while an upload of it is open."""
    upload = subject.begin(key)
    send(subject, upload, b"content")
    assert subject.store.head_object(upload.target) is None
    subject.store.abort(upload)


@every_store
def test_part_is_copied_whole_and_in_part(subject: Subject, key: str) -> None:
    """First and last byte, inclusive."""
    content = bytes(range(256)) * (subject.server.min_part // 256 + 4)
    subject.store.put_object(subject.target(key), bytes_body(content), {})
    upload = subject.begin(f"{key}-copy")
    source = f"/{subject.server.bucket}/{key}"
    last = subject.server.min_part + 9
    if not subject.server.copies:
        # It takes the request for an empty part and answers 200; our store does not.
        with pytest.raises(NetworkError):
            subject.store.copy_part(upload, 1, source)
        return
    copies = [
        subject.store.copy_part(upload, 1, source),
        subject.store.copy_part(upload, 2, source, byte_range=(10, last)),
    ]
    assert [one.etag.lower() for one in copies] == [md5_of(content), md5_of(content[10 : last + 1])]
    subject.store.complete(upload, [(number, one.etag) for number, one in enumerate(copies, start=1)], {})
    info = subject.store.head_object(upload.target)
    assert info is not None
    assert info.size == len(content) + last - 9


@every_store
def test_missing_source_of_a_copy_is_named(subject: Subject, key: str) -> None:
    """And is not taken for a missing upload, which would be given up."""
    upload = subject.begin(key)
    source = f"/{subject.server.bucket}/{key}-missing"
    if not subject.server.copies:
        with pytest.raises(NetworkError):
            subject.store.copy_part(upload, 1, source)
        return
    said = refusal_of(lambda: subject.store.copy_part(upload, 1, source))
    assert (said.status, said.code) == (404, subject.server.missing_source)
    assert numbers(subject, upload) == []
    subject.store.abort(upload)


@every_store
def test_missing_bucket_is_named(subject: Subject, key: str) -> None:
    """Behind a custom domain there is but one bucket."""
    if subject.addressing == "cname":
        return
    target = subject.target(key, bucket="no-such-bucket-anywhere")
    calls: list[Callable[[], object]] = [
        lambda: subject.store.initiate(target, {}),
        lambda: subject.store.put_object(target, bytes_body(b"x"), {}),
        lambda: list(subject.store.list_uploads(target.bucket, "")),
    ]
    assert [refusal_of(call).code for call in calls] == ["NoSuchBucket"] * 3


@over_a_line
@pytest.mark.parametrize("change", ["access key", "secret"])
def test_wrong_credentials_are_denied_and_do_nothing(subject: Subject, key: str, change: str) -> None:
    """New keys are looked for, then it is said to mend them; nothing was stored."""
    given = subject.server.credentials
    wrong = {
        "access key": Credentials("NOBODY0123456789ABCD", given.secret_key),
        "secret": Credentials(given.access_key, given.secret_key + "x"),
    }[change]
    upload = subject.begin(key)
    with subject.with_keys(wrong) as store:
        if not subject.server.checks_signatures:
            assert shows(store.upload_part(upload, 1, bytes_body(b"x")), b"x")
            return
        said = refusal_of(lambda: store.upload_part(upload, 1, bytes_body(b"x")))
    assert classify(StoreError(said)).action is Action.RELOAD_CREDENTIALS
    assert isinstance(as_error(StoreError(said), doing="part 1"), Denied)
    assert numbers(subject, upload) == []
    subject.store.abort(upload)


@pytest.mark.parametrize("subject", FOREIGN, indirect=True)
def test_unsupported_signature_is_reported_clearly(subject: Subject, key: str) -> None:
    """An S3-like server behind the default provider: the error names the option to change."""
    server = subject.server
    with open_store("obs", server.endpoint, keys=server.credentials) as store:
        said = refusal_of(lambda: store.initiate(subject.target(key), {}))
    final = as_error(StoreError(said), doing="initiating")
    assert isinstance(final, BadConfiguration)
    assert "--provider s3" in str(final.next_step)


@every_store
def test_parts_may_be_sent_at_once(subject: Subject, key: str) -> None:
    """From many threads, over connections of their own."""
    upload = subject.begin(key)
    contents = {number: bytes([number]) * 5000 for number in range(1, 13)}
    waiting = itertools.chain(contents)
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            try:
                subject.store.upload_part(upload, number, bytes_body(contents[number]))
            except Exception as exc:  # noqa: BLE001 - it is the test's to report, not the thread's
                failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    listed = {part.number: part.etag.lower() for part in subject.store.list_parts(upload)}
    assert listed == {number: md5_of(content) for number, content in contents.items()}
    subject.store.abort(upload)
