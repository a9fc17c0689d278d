"""Encryption that the store ignores, as Swift, SeaweedFS and rclone do: exit 69, and nothing readable is stored."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_fields

from obsup.api import upload_file
from obsup.engine.job.connection import StoreSettings, connect, customer_key_of
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import BadConfiguration, Refused
from obsup.model import Credentials, CustomerKey, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from obsup.store.interface import FixedCredentials
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed, with_other_headers
from tests.support.batch import count_operations
from tests.support.in_process import Inside
from tests.support.upload_rig import Rig, when_requested

MakeFile = Callable[..., Path]
AES, KMS, CUSTOMER_KEY = ("--sse", "AES256"), ("--sse", "kms"), ("--sse-c-key-file", "keyfile")
EVERY = pytest.mark.parametrize("encryption", [AES, KMS, CUSTOMER_KEY], ids=["AES256", "kms", "SSE-C"])
WAYS = pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "source", "bucket/key"),
        ("upload", "source", "bucket/key", "--parts", "3"),
        ("upload", "--from-command", "bucket/key", "--part-size", "100K", "--", "cat", "source"),
        ("upload", "--from-command", "bucket/key", "--", "head", "-c", "9", "source"),
        ("upload", "-r", "tree/", "bucket/key/"),
        ("init", "bucket/key"),
        ("init", "source", "bucket/key"),
    ],
    ids=["one request", "parts", "stream", "short stream", "batch", "init", "init with source"],
)

SLOW = pytest.mark.slow
IN_PARTS = [one for one in WAYS.args[1] if {"init", "--parts", "--part-size"} & set(one)]


@pytest.fixture
def inside(sandbox: Sandbox, tmp_path: Path, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Runs commands in a folder with a source of 400,000 bytes, a tree of five files, and a key."""
    (tmp_path / "tree").mkdir()
    make_file(400_000, "source")
    make_file(32, "keyfile").chmod(0o600)
    for number in range(5):
        make_file(1000 + number, f"tree/{number}")
    monkeypatch.setenv("OBSUP_PROVIDER", "obs")
    return Inside(sandbox, tmp_path, monkeypatch)


def with_options(arguments: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """Return *arguments* with *options* after the target."""
    at = next(n for n, one in enumerate(arguments) if one.startswith("bucket/")) + 1
    return (*arguments[:at], *options, *arguments[at:])


def received(sandbox: Sandbox) -> int:
    """Return the bytes that the store received for parts and objects."""
    return sum(one.received for one in sandbox.requests if one.operation in ("part", "put"))


@EVERY
@WAYS
def test_nothing_is_sent_to_a_store_that_ignores_encryption(
    inside: Inside, sandbox: Sandbox, arguments: tuple[str, ...], encryption: tuple[str, str]
) -> None:
    """No byte of the source, no object, no open upload; the error names the option."""
    sandbox.add_fault("ignore-encryption")
    outcome = inside.run(*with_options(arguments, *encryption))
    assert outcome.code == 69
    assert "does not encrypt" in outcome.err
    assert received(sandbox) <= 1
    assert sandbox.uploads() == []
    assert not sandbox.object_path("bucket", "key").exists()
    assert count_operations(sandbox)["initiate"] == 1


@EVERY
@WAYS
def test_a_store_that_confirms_encryption_only_with_a_part(
    inside: Inside, sandbox: Sandbox, arguments: tuple[str, ...], encryption: tuple[str, str]
) -> None:
    """MinIO returns no header of Initiate: one byte shows that it encrypts, once for the whole batch.

    If no ETag is an MD5, a second trial shows that Content-MD5 is checked.
    """
    sandbox.add_fault("hide-encryption,op=initiate")
    assert inside.run(*with_options(arguments, *encryption)).code == 0
    is_init = arguments[0] == "init"
    in_parts = "--parts" in arguments or "--part-size" in arguments or is_init
    trials = 1 if encryption == AES or is_init else 2
    counts = count_operations(sandbox)
    assert (counts["initiate"], counts["abort"]) == (trials + in_parts, trials)
    assert len(sandbox.uploads()) == is_init


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
@pytest.mark.parametrize("encryption", [AES, KMS], ids=["AES256", "kms"])
def test_every_vendor_confirms_encryption(
    inside: Inside, sandbox: Sandbox, encryption: tuple[str, str], provider: str
) -> None:
    """The object is encrypted, and no upload is left. Without any other proof, Content-MD5 is tried out."""
    where = ("--provider", provider, "--region", "here")
    assert inside.run("upload", "source", "bucket/key", *where, *encryption).code == 0
    assert sandbox.object_metadata("bucket", "key").attributes.encryption
    assert (sandbox.uploads(), sandbox.object_path("bucket", "key").stat().st_size) == ([], 400_000)
    rejected = [one.code for one in sandbox.requests if one.status == 400]
    assert bool(rejected) == ((encryption, provider) == (KMS, "obs"))
    assert set(rejected) <= {"BadDigest"}


def test_a_store_that_ignores_encryption_only_for_put_object(inside: Inside, sandbox: Sandbox) -> None:
    """The response to PutObject decides as well."""
    sandbox.add_fault("ignore-encryption,op=put")
    outcome = inside.run("upload", "source", "bucket/key", *AES)
    assert outcome.code == 69
    assert "was stored, but the store does not confirm --sse AES256" in outcome.err


def test_a_resumed_upload_is_checked_again(inside: Inside, sandbox: Sandbox) -> None:
    """An earlier version, or another machine, may have initiated it."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    command = ("upload", "source", "bucket/key", "--parts", "3", "-j", "1", *AES)
    assert inside.run(*command).code == 77
    sandbox.clear_faults()
    sandbox.add_fault("ignore-encryption,op=initiate")
    sent = received(sandbox)
    assert inside.run(*command).code == 69
    assert received(sandbox) - sent <= 1
    assert len(sandbox.uploads()) == 1


def test_a_single_part(inside: Inside, sandbox: Sandbox) -> None:
    """`part` with a customer key, for an upload that was initiated elsewhere."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    sandbox.add_fault("ignore-encryption")
    part = ("part", "source", "bucket/key", "--upload-id", upload_id, "--part-number", "1", "--parts", "1")
    assert inside.run(*part, *CUSTOMER_KEY).code == 69
    assert received(sandbox) <= 1


def test_a_header_given_by_hand(inside: Inside, sandbox: Sandbox) -> None:
    """--header 'x-obs-server-side-encryption: …' asks for encryption, too."""
    sandbox.add_fault("ignore-encryption")
    header = ("--header", "x-obs-server-side-encryption: kms")
    assert inside.run("upload", "source", "bucket/key", *header).code == 69
    assert received(sandbox) <= 1


def test_an_upload_that_cannot_be_aborted_is_named(inside: Inside, sandbox: Sandbox) -> None:
    """The credentials may lack the permission to abort; gc finds the upload later."""
    sandbox.add_fault("error=403:AccessDenied,op=abort,times=always")
    outcome = inside.run("upload", "source", "bucket/key", *AES)
    assert outcome.code == 0
    assert f"obsup abort bucket/key --upload-id {sandbox.uploads()[0].upload_id}" in outcome.err
    sandbox.clear_faults()
    assert inside.run("gc", "bucket", "--older-than", "0s").code == 0
    assert sandbox.uploads() == []


def test_a_store_that_rejects_the_encryption_has_no_upload_of_the_trial(
    inside: Inside, sandbox: Sandbox
) -> None:
    """Swift returns 501: nothing may still be open."""
    sandbox.add_fault("error=501:NotImplemented,op=initiate,times=always")
    outcome = inside.run("upload", "source", "bucket/key", *AES)
    assert outcome.code == 69
    assert "may still be open" not in outcome.err


def test_each_trial_that_failed_may_have_left_an_upload(inside: Inside, sandbox: Sandbox) -> None:
    """SeaweedFS without a configured encryption returns 500, and initiates the upload."""
    sandbox.add_fault("error-after=500:InternalError,op=initiate,times=always")
    outcome = inside.run("upload", "source", "bucket/key", *AES, "--retry-for", "1s")
    count = len(sandbox.uploads())
    assert (outcome.code, count > 1) == (75, True), outcome.err
    assert f"Note:  {count} uploads without parts, which tried out the encryption, may" in outcome.err


@pytest.mark.parametrize("fault", ["drop-answer,op=initiate", "error=500:InternalError,op=initiate"])
def test_the_upload_of_another_client_is_not_taken_for_the_trial(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, fault: str
) -> None:
    """It is initiated while the response to the trial is missing: it is neither written to nor aborted."""
    theirs: list[str] = []

    def initiate() -> None:
        theirs.append(inside.run("init", "bucket/key").out.strip())

    rig = Rig(sandbox, make_file(400_000))
    sandbox.add_fault(fault)
    rig.run(options=ObjectOptions(sse="AES256"), observer=when_requested("InitiateMultipartUpload", initiate))
    assert rig.is_stored()
    assert theirs[0] in rig.open_ids()
    assert all(one.upload_id != theirs[0] for one in sandbox.requests if one.operation in ("part", "abort"))
    assert "which tried out the encryption, may still be open" in rig.notes()


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("arguments", IN_PARTS)
def test_a_gateway_that_ignores_the_encryption_of_the_upload_itself(
    inside: Inside, sandbox: Sandbox, arguments: tuple[str, ...], encryption: tuple[str, str]
) -> None:
    """Another gateway of the same store has confirmed the trial: exit 69, nothing is sent, no upload is left."""
    sandbox.add_fault("ignore-encryption,op=initiate,after=1")
    outcome = inside.run(*with_options(arguments, *encryption))
    assert (outcome.code, received(sandbox), sandbox.uploads()) == (69, 0, []), outcome.err
    assert "does not encrypt the upload of bucket/key" in outcome.err
    sandbox.clear_faults()
    assert inside.run(*with_options(arguments, *encryption)).code == 0


@pytest.mark.parametrize(
    "encryption", [AES, pytest.param(KMS, marks=pytest.mark.slow)], ids=["AES256", "kms"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "source", "bucket/key", "--part-size", "100K"),
        pytest.param(
            ("upload", "source", "bucket/key", "--part-size", "100K", "--executor", "processes"), marks=SLOW
        ),
        pytest.param(WAYS.args[1][2], marks=SLOW),
    ],
    ids=["threads", "processes", "stream"],
)
def test_a_gateway_that_ignores_the_encryption_of_a_later_part(
    inside: Inside, sandbox: Sandbox, arguments: tuple[str, ...], encryption: tuple[str, str]
) -> None:
    """Initiate confirms nothing, as on MinIO, so that each part must: exit 69. The next run sends that part again."""
    sandbox.add_fault("hide-encryption,op=initiate,times=always")
    sandbox.add_fault("hide-encryption,op=part,part=3")
    command = with_options(arguments, *encryption)
    outcome = inside.run(*command)
    assert outcome.code == 69, outcome.err
    assert (
        f"part 3 of bucket/key was stored, but the store does not confirm {' '.join(encryption)}"
        in outcome.err
    )
    assert not sandbox.object_path("bucket", "key").exists()
    sandbox.clear_faults()
    sandbox.add_fault("hide-encryption,op=initiate,times=always")
    before = len(sandbox.requests)
    assert inside.run(*command).code == 0
    sent = [one.part_number for one in sandbox.requests[before:] if one.operation == "part"]
    assert 3 in sent
    sandbox.add_fault("hide-encryption,op=head,times=always")
    outcome = inside.run(*command)
    assert outcome.code == 69
    assert "is complete, but HeadObject does not confirm" in outcome.err


@pytest.mark.parametrize("command", ["upload", "init"])
def test_a_gateway_that_ignores_the_encryption_and_does_not_respond(
    inside: Inside, sandbox: Sandbox, command: str
) -> None:
    """No response has confirmed the encryption of the upload: it is left alone and named, and nothing is sent to it."""
    sandbox.add_fault("ignore-encryption,op=initiate,after=1,times=1")
    sandbox.add_fault("drop-answer,op=initiate,after=1")
    outcome = inside.run(command, "source", "bucket/key", "--parts", "1", *AES)
    assert outcome.code == 0, outcome.err
    plain = next(one.upload_id for one in sandbox.uploads() if one.upload_id != outcome.out.strip())
    assert f"the open upload {plain} of bucket/key" in outcome.err
    assert all(one.upload_id != plain for one in sandbox.requests if one.operation == "part")
    if command == "init":
        assert inside.run("part", "source", "bucket/key", "--part-number", "1").code == 0
        assert inside.run("complete", "source", "bucket/key").code == 0
    assert sandbox.object_metadata("bucket", "key").attributes.encryption


def test_an_initiation_that_was_interrupted_before_it_confirmed_the_encryption(
    inside: Inside, sandbox: Sandbox
) -> None:
    """The next run does not continue its upload, which may not be encrypted; it is left alone and named."""
    sandbox.add_fault("ignore-encryption,op=initiate,after=1,times=1")
    sandbox.add_fault("drop-answer,op=initiate,after=1")
    sandbox.add_fault("error=403:AccessDenied,op=uploads,after=2,times=always")
    command = ("upload", "source", "bucket/key", "--parts", "1", *AES)
    outcome = inside.run(*command)
    assert outcome.code == 77, outcome.err
    sandbox.clear_faults()
    plain = sandbox.uploads()[0].upload_id
    outcome = inside.run(*command)
    assert outcome.code == 0, outcome.err
    assert f"the open upload {plain} of bucket/key" in outcome.err
    assert sandbox.object_metadata("bucket", "key").attributes.encryption


def test_a_part_whose_response_does_not_confirm_the_customer_key(inside: Inside, sandbox: Sandbox) -> None:
    """The upload was initiated without the key, and the store accepts the part: it is not encrypted."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    sandbox.add_fault("ignore-encryption,op=part")
    part = ("part", "source", "bucket/key", "--upload-id", upload_id, "--part-number", "1", "--parts", "1")
    outcome = inside.run(*part, *CUSTOMER_KEY)
    assert (outcome.code, outcome.out) == (69, "")
    assert "part 1 of bucket/key was stored, but the store does not confirm a customer key" in outcome.err


def test_a_completed_object_whose_customer_key_is_not_confirmed(inside: Inside, sandbox: Sandbox) -> None:
    """Complete does not send the key, so that HeadObject must confirm it: exit 69. So must a repeated one."""
    upload_id = inside.run("init", "bucket/key", *CUSTOMER_KEY).out.strip()
    part = ("part", "source", "bucket/key", "--upload-id", upload_id, "--part-number", "1", "--parts", "1")
    assert inside.run(*part, *CUSTOMER_KEY).code == 0
    sandbox.add_fault("hide-encryption,op=head")
    for _ in range(2):
        outcome = inside.run("complete", "bucket/key", "--upload-id", upload_id, *CUSTOMER_KEY)
        assert outcome.code == 69
        assert "HeadObject does not confirm the customer key" in outcome.err
    sandbox.clear_faults()
    assert inside.run("complete", "bucket/key", "--upload-id", upload_id, *CUSTOMER_KEY).code == 0


@pytest.mark.parametrize(
    ("encryption", "header", "value"),
    [
        (CUSTOMER_KEY, "x-obs-server-side-encryption-customer-key-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ((*KMS, "--sse-kms-key-id", "mine"), "x-obs-server-side-encryption-kms-key-id", "other"),
    ],
    ids=["SSE-C", "kms"],
)
def test_a_response_that_names_another_key(
    inside: Inside,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    encryption: tuple[str, ...],
    header: str,
    value: str,
) -> None:
    """A gateway encrypts with a key of its own: exit 69 before the first byte."""
    with MutatingRelay(
        sandbox.port, lambda answer: with_other_headers(answer, drop=(header,), add={header: value})
    ) as relay:
        monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
        outcome = inside.run("upload", "source", "bucket/key", *encryption)
        assert (outcome.code, received(sandbox) <= 1) == (69, True)
        relay.change = lambda _: None
        assert inside.run("upload", "source", "bucket/key", *encryption).code == 0


@pytest.mark.parametrize("options", [(), AES], ids=["plain", "AES256"])
def test_an_upload_id_of_another_upload(
    inside: Inside, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """A gateway repeats the response to an earlier Initiate: that upload is neither used nor aborted. Exit 69."""
    theirs = inside.run("init", "bucket/key").out.strip()

    def repeat(answer: Answer) -> Wire | None:
        if answer.operation != "initiate":
            return None
        body = re.sub(rb"(<UploadId>).*?(</UploadId>)", rb"\g<1>" + theirs.encode() + rb"\2", answer.body)
        return Wire(framed(replace(answer, body=body)))

    with MutatingRelay(sandbox.port, repeat) as relay:
        monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
        for command in (("upload", "source", "bucket/key", "--parts", "3"), ("init", "bucket/key")):
            outcome = inside.run(*command, *options)
            assert outcome.code == 69
            assert f"upload id {theirs}, which was open before" in outcome.err
    assert theirs in [one.upload_id for one in sandbox.uploads()]
    assert received(sandbox) == 0


def test_a_worker_with_another_customer_key(tmp_path: Path, make_file: MakeFile) -> None:
    """Under the same path, as a host without the shared folder has it: nothing is sent with that key."""
    key_file = make_file(32, "key")
    key_file.chmod(0o600)
    key_file.chmod(0o600)
    settings = StoreSettings("obs", "http://store", customer_key_file=str(key_file))
    key = customer_key_of(settings)
    assert key is not None
    assert customer_key_of(replace_fields(settings, customer_key_digest=key.digest)) == key
    with pytest.raises(BadConfiguration, match="has another key on this host"):
        customer_key_of(replace_fields(settings, customer_key_digest=CustomerKey(bytes(32)).digest))


def test_a_customer_key_file_that_gets_another_key(sandbox: Sandbox, make_file: MakeFile) -> None:
    """The settings for other processes, those of a batch on this host too, require the key that was read first."""
    key_file = make_file(32, "key")
    key_file.chmod(0o600)
    settings = StoreSettings("obs", sandbox.endpoint, customer_key_file=str(key_file))
    keys = FixedCredentials(Credentials(sandbox.access_key, sandbox.secret_key))
    used = connect(settings, sleep=lambda _: False, credentials=keys).worker_settings
    connect(used, sleep=lambda _: False, credentials=keys)
    key_file.write_bytes(bytes(32))
    with pytest.raises(BadConfiguration, match="has another key on this host"):
        connect(used, sleep=lambda _: False, credentials=keys)


def test_the_api(sandbox: Sandbox) -> None:
    """The same for a stream through the API."""
    sandbox.add_fault("ignore-encryption")
    with pytest.raises(Refused, match="does not encrypt"):
        upload_file(
            io.BytesIO(b"secret"),
            "bucket/key",
            options=ObjectOptions(sse="AES256"),
            connecting=ConnectOptions(endpoint=sandbox.endpoint, provider="obs"),
            credentials=Credentials(sandbox.access_key, sandbox.secret_key),
        )
    assert received(sandbox) <= 1
