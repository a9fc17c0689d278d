"""Every parser of external data returns a value or raises the documented error, and terminates, for any input.

The input is responses of the store, damaged or foreign state files, files of other tools, output of credential helpers
and metadata services, and command-line arguments.
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
from obsup.rate import parse_rate
from obsup.store.answers import xml
from obsup.store.answers.failure_table import as_error, classify
from obsup.store.answers.listings import objects_after, parts_after, uploads_in
from obsup.store.answers.refusal import read_refusal
from obsup.store.answers.request import StoreRequest
from obsup.store.answers.result_headers import header_etag, read_object_info, read_stored
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.settings import Response
from obsup.store.interface import WHOLE_LIST
from obsup.text import clean
from obsup.units import parse_duration, parse_size

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
).filter(lambda document: isinstance(document, list))
BODIES = st.one_of(
    st.binary(max_size=200),
    CHILDREN.map(lambda children: f"<R>{_document(children)}</R>".encode("utf-8", "replace")),
    CHILDREN.map(lambda children: f"<Error>{_document(children)}</Error>".encode("utf-8", "replace")),
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
RESPONSES = st.builds(Response, STATUSES, HEADERS, BODIES)


def result_or_none(call: Callable[[], T], *errors: type[BaseException]) -> T | None:
    """Return what *call* returns, or None if it raises one of *errors*; any other error fails the test."""
    try:
        return call()
    except errors:
        return None


@given(RESPONSES)
def test_any_error_response_is_parsed_classified_and_explained(response: Response) -> None:
    """Each message is one printable line, and the retry delay is a number or None."""
    for dialect in DIALECTS.values():
        refusal = read_refusal(
            response, dialect.headers, operation="UploadPart", resource="b/k", endpoint="e"
        )
        assert refusal.retry_after_s is None or 0 <= refusal.retry_after_s < 10**7
        failure = StoreError(refusal)
        classify(failure)
        error = as_error(failure, doing="part 1 of b/k")
        message = f"{error}{error.next_step!s}{failure}"
        assert message.isprintable()
        assert len(message) < 10_000


@given(RESPONSES)
def test_any_headers_are_parsed_and_verify_nothing(response: Response) -> None:
    """This applies to HEAD and to the responses to parts and Complete. HEAD without ETag and date is not of a store."""
    expected = Expected(1_000_000, "0" * 32 + "-2", None, "our-upload-id", "our-token")
    stored = read_stored(response, NAMES, header_etag(response))
    assert verify_response(expected, stored) is None
    assert stored.etag.isprintable()
    info = result_or_none(lambda: read_object_info(response, NAMES), NetworkError)
    if info is None:
        assert not header_etag(response)
        assert not clean(response.headers.get("last-modified", ""))
        return
    assert verify_object(expected, info) is None
    assert "".join(info.metadata).isprintable()


@given(BODIES)
def test_any_document_is_parsed_or_rejected(body: bytes) -> None:
    """So are the upload ids, ETags and numbers in it."""
    root = result_or_none(lambda: xml.parse(body), xml.BadXML)
    if root is None:
        return
    for name in ("UploadId", "ETag", "Location"):
        assert xml.text(root, name).isprintable()
    for element in root.iter():
        result_or_none(lambda element=element: xml.stored_part(element), xml.BadXML)  # type: ignore[misc]
        result_or_none(lambda element=element: xml.stored_object(element, url_encoded=True), xml.BadXML)  # type: ignore[misc]
        xml.open_upload(element, url_encoded=True)


@given(st.lists(BODIES, min_size=1, max_size=4))
def test_any_list_terminates(bodies: list[bytes]) -> None:
    """Each page can be any document, and the last one repeats: a list is complete or rejected, and never endless."""
    limits = DIALECTS["obs"].limits
    page_count = 0

    def fetch(request: StoreRequest, *required: str) -> xml.Element:
        nonlocal page_count
        page_count += 1
        assert page_count < 50
        try:
            return xml.parse(bodies[min(page_count, len(bodies)) - 1])
        except xml.BadXML as exc:
            raise NetworkError("garbled", str(exc), sent=True) from exc

    upload = Upload(TARGET, "id")
    listed = result_or_none(
        lambda: list(parts_after(fetch, upload, 0, None, limits)), NetworkError, StoreError
    )
    parts = listed or []
    numbers = [part.number for part in parts]
    assert numbers == sorted(set(numbers))
    page_count = 0
    result_or_none(lambda: list(uploads_in(fetch, "b", "", WHOLE_LIST, limits)), NetworkError, StoreError)
    page_count = 0
    result_or_none(lambda: objects_after(fetch, "b", "", "", limits), NetworkError, StoreError)


@given(TEXTS)
@example("Sat, 01 Jan 99999 00:00:00 GMT")
@example("Sat, 01 Jan 2026 00:00:00 +99999999999999999999")
@example("Sat, 31 Dec 2199 23:59:59 -9959")
def test_any_date_leaves_a_usable_clock(date: str) -> None:
    """An invalid date does not change the clock."""
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
def test_a_checkpoint_with_a_flipped_bit_or_missing_bytes_is_damaged(data: st.DataObject) -> None:
    """It is rejected, or equal to the checkpoint that was written."""
    whole = checkpoints.encode(CHECKPOINT)
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (whole[:position], bytes(flipped), whole[position:]):
        checkpoint = result_or_none(lambda damaged=damaged: checkpoints.decode(damaged), CheckpointDamaged)  # type: ignore[misc]
        assert checkpoint in (None, CHECKPOINT)


PARTS = [
    [{"partNumber": number, "partSize": size, "etag": "e", "crc64": crc64}]
    for number, size, crc64 in ((0, 1, None), (1, -1, None), (1, 1, 2**70))
]


@given(st.data())
def test_a_checkpoint_with_any_value_in_any_field_is_valid_or_damaged(data: st.DataObject) -> None:
    """The digest of the file is correct. A checkpoint that can be read can also be written."""
    plain: dict[str, Any] = json.loads(checkpoints.encode(CHECKPOINT))
    name = data.draw(st.sampled_from(sorted(plain)))
    fields = plain[name] if isinstance(plain[name], dict) and data.draw(st.booleans()) else plain
    inner = name if fields is plain else data.draw(st.sampled_from(sorted(fields) or ["x"]))
    fields[inner] = data.draw(JSON | st.sampled_from([0, -1, 2**70, *PARTS]))
    plain.pop("digest", None)
    text = checkpoints._sealed(json.dumps(plain).encode()[:-1] + b",\n")
    checkpoint = result_or_none(lambda: checkpoints.decode(text), CheckpointDamaged)
    if checkpoint is not None:
        assert checkpoint.part_size > 0
        assert checkpoint.stat.size >= 0
        assert all(number > 0 and receipt.size >= 0 for number, receipt in checkpoint.receipts.items())
        assert checkpoints.decode(checkpoints.encode(checkpoint)) is not None


@given(st.one_of(st.binary(max_size=300), JSON.map(lambda value: json.dumps(value).encode())))
@example(b"[" * 100_000)
@example(b'{"format":' + b"9" * 5000 + b"}")
@example(b'{"format":99,"x":1}')
@example(b"\xff\xfe{\x00}\x00")
def test_any_file_is_rejected_as_checkpoint_receipt_and_started_upload(data: bytes) -> None:
    """Foreign, newer or truncated files raise the documented error; a record of a started upload is ignored."""
    assert result_or_none(lambda: checkpoints.decode(data), CheckpointDamaged) is None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        assert result_or_none(lambda: receipt_file.load(path), BadConfiguration) is None
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
def test_any_value_in_a_receipt_or_a_started_upload_is_valid_or_rejected(data: st.DataObject) -> None:
    """The values that are read have the declared types."""
    for plain, read in (
        (
            receipt_file._to_fields(RECEIPT),
            lambda path: result_or_none(lambda: receipt_file.load(path), BadConfiguration),
        ),
        (json.loads(json.dumps(to_builtins(ENTRY))), started_uploads._read),
    ):
        container: Any = plain
        while isinstance(container, (dict, list)) and container:
            keys = sorted(container) if isinstance(container, dict) else range(len(container))
            name = data.draw(st.sampled_from(list(keys)))
            if not isinstance(container[name], (dict, list)) or data.draw(st.booleans()):
                container[name] = data.draw(JSON)
                break
            container = container[name]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_text(json.dumps(plain))
            value_read: Any = read(path)
        if isinstance(value_read, started_uploads.StartedUpload):
            assert isinstance(value_read.upload.upload_id, str)
            assert isinstance(value_read.upload.target.key, str)
            assert value_read.source is None or isinstance(value_read.source, str)
            assert isinstance(value_read.created, float | int)
        if isinstance(value_read, receipt_file.ObjectReceipt):
            assert all(part.md5 is None or isinstance(part.md5, str) for part in value_read.receipts)
            assert all(part.crc64 is None or isinstance(part.crc64, int) for part in value_read.receipts)


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode() + b"\n")),
        max_size=5,
    )
)
def test_a_journal_with_any_lines_keeps_the_valid_ones(lines: list[bytes]) -> None:
    """Verified files before the damaged lines are still known; damaged lines add none."""
    verified = JournalEntry("name", STAT, "etag", "etag", "options")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = Journal(path, TARGET)
        journal.add(verified)
        journal.close()
        with path.open("ab") as file:
            file.write(b"".join(lines))
        journal = Journal(path, TARGET)
        assert journal.known == 1
        assert journal.find("name") == verified
        journal.close()
        path.write_bytes(b"".join(lines))
        reopened = result_or_none(
            lambda: Journal(path, TARGET), JournalDamaged, WrongUsage, CheckpointUnwritable
        )
        if reopened is not None:
            assert reopened.known == 0
            reopened.close()


def read_from_file(data: bytes, read: Callable[[Path], T]) -> T:
    """Call *read* with the path of a file that contains *data*; return its result."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)


TOML_VALUES = st.one_of(
    JSON.map(json.dumps),
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
def test_any_configuration_is_valid_or_rejected(data: bytes) -> None:
    """Input is TOML, values of the wrong type, and bytes that are not text."""
    read_from_file(data, lambda path: result_or_none(lambda: load_config(path, {}), BadConfiguration))


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
    """~/.aws/credentials and ~/.ossutilconfig: half a key pair raises Denied, other content is ignored."""

    def read(path: Path) -> None:
        variables = {"AWS_SHARED_CREDENTIALS_FILE": str(path), "OSSUTIL_CONFIG_FILE": str(path)}
        for provider in ("s3", "oss"):
            for section in list_sections(provider, environ=variables, home=path.parent):
                result_or_none(lambda section=section: read_section(section), Denied)  # type: ignore[misc]

    read_from_file(data, read)


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


@given(st.one_of(TEXTS, KEYS.map(json.dumps), KEYS.map(lambda keys: json.dumps({"credential": keys}))))
@example("[" * 100_000)
@example('{"Version": ' + "9" * 5000 + "}")
def test_any_output_of_a_helper_or_metadata_service_is_credentials_or_denied(text: str) -> None:
    """Other output raises Denied."""
    parse_json_object(text)
    for read in (
        lambda: read_process(text, "helper", "profile p"),
        *(
            lambda service=service: read_metadata(text, service, _Host("http://127.0.0.1", 1.0))
            for service in METADATA_SERVICES.values()
        ),
    ):
        result_or_none(read, Denied)


@given(JSON)
@example("9999-12-31T23:59:59-23:59")
@example("0001-01-01T00:00:00+23:59")
def test_any_expiry_is_a_time_or_none(value: object) -> None:
    """The time is in seconds since the epoch."""
    value_read = parse_expiry(value)
    assert value_read is None or math.isfinite(value_read)


@given(TEXTS)
@example("9" * 400 + ".5K")
@example("9" * 400 + "d")
@example("9" * 5000)
@example("1" + "0" * 30)
def test_any_size_rate_and_duration_is_a_number_or_rejected(text: str) -> None:
    """Sizes fit a file, and the system can wait for durations."""
    size = result_or_none(lambda: parse_size(text), ValueError)
    assert size is None or 0 <= size < 2**63
    rate = result_or_none(lambda: parse_rate(text), ValueError)
    assert rate is None or all((rate.at(minute) or 1) < 2**63 for minute in (0, 1439))
    seconds = result_or_none(lambda: parse_duration(text), ValueError)
    assert seconds is None or 0 <= seconds <= 100 * 366 * 86400
