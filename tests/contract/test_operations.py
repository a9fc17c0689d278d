"""The store contract: how every operation behaves with every store, including errors.

If a server is known to differ, the test checks its actual behaviour.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from anycrc import Model

from obsup.engine.proof.object_proof import composite_etag
from obsup.errors import BadConfiguration, Denied, NetworkError, Refusal, StoreError
from obsup.model import Credentials, Stored, Upload
from obsup.store.answers.failure_rule import Action
from obsup.store.answers.failure_table import as_error, classify
from obsup.store.http.body import BodyDigests
from obsup.store.interface import ObjectStore
from tests.contract.subjects import PAGE_SIZE, SUBJECTS, Server, Subject
from tests.support.stores import BytesBody, bytes_body, open_store
from tests.support.waiting import wait_for

every_store = pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
with_a_network = pytest.mark.parametrize(
    "subject", [parameter for parameter in SUBJECTS if "memory" not in str(parameter.id)], indirect=True
)


# Real servers that check signatures and do not support the OBS signature.
FOREIGN = [
    parameter
    for parameter in SUBJECTS
    if str(parameter.id).startswith(("rclone", "ceph")) and str(parameter.id).endswith("path")
]


def refusal_of(request: Callable[[], object]) -> Refusal:
    """Return the refusal that *request* raises."""
    with pytest.raises(StoreError) as caught:
        request()
    return caught.value.refusal


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def content_md5_of(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def has_digests_of(stored: Stored, content: bytes) -> bool:
    """Whether every digest in the response matches *content*."""
    same_crc = stored.crc64 is None or stored.crc64 == Model("CRC64-XZ").calc(content)
    return same_crc and stored.etag.lower() == md5_of(content)


def send(subject: Subject, upload: Upload, *contents: bytes) -> list[tuple[int, str]]:
    """Upload *contents* as parts 1, 2, …; return their numbers and ETags for Complete."""
    return [
        (number, subject.store.upload_part(upload, number, bytes_body(content)).etag)
        for number, content in enumerate(contents, start=1)
    ]


def numbers(subject: Subject, upload: Upload) -> list[int]:
    return [part.number for part in subject.store.list_parts(upload)]


def parts_after_refusal(subject: Subject, upload: Upload) -> list[int]:
    """Return the part numbers after a rejected request; [1] if the store discards the upload, as is known of it."""
    if subject.server.keeps_refused_uploads:
        return numbers(subject, upload)
    assert refusal_of(lambda: numbers(subject, upload)).code == "NoSuchUpload"
    return [1]


def open_ids(subject: Subject, key: str) -> set[str]:
    return {
        listed.upload_id
        for listed in subject.store.list_uploads(subject.server.bucket, key)
        if listed.key == key
    }


def unknown_code(server: Server, operation: str) -> str:
    """Return the error code of *operation* for a missing upload."""
    return server.unknown.get(operation, "NoSuchUpload")


@every_store
def test_upload_that_was_initiated_is_listed_until_it_is_aborted(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    assert open_ids(subject, key) == {upload.upload_id}
    subject.store.abort(upload)
    assert open_ids(subject, key) == set()


@every_store
def test_uploads_of_one_key_are_independent(subject: Subject, key: str) -> None:
    """Parts and an abort of one upload do not affect the other."""
    first, second = subject.begin(key), subject.begin(key)
    assert first.upload_id != second.upload_id
    send(subject, first, b"first")
    subject.store.abort(second)
    assert numbers(subject, first) == [1]
    subject.store.abort(first)


@every_store
def test_uploads_are_listed_over_all_pages(subject: Subject, key: str) -> None:
    """Several uploads per key and several keys; uploads with another prefix are not listed."""
    opened = [subject.begin(f"{key}/{number // 2}") for number in range(2 * PAGE_SIZE + 1)]
    other = subject.begin(f"{key}-other")
    listed = [
        (found.key, found.upload_id) for found in subject.store.list_uploads(subject.server.bucket, f"{key}/")
    ]
    assert sorted(listed) == sorted((upload.target.key, upload.upload_id) for upload in opened)
    for upload in [*opened, other]:
        subject.store.abort(upload)


@every_store
def test_response_to_a_part_has_its_digest(subject: Subject, key: str) -> None:
    """The ETag is the MD5 in any case; there is a CRC-64 if the vendor supports it."""
    upload = subject.begin(key)
    stored = subject.store.upload_part(upload, 1, bytes_body(b"content"))
    assert has_digests_of(stored, b"content")
    assert (stored.crc64 is not None) == (subject.dialect.provider == "oss")
    subject.store.abort(upload)


@every_store
def test_parts_are_listed_over_all_pages(subject: Subject, key: str) -> None:
    """They are sorted by number, whatever the order of sending, with sizes and ETags."""
    upload = subject.begin(key)
    contents = {number: b"%d" % number for number in (5, 1, 9, 2, subject.server.max_parts)}
    for number, content in contents.items():
        subject.store.upload_part(upload, number, bytes_body(content))
    listed = [(part.number, part.size, part.etag.lower()) for part in subject.store.list_parts(upload)]
    sent = [(number, len(content), md5_of(content)) for number, content in sorted(contents.items())]
    # A part that is missing in the list is sent again, but a part that does not exist must never be listed.
    assert (listed == sent) if subject.server.lists_sparse_parts else (listed == sent[:-1])
    subject.store.abort(upload)


@every_store
def test_part_that_is_sent_again_replaces_the_existing_part(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    send(subject, upload, b"first")
    if subject.server.keeps_replaced_parts:
        sent_at_s = int(time.time())
        wait_for(lambda: int(time.time()) > sent_at_s)
    if subject.server.replaces_parts:
        send(subject, upload, b"second one")
    else:
        assert refusal_of(lambda: send(subject, upload, b"second one")).status == 501
    size = 10 if subject.server.replaces_parts else 5
    assert [(part.number, part.size) for part in subject.store.list_parts(upload)] == [(1, size)]
    subject.store.abort(upload)


@every_store
def test_completed_object_has_its_parts_in_order(subject: Subject, key: str) -> None:
    """It has size, composite ETag or CRC-64, and metadata; the upload no longer exists."""
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
        assert info.crc64 == Model("CRC64-XZ").calc(b"".join(contents))
    composite = composite_etag([md5_of(content) for content in contents])
    if subject.dialect.etag_is_composite:
        assert stored.etag in (composite, "")
        assert info.etag == (composite if subject.server.composes_etags else md5_of(b"".join(contents)))
    assert open_ids(subject, key) == set()


@every_store
def test_object_has_the_id_of_its_upload_if_the_vendor_returns_it(subject: Subject, key: str) -> None:
    """OBS returns it, so obsup knows for certain whether its own Complete made the object."""
    upload = subject.begin(key)
    subject.store.complete(upload, send(subject, upload, b"x"), {})
    info = subject.store.head_object(upload.target)
    assert info is not None
    assert info.upload_id == (upload.upload_id if subject.dialect.headers.upload_id else None)


@every_store
def test_complete_again_changes_nothing(subject: Subject, key: str) -> None:
    """It is rejected or returns the same response; the object is unchanged."""
    upload = subject.begin(key)
    parts = send(subject, upload, b"content")
    subject.store.complete(upload, parts, {})
    before = subject.store.head_object(upload.target)
    try:
        subject.store.complete(upload, parts, {})
    except StoreError as again:
        assert again.refusal.code == unknown_code(subject.server, "complete")  # noqa: PT017 - rejection or success
    after = subject.store.head_object(upload.target)
    assert before is not None
    assert after is not None
    assert (after.size, after.etag) == (before.size, before.etag)


@every_store
def test_abort_of_a_completed_upload_keeps_the_object(subject: Subject, key: str) -> None:
    """It does not exist. Swift still lists its parts then, which are those of the object."""
    upload = subject.begin(key)
    subject.store.complete(upload, send(subject, upload, b"content"), {})
    is_known = subject.store.abort(upload)
    try:
        listed = numbers(subject, upload)
    except StoreError:
        listed = []
    assert not (is_known and listed)
    info = subject.store.head_object(upload.target)
    assert info is not None
    assert info.size == 7
    if subject.server.copies:
        copy = subject.begin(f"{key}-copy")
        source = f"/{subject.server.bucket}/{key}"
        assert subject.store.copy_part(copy, 1, source).etag.lower() == md5_of(b"content")
        subject.store.abort(copy)


@every_store
def test_complete_with_a_wrong_etag_is_refused_and_keeps_the_parts(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    send(subject, upload, b"content")
    refusal = refusal_of(lambda: subject.store.complete(upload, [(1, md5_of(b"other"))], {}))
    assert classify(StoreError(refusal)).action is Action.REPAIR
    assert subject.store.head_object(upload.target) is None
    assert parts_after_refusal(subject, upload) == [1]
    subject.store.abort(upload)


@every_store
def test_complete_with_a_missing_part_is_refused(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    size = subject.server.min_part
    parts = send(subject, upload, bytes(size))
    refusal = refusal_of(lambda: subject.store.complete(upload, [*parts, (2, md5_of(b"x"))], {}))
    assert refusal.code == "InvalidPart"
    assert parts_after_refusal(subject, upload) == [1]
    subject.store.abort(upload)


@every_store
def test_complete_without_parts_is_refused(subject: Subject, key: str) -> None:
    """An empty list must not create an empty object."""
    upload = subject.begin(key)
    send(subject, upload, b"content")
    refusal = refusal_of(lambda: subject.store.complete(upload, [], {}))
    assert refusal.status == subject.server.empty_list
    assert subject.store.head_object(upload.target) is None
    subject.store.abort(upload)


@every_store
def test_too_small_parts_are_refused_by_complete(subject: Subject, key: str) -> None:
    """The parts are kept."""
    if subject.server.min_part == 1:
        assert subject.server.name == "rclone", "the other servers have a minimum size"
    upload = subject.begin(key)
    parts = send(subject, upload, b"x", b"y")
    if subject.server.min_part == 1:
        assert subject.store.complete(upload, parts, {}).status == 200
        return
    assert refusal_of(lambda: subject.store.complete(upload, parts, {})).code == "EntityTooSmall"
    assert numbers(subject, upload) == [1, 2]
    subject.store.abort(upload)


@every_store
def test_abort_discards_the_parts_and_can_be_repeated(subject: Subject, key: str) -> None:
    upload = subject.begin(key)
    send(subject, upload, b"content")
    for _ in range(2):
        subject.store.abort(upload)
    assert refusal_of(lambda: numbers(subject, upload)).code == unknown_code(subject.server, "list")
    assert subject.store.head_object(upload.target) is None


OPERATIONS: dict[str, Callable[[ObjectStore, Upload], object]] = {
    "part": lambda store, upload: store.upload_part(upload, 1, bytes_body(b"x")),
    "list": lambda store, upload: list(store.list_parts(upload)),
    "complete": lambda store, upload: store.complete(upload, [(1, md5_of(b"x"))], {}),
}


@every_store
@pytest.mark.parametrize("operation", OPERATIONS)
def test_unknown_upload_is_refused(subject: Subject, key: str, operation: str) -> None:
    """Any upload id is rejected with the documented code, and nothing is stored."""
    for upload_id in ("no-such-upload", "../../etc/passwd", "a b+c%2F&x=1", "é"):
        upload = Upload(subject.target(key), upload_id)
        refusal = refusal_of(partial(OPERATIONS[operation], subject.store, upload))
        code = unknown_code(subject.server, operation)
        assert refusal.code in (code, subject.server.other_ids.get(upload_id, code))
    assert subject.store.head_object(subject.target(key)) is None


@every_store
def test_abort_of_an_unknown_upload_succeeds(subject: Subject, key: str) -> None:
    """The upload does not exist, which is what abort is for."""
    subject.store.abort(Upload(subject.target(key), "no-such-upload"))


@every_store
def test_upload_id_of_another_key_is_refused(subject: Subject, key: str) -> None:
    """It must not give access to the parts of the other key."""
    upload = subject.begin(key)
    send(subject, upload, b"content")
    other = Upload(subject.target(f"{key}-other"), upload.upload_id)
    if subject.server.checks_key_of_upload:
        assert refusal_of(lambda: numbers(subject, other)).code == unknown_code(subject.server, "list")
    else:
        assert numbers(subject, other) == [1]
    subject.store.abort(upload)


@every_store
@pytest.mark.parametrize("number", [0, 10_001])
def test_invalid_part_number_is_refused_or_not_listed(subject: Subject, key: str, number: int) -> None:
    upload = subject.begin(key)
    if subject.server.checks_part_numbers:
        refusal = refusal_of(lambda: subject.store.upload_part(upload, number, bytes_body(b"x")))
        assert refusal.status in (400, 404)
    else:
        subject.store.upload_part(upload, number, bytes_body(b"x"))
    assert numbers(subject, upload) == []
    subject.store.abort(upload)


@every_store
def test_damaged_part_is_refused_and_the_correct_part_accepted(subject: Subject, key: str) -> None:
    """The store checks Content-MD5. One store then discards the upload, which the next request must report."""
    upload = subject.begin(key)
    wrong_md5 = content_md5_of(b"other")
    if not subject.server.checks_digests:
        stored = subject.store.upload_part(upload, 1, bytes_body(b"content"), BodyDigests(wrong_md5))
        assert has_digests_of(stored, b"content")
        return
    refusal = refusal_of(
        lambda: subject.store.upload_part(upload, 1, bytes_body(b"content"), BodyDigests(wrong_md5))
    )
    assert classify(StoreError(refusal)).action is Action.RESEND
    if not subject.server.keeps_refused_uploads:
        assert refusal_of(lambda: send(subject, upload, b"content")).code == "NoSuchUpload"
        return
    correct_md5 = content_md5_of(b"content")
    stored = subject.store.upload_part(upload, 1, bytes_body(b"content"), BodyDigests(correct_md5))
    assert has_digests_of(stored, b"content")
    assert [part.size for part in subject.store.list_parts(upload)] == [7]
    subject.store.abort(upload)


@every_store
def test_body_that_fails_leaves_no_part(subject: Subject, key: str) -> None:
    """If the disk fails while a part is read, the store does not store the bytes read so far."""
    upload = subject.begin(key)

    def open_failing_body() -> BytesBody:
        return BytesBody(bytes(100_000), fails_after=50_000)

    with pytest.raises(RuntimeError, match="the body broke"):
        subject.store.upload_part(upload, 1, open_failing_body)
    if subject.server.keeps_refused_uploads:
        assert numbers(subject, upload) == []
    subject.store.abort(upload)


@every_store
def test_response_to_an_object_has_its_digest(subject: Subject, key: str) -> None:
    target = subject.target(key)
    name = subject.dialect.headers.meta + "Colour"
    stored = subject.store.put_object(target, bytes_body(b"content"), {name: "blue"})
    info = subject.store.head_object(target)
    assert has_digests_of(stored, b"content")
    assert info is not None
    assert (info.size, info.etag.lower(), info.metadata) == (7, md5_of(b"content"), {"colour": "blue"})
    assert info.upload_id is None


@every_store
def test_object_that_is_sent_again_replaces_the_existing_object(subject: Subject, key: str) -> None:
    for content in (b"first", b"second one"):
        subject.store.put_object(subject.target(key), bytes_body(content), {})
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == 10


@every_store
def test_damaged_object_is_refused_and_replaces_nothing(subject: Subject, key: str) -> None:
    target = subject.target(key)
    subject.store.put_object(target, bytes_body(b"before"), {})
    wrong_md5 = content_md5_of(b"other")
    if not subject.server.checks_digests:
        assert has_digests_of(
            subject.store.put_object(target, bytes_body(b"x"), {}, BodyDigests(wrong_md5)), b"x"
        )
        return
    refusal = refusal_of(
        lambda: subject.store.put_object(target, bytes_body(b"x"), {}, BodyDigests(wrong_md5))
    )
    assert classify(StoreError(refusal)).action is Action.RESEND
    info = subject.store.head_object(target)
    assert info is not None
    assert info.size == 6


@every_store
def test_empty_object_is_stored(subject: Subject, key: str) -> None:
    """In one request, and with one empty part."""
    subject.store.put_object(subject.target(key), bytes_body(b""), {})
    upload = subject.begin(f"{key}-part")
    subject.store.complete(upload, send(subject, upload, b""), {})
    for target in (subject.target(key), upload.target):
        info = subject.store.head_object(target)
        assert info is not None
        assert info.size == 0


@every_store
def test_head_of_a_missing_object_returns_none(subject: Subject, key: str) -> None:
    """Also during an upload of its key."""
    upload = subject.begin(key)
    send(subject, upload, b"content")
    assert subject.store.head_object(upload.target) is None
    subject.store.abort(upload)


@every_store
def test_object_is_read_whole_and_in_ranges(subject: Subject, key: str) -> None:
    """With its ETag; a document <Error> that is the content is content. An empty object has no range."""
    content = b"<Error><Code>is content</Code></Error>"
    for target, body in ((subject.target(key), content), (subject.target(f"{key}-empty"), b"")):
        subject.store.put_object(target, bytes_body(body), {})
        etag, whole = subject.store.read_object(target, 0, len(body))
        assert (etag.lower(), whole) == (md5_of(body), body)
    assert subject.store.read_object(subject.target(key), 7, 6)[1] == b"<Code>"
    refusal = refusal_of(lambda: subject.store.read_object(subject.target(f"{key}-missing"), 0, 1))
    assert (refusal.status, refusal.code) == (404, "NoSuchKey")


@every_store
def test_part_is_copied_from_an_object_or_a_range(subject: Subject, key: str) -> None:
    """The range includes its first and last byte."""
    content = bytes(range(256)) * (subject.server.min_part // 256 + 4)
    subject.store.put_object(subject.target(key), bytes_body(content), {})
    upload = subject.begin(f"{key}-copy")
    source = f"/{subject.server.bucket}/{key}"
    last = subject.server.min_part + 9
    if not subject.server.copies:
        # The server stores an empty part and returns 200; obsup rejects this response.
        with pytest.raises(NetworkError):
            subject.store.copy_part(upload, 1, source)
        return
    copies = [
        subject.store.copy_part(upload, 1, source),
        subject.store.copy_part(upload, 2, source, byte_range=(10, last)),
    ]
    md5s = [md5_of(content), md5_of(content[10 : last + 1])]
    assert ([part.etag.lower() for part in copies] == md5s) == subject.server.copies_have_md5
    subject.store.complete(upload, [(number, part.etag) for number, part in enumerate(copies, start=1)], {})
    info = subject.store.head_object(upload.target)
    assert info is not None
    assert info.size == len(content) + last - 9


@every_store
def test_missing_source_of_a_copy_is_reported(subject: Subject, key: str) -> None:
    """It must not look like a missing upload, which obsup would start over."""
    upload = subject.begin(key)
    source = f"/{subject.server.bucket}/{key}-missing"
    if not subject.server.copies:
        with pytest.raises(NetworkError):
            subject.store.copy_part(upload, 1, source)
        return
    refusal = refusal_of(lambda: subject.store.copy_part(upload, 1, source))
    assert (refusal.status, refusal.code) == (404, subject.server.missing_source)
    assert numbers(subject, upload) == []
    subject.store.abort(upload)


@every_store
def test_missing_bucket_is_reported(subject: Subject, key: str) -> None:
    """A custom domain has only one bucket, so it is not tested."""
    if subject.addressing == "cname":
        return
    target = subject.target(key, bucket="no-such-bucket-anywhere")
    requests: list[Callable[[], object]] = [
        lambda: subject.store.initiate(target, {}),
        lambda: subject.store.put_object(target, bytes_body(b"x"), {}),
        lambda: list(subject.store.list_uploads(target.bucket, "")),
    ]
    assert [refusal_of(request).code for request in requests] == ["NoSuchBucket"] * 3


@with_a_network
@pytest.mark.parametrize("change", ["access key", "secret"])
def test_wrong_credentials_are_denied_and_store_nothing(subject: Subject, key: str, change: str) -> None:
    """obsup reloads the credentials, then reports Denied; nothing is stored."""
    credentials = subject.server.credentials
    wrong = {
        "access key": Credentials("NOBODY0123456789ABCD", credentials.secret_key),
        "secret": Credentials(credentials.access_key, credentials.secret_key + "x"),
    }[change]
    upload = subject.begin(key)
    with subject.with_keys(wrong) as store:
        if not subject.server.checks_signatures:
            assert has_digests_of(store.upload_part(upload, 1, bytes_body(b"x")), b"x")
            return
        refusal = refusal_of(lambda: store.upload_part(upload, 1, bytes_body(b"x")))
    assert classify(StoreError(refusal)).action is Action.RELOAD_CREDENTIALS
    assert isinstance(as_error(StoreError(refusal), doing="part 1"), Denied)
    assert numbers(subject, upload) == []
    subject.store.abort(upload)


@pytest.mark.parametrize("subject", FOREIGN, indirect=True)
def test_unsupported_signature_is_reported_clearly(subject: Subject, key: str) -> None:
    """With the default provider and an S3-compatible server, the error names the option to change."""
    server = subject.server
    with open_store("obs", server.endpoint, keys=server.credentials) as store:
        refusal = refusal_of(lambda: store.initiate(subject.target(key), {}))
    final = as_error(StoreError(refusal._replace(is_assumed=True)), doing="initiating")
    assert isinstance(final, BadConfiguration)
    assert "--provider s3" in str(final.next_step)


@every_store
def test_parts_can_be_sent_concurrently(subject: Subject, key: str) -> None:
    """Several threads use separate connections."""
    upload = subject.begin(key)
    contents = {number: bytes([number]) * 5000 for number in range(1, 13)}
    pending = itertools.chain(contents)
    lock = threading.Lock()
    failures: list[Exception] = []

    def send_parts() -> None:
        while True:
            with lock:
                number = next(pending, None)
            if number is None:
                return
            try:
                subject.store.upload_part(upload, number, bytes_body(contents[number]))
            except Exception as exc:  # noqa: BLE001 - the test reports it, not the thread
                failures.append(exc)

    threads = [threading.Thread(target=send_parts) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    listed = {part.number: part.etag.lower() for part in subject.store.list_parts(upload)}
    assert listed == {number: md5_of(content) for number, content in contents.items()}
    subject.store.abort(upload)
