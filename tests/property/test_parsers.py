"""Every parser of what others wrote gives a value or the documented error, whatever it is given. Bounded.

Answers of the store, headers, lists; our own files as a power cut or a stranger leaves them; other tools' files;
what helpers and metadata services say; words of the command line.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import to_builtins

from obsup.dialects.registry import DIALECTS, METADATA_SERVICES
from obsup.engine.proof.object_proof import Expected, verify_object, verify_response
from obsup.errors import BadConfiguration, CheckpointUnwritable, Denied, NetworkError, StoreError, WrongUsage
from obsup.local.config.credential_fields import parse_expiry, parse_json_object
from obsup.local.config.credential_process import _parse_output as read_process
from obsup.local.config.file import load_config
from obsup.local.config.instance_metadata import _Host
from obsup.local.config.instance_metadata import _parse_credentials as read_metadata
from obsup.local.config.vendor_files import list_sections, read_section
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import receipt_file, started_uploads
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged
from obsup.local.state.journal import Journal, JournalDamaged, JournalEntry
from obsup.model import Receipt, SourceStat, Target, Upload
from obsup.store.answers import xml
from obsup.store.answers.failure_table import as_error, classify
from obsup.store.answers.listings import all_parts, all_uploads, objects_after
from obsup.store.answers.refusal import read_refusal
from obsup.store.answers.request import StoreRequest
from obsup.store.answers.result_headers import header_etag, read_object_info, read_stored
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.settings import Response
from obsup.units import parse_duration, parse_rate, parse_size

T = TypeVar("T")

TARGET = Target("obs", "http://127.0.0.1", "bucket", "key")
NAMES = DIALECTS["obs"].headers
TEXTS = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"-?[0-9]{1,30}", fullmatch=True),
    st.sampled_from(["", "9" * 5000, "true", "url", "-1", "1e400", "NaN", "\x1b[31m", "x" * 10_000]),
)
TAGS = st.sampled_from(
    [
        *(
            "Error",
            "Code",
            "Message",
            "RequestId",
            "Region",
            "Endpoint",
            "UploadId",
            "ETag",
            "Location",
            "Bucket",
        ),
        *(
            "IsTruncated",
            "Part",
            "PartNumber",
            "Size",
            "LastModified",
            "HashCrc64ecma",
            "NextPartNumberMarker",
        ),
        *(
            "Upload",
            "Key",
            "Initiated",
            "NextKeyMarker",
            "NextUploadIdMarker",
            "EncodingType",
            "Name",
            "Contents",
        ),
        *("NextMarker", "Prefix", "R"),
    ]
)


def _document(children: Any) -> str:
    from xml.sax.saxutils import escape

    return "".join(
        f"<{tag}>{_document(inner) if isinstance(inner, list) else escape(inner)}</{tag}>"
        for tag, inner in children
    )


CHILDREN = st.recursive(
    TEXTS, lambda inner: st.lists(st.tuples(TAGS, inner), max_size=5), max_leaves=12
).filter(lambda one: isinstance(one, list))
BODIES = st.one_of(
    st.binary(max_size=200),
    CHILDREN.map(lambda one: f"<R>{_document(one)}</R>".encode("utf-8", "replace")),
    CHILDREN.map(lambda one: f"<Error>{_document(one)}</Error>".encode("utf-8", "replace")),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "etag",
                "date",
                "retry-after",
                "x-amz-retry-after",
                "content-length",
                "last-modified",
                "location",
            ),
            *(
                "x-obs-request-id",
                "x-obs-error-code",
                "x-obs-error-message",
                "x-oss-err",
                "x-amz-bucket-region",
            ),
            *("x-obs-checksum-crc64ecma", "x-obs-uploadid", "x-obs-version-id", "x-obs-meta-obsup-token"),
        ]
    ),
    TEXTS,
    max_size=8,
)
STATUSES = st.sampled_from([200, 204, 301, 400, 403, 404, 409, 412, 429, 500, 503, 999])
ANSWERS = st.builds(Response, STATUSES, HEADERS, BODIES)


def ends_in(call: Callable[[], T], *errors: type[BaseException]) -> T | None:
    """Return what *call* returns, None where it raises one of *errors*; any other error is the finding."""
    try:
        return call()
    except errors:
        return None


@given(ANSWERS)
def test_a_refusal_can_be_read_judged_and_explained(answer: Response) -> None:
    """In one line each, whatever the store says; how long it asks to wait is a number or nothing."""
    for dialect in DIALECTS.values():
        refusal = read_refusal(answer, dialect.headers, operation="UploadPart", resource="b/k", endpoint="e")
        assert refusal.retry_after_s is None or 0 <= refusal.retry_after_s < 10**7
        failure = StoreError(refusal)
        classify(failure)
        error = as_error(failure, doing="part 1 of b/k")
        told = f"{error}{error.next_step!s}{failure}"
        assert told.isprintable()
        assert len(told) < 10_000


@given(ANSWERS)
def test_headers_can_be_read_and_prove_nothing_by_accident(answer: Response) -> None:
    """HEAD, and the answers to parts and to Complete."""
    expected = Expected(1_000_000, "0" * 32 + "-2", None, "our-upload-id", "our-token")
    stored = read_stored(answer, NAMES, header_etag(answer))
    info = read_object_info(answer, NAMES)
    assert verify_response(expected, stored) is None
    assert verify_object(expected, info) is None
    assert stored.etag.isprintable()
    assert "".join(info.metadata).isprintable()


@given(BODIES)
def test_any_document_is_read_or_refused(body: bytes) -> None:
    """Upload ids, ETags and numbers of it too."""
    root = ends_in(lambda: xml.parse(body), xml.BadXML)
    if root is None:
        return
    for name in ("UploadId", "ETag", "Location"):
        assert xml.text(root, name).isprintable()
    for element in root.iter():
        ends_in(lambda one=element: xml.stored_part(one), xml.BadXML)  # type: ignore[misc]
        ends_in(lambda one=element: xml.stored_object(one, url_encoded=True), xml.BadXML)  # type: ignore[misc]
        xml.open_upload(element, url_encoded=True)


@given(st.lists(BODIES, min_size=1, max_size=4))
def test_any_list_ends(bodies: list[bytes]) -> None:
    """Each page may be any document, the last for ever: a list is whole, or it is refused; it never goes in circles."""
    limits = DIALECTS["obs"].limits
    asked = 0

    def fetch(request: StoreRequest, *required: str) -> xml.Element:
        nonlocal asked
        asked += 1
        assert asked < 50
        try:
            return xml.parse(bodies[min(asked, len(bodies)) - 1])
        except xml.BadXML as exc:
            raise NetworkError("garbled", str(exc), sent=True) from exc

    upload = Upload(TARGET, "id")
    parts = ends_in(lambda: list(all_parts(fetch, upload, limits)), NetworkError, StoreError) or []
    numbers = [one.number for one in parts]
    assert numbers == sorted(set(numbers))
    asked = 0
    ends_in(lambda: list(all_uploads(fetch, "b", "", limits)), NetworkError, StoreError)
    asked = 0
    ends_in(lambda: objects_after(fetch, "b", "", "", limits), NetworkError, StoreError)


@given(TEXTS)
@example("Sat, 01 Jan 99999 00:00:00 GMT")
@example("Sat, 01 Jan 2026 00:00:00 +99999999999999999999")
@example("Sat, 31 Dec 2199 23:59:59 -9959")
def test_any_date_leaves_a_usable_clock(date: str) -> None:
    """What is no date teaches nothing."""
    clock = ServerClock(lambda: 1_800_000_000.0)
    learned = clock.learn(date)
    assert learned or clock.offset_s == 0
    assert clock.now().year >= 1999
    clock.ahead_s(date)


STAT = SourceStat(300, 1, 2, 3, 4)
CHECKPOINT = Checkpoint(
    source="/data/dump",
    stat=STAT,
    upload=Upload(TARGET, "upload-id", "token"),
    part_size=100,
    receipts={1: Receipt(1, 100, "e" * 32, "0" * 32, 7)},
    created=1.5,
    headers_digest="d" * 64,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.data())
def test_a_checkpoint_with_a_flipped_bit_or_a_torn_end_is_damaged(data: st.DataObject) -> None:
    """Never another checkpoint than the one that was written."""
    whole = checkpoints.encode(CHECKPOINT)
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (whole[:position], bytes(flipped), whole[position:]):
        found = ends_in(lambda one=damaged: checkpoints.decode(one), CheckpointDamaged)  # type: ignore[misc]
        assert found in (None, CHECKPOINT)


PARTS = [
    [{"partNumber": number, "partSize": size, "etag": "e", "crc64": crc64}]
    for number, size, crc64 in ((0, 1, None), (1, -1, None), (1, 1, 2**70))
]


@given(st.data())
def test_a_checkpoint_with_any_value_in_any_field_is_read_or_damaged(data: st.DataObject) -> None:
    """Its digest is right: only what stands in it is not. What is read can be written again."""
    plain: dict[str, Any] = json.loads(checkpoints.encode(CHECKPOINT))
    name = data.draw(st.sampled_from(sorted(plain)))
    where = plain[name] if isinstance(plain[name], dict) and data.draw(st.booleans()) else plain
    inner = name if where is plain else data.draw(st.sampled_from(sorted(where) or ["x"]))
    where[inner] = data.draw(JSON | st.sampled_from([0, -1, 2**70, *PARTS]))
    plain.pop("digest", None)
    text = checkpoints._sealed(json.dumps(plain).encode()[:-1] + b",\n")
    found = ends_in(lambda: checkpoints.decode(text), CheckpointDamaged)
    if found is not None:
        assert found.part_size > 0
        assert found.stat.size >= 0
        assert all(number > 0 and one.size >= 0 for number, one in found.receipts.items())
        assert checkpoints.decode(checkpoints.encode(found)) is not None


@given(st.one_of(st.binary(max_size=300), JSON.map(lambda one: json.dumps(one).encode())))
@example(b"[" * 100_000)
@example(b'{"format":' + b"9" * 5000 + b"}")
@example(b'{"format":99,"x":1}')
@example(b"\xff\xfe{\x00}\x00")
def test_any_file_is_rejected_as_checkpoint_receipt_and_started_upload(data: bytes) -> None:
    """Foreign, newer or torn: each is told by its own error, and the memory of uploads is none."""
    assert ends_in(lambda: checkpoints.decode(data), CheckpointDamaged) is None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        assert ends_in(lambda: receipt_file.load(path), BadConfiguration) is None
        assert started_uploads._read(path) is None


RECEIPT = receipt_file.ObjectReceipt(
    TARGET,
    300,
    100,
    tuple(Receipt(n, 100, "e", "0" * 32) for n in (1, 2, 3)),
    "etag",
    "etag",
    "id",
    None,
    "r",
    1.0,
)
ENTRY = started_uploads.StartedUpload(Upload(TARGET, "id"), "/data/dump", None, 1.0)


@given(st.data())
def test_any_value_in_a_receipt_or_a_memory_is_read_or_refused(data: st.DataObject) -> None:
    """What is read has the kinds that it promises."""
    for plain, read in (
        (
            receipt_file._to_fields(RECEIPT),
            lambda path: ends_in(lambda: receipt_file.load(path), BadConfiguration),
        ),
        (json.loads(json.dumps(to_builtins(ENTRY))), started_uploads._read),
    ):
        where: Any = plain
        while isinstance(where, (dict, list)) and where:
            places = sorted(where) if isinstance(where, dict) else range(len(where))
            name = data.draw(st.sampled_from(list(places)))
            if not isinstance(where[name], (dict, list)) or data.draw(st.booleans()):
                where[name] = data.draw(JSON)
                break
            where = where[name]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_text(json.dumps(plain))
            found: Any = read(path)
        if isinstance(found, started_uploads.StartedUpload):
            assert isinstance(found.upload.upload_id, str)
            assert isinstance(found.upload.target.key, str)
            assert found.source is None or isinstance(found.source, str)
            assert isinstance(found.created, float | int)
        if isinstance(found, receipt_file.ObjectReceipt):
            assert all(one.md5 is None or isinstance(one.md5, str) for one in found.receipts)
            assert all(one.crc64 is None or isinstance(one.crc64, int) for one in found.receipts)


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), JSON.map(lambda one: json.dumps(one).encode() + b"\n")), max_size=5
    )
)
def test_a_journal_with_any_lines_keeps_the_right_ones(lines: list[bytes]) -> None:
    """What is damaged is counted; what was proved before it is still known, and nothing else is."""
    proved = JournalEntry("name", STAT, "etag", "etag", "options")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = Journal(path, TARGET)
        journal.add(proved)
        journal.close()
        with path.open("ab") as file:
            file.write(b"".join(lines))
        journal = Journal(path, TARGET)
        assert journal.known == 1
        assert journal.find("name") == proved
        journal.close()
        path.write_bytes(b"".join(lines))
        again = ends_in(lambda: Journal(path, TARGET), JournalDamaged, WrongUsage, CheckpointUnwritable)
        if again is not None:
            assert again.known == 0
            again.close()


def in_file(data: bytes, read: Callable[[Path], T]) -> T:
    """Return what *read* reads of a file with *data*."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)


TOML_VALUES = st.one_of(
    JSON.map(lambda one: json.dumps(one)),
    TEXTS,
    st.sampled_from(["1979-05-27", "inf", "-nan", "[[1]]", "{}"]),
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.tuples(
                st.sampled_from(["part_size", "jobs", "secret_access_key", "endpoint", "x"]), TOML_VALUES
            ),
            max_size=4,
        )
        .map(lambda rows: "[profiles.a]\n" + "\n".join(f"{name} = {value}" for name, value in rows))
        .map(lambda text: text.encode("utf-8", "replace")),
    )
)
@example(b"a = " + b"[" * 100_000)
@example(b"a = " + b"9" * 5000)
def test_any_configuration_is_read_or_refused(data: bytes) -> None:
    """TOML, values of the wrong kind, bytes that are no text."""
    in_file(data, lambda path: ends_in(lambda: load_config(path, {}), BadConfiguration))


INI = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [
                *(
                    "[default]",
                    "[Credentials]",
                    "[",
                    "aws_access_key_id = AK",
                    "aws_secret_access_key=s3cr3t",
                ),
                *(
                    "accessKeyID=AK",
                    "accessKeySecret =",
                    "  continued",
                    "%(x)s = %(y)s",
                    "=",
                    "\0",
                    "; x",
                    "a",
                ),
                "aws_session_token = \x1b[31m",
            ]
        ),
        max_size=8,
    ).map(lambda lines: "\n".join(lines).encode()),
)


@given(INI)
@example(b"[default]\nkey\n  indented below a key without a value")
def test_any_file_of_another_tool_has_keys_or_none(data: bytes) -> None:
    """~/.aws/credentials and ~/.ossutilconfig: half a pair is told, all else is not ours."""

    def read(path: Path) -> None:
        variables = {"AWS_SHARED_CREDENTIALS_FILE": str(path), "OSSUTIL_CONFIG_FILE": str(path)}
        for provider in ("s3", "oss"):
            for section in list_sections(provider, environ=variables, home=path.parent):
                ends_in(lambda one=section: read_section(one), Denied)  # type: ignore[misc]

    in_file(data, read)


KEYS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "Version",
                "AccessKeyId",
                "SecretAccessKey",
                "SessionToken",
                "Expiration",
                "Code",
                "credential",
            ),
            *("access", "secret", "securitytoken", "expires_at", "AccessKeySecret", "SecurityToken"),
        ]
    ),
    JSON | st.just(1) | st.just("2026-11-21T03:00:00Z"),
)


@given(st.one_of(TEXTS, KEYS.map(json.dumps), KEYS.map(lambda one: json.dumps({"credential": one}))))
@example("[" * 100_000)
@example('{"Version": ' + "9" * 5000 + "}")
def test_any_output_of_a_helper_or_metadata_service_is_credentials_or_denied(text: str) -> None:
    """And what they said stands in no error."""
    parse_json_object(text)
    for read in (
        lambda: read_process(text, "helper", "profile p"),
        *(
            lambda service=service: read_metadata(text, service, _Host("http://127.0.0.1", 1.0))
            for service in METADATA_SERVICES.values()
        ),
    ):
        ends_in(read, Denied)


@given(JSON)
@example("9999-12-31T23:59:59-23:59")
@example("0001-01-01T00:00:00+23:59")
def test_any_expiry_is_a_time_or_none(value: object) -> None:
    """Seconds since the epoch."""
    found = parse_expiry(value)
    assert found is None or math.isfinite(found)


@given(TEXTS)
@example("9" * 400 + ".5K")
@example("9" * 400 + "d")
@example("9" * 5000)
@example("1" + "0" * 30)
def test_any_size_rate_and_duration_is_a_number_or_refused(text: str) -> None:
    """One that the system can wait for, and that fits a file."""
    for parse in (parse_size, parse_rate):
        size = ends_in(lambda one=parse: one(text), ValueError)  # type: ignore[misc]
        assert size is None or 0 <= size < 2**63
    seconds = ends_in(lambda: parse_duration(text), ValueError)
    assert seconds is None or 0 <= seconds <= 100 * 366 * 86400
