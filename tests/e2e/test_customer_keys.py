"""SSE-C keys: the forms and sizes of a key file, and the key of a copied object."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.matrix import mostly_slow

MakeFile = Callable[..., Path]
KEY, LONG_KEY = random.Random(7).randbytes(32), random.Random(8).randbytes(64)
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "hex": lambda key: key.hex().encode(),
    "HEX line": lambda key: key.hex().upper().encode() + b"\n",
    "Base64": base64.b64encode,
    "Base64 line": lambda key: base64.b64encode(key) + b"\r\n",
}
ALGORITHM_HEADER = "server-side-encryption-customer-key"


def sent_keys(sandbox: Sandbox) -> set[bytes]:
    """Return the SSE-C keys of all requests."""
    pairs = (pair for request in sandbox.requests for pair in request.headers)
    return {base64.b64decode(value) for name, value in pairs if name.lower().endswith(ALGORITHM_HEADER)}


@pytest.mark.parametrize("form", mostly_slow(FORMS, "HEX line", "Base64"))
def test_a_key_file_is_raw_hex_or_base64(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, form: str
) -> None:
    """All forms are the same key, also for an upload that was begun with another form."""
    source, plain, written = make_file(1_000_000), make_file(0, "plain"), make_file(0, "written")
    plain.write_bytes(KEY)
    plain.chmod(0o600)
    written.write_bytes(FORMS[form](KEY))
    written.chmod(0o600)
    assert inside.run("init", source, "bucket/key", "--sse-c-key-file", plain, "--parts", "3").code == 0
    [upload] = sandbox.uploads()
    done = inside.run("upload", source, "bucket/key", "--sse-c-key-file", written, "--parts", "3", "--json")
    assert done.json["uploadId"] == upload.upload_id, done.err
    assert done.json["sseCKeyMd5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()
    assert sent_keys(sandbox) == {KEY}


@pytest.mark.parametrize("form", mostly_slow(FORMS, "raw"))
def test_a_key_of_512_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_file: MakeFile, form: str
) -> None:
    """OBS documents it for the AWS form of its protocol."""
    source, written = make_file(1000), make_file(0, "written")
    written.write_bytes(FORMS[form](LONG_KEY))
    written.chmod(0o600)
    with Sandbox(aws_vendor="obs") as store:
        inside = Inside(store, tmp_path, monkeypatch)
        options = ("--sse-c-key-file", written, "--signature", "v4", "--region", "eu-test-1")
        assert inside.run("upload", source, "obs://bucket/key", *options).code == 0
        assert sent_keys(store) == {LONG_KEY}


@pytest.mark.parametrize("arguments", [("obs://bucket/key",), ("s3://bucket/key", "--region", "eu-test-1")])
def test_a_key_of_512_bits_is_refused_elsewhere(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, arguments: tuple[str, ...]
) -> None:
    """Before a request is sent: these services document 256 bits only."""
    source, key = make_file(1000), make_file(0, "key")
    key.write_bytes(LONG_KEY)
    key.chmod(0o600)
    outcome = inside.run("upload", source, *arguments, "--sse-c-key-file", key)
    assert (outcome.code, "accepts 32 bytes, not 64" in outcome.err) == (2, True), outcome.err
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "content",
    [b"", KEY + b"\n", KEY[:31], KEY.hex().encode()[:-1], base64.b64encode(KEY)[:-1] + b"*", b"x" * 4097],
    ids=["empty", "33 bytes", "31 bytes", "63 hex digits", "not Base64", "long"],
)
def test_another_file_is_no_key(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, content: bytes
) -> None:
    """Exit 78; the message does not repeat the content."""
    source, key = make_file(1000), make_file(0, "key")
    key.write_bytes(content)
    key.chmod(0o600)
    outcome = inside.run("upload", source, "bucket/key", "--sse-c-key-file", key)
    assert (outcome.code, sandbox.requests) == (78, []), outcome.err
    assert content.hex()[:20] not in outcome.err or not content


@pytest.mark.parametrize("option", ["--sse-c-key-file", "--copy-source-sse-c-key-file"])
def test_a_key_that_others_can_read_is_refused(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, option: str
) -> None:
    """As ssh refuses a private key; the command that is printed makes the file private."""
    source, key = make_file(1000), make_file(32, "key")
    key.chmod(0o640)
    command = ("part", "bucket/key", "--upload-id", "u", "--part-number", "1", "--copy-source", "bucket/old")
    arguments = ("upload", source, "bucket/key") if option == "--sse-c-key-file" else command
    outcome = inside.run(*arguments, option, key)
    assert (outcome.code, sandbox.requests) == (78, []), outcome.err
    assert "other users can read it (mode 0640)" in outcome.err
    next_words = shlex.split(outcome.err.partition("Next:")[2].rpartition("Run: ")[2])
    subprocess.run(next_words, check=True)
    assert inside.run(*arguments, option, key).code != 78


def test_a_key_file_that_never_ends_is_not_read(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """No more than a bound is read."""
    assert Path("/dev/zero").is_char_device()
    outcome = inside.run("upload", make_file(1000), "bucket/key", "--sse-c-key-file", os.devnull)
    assert outcome.code == 78, outcome.err
    outcome = inside.run("upload", make_file(1000), "bucket/key", "--sse-c-key-file", "/dev/zero")
    assert (outcome.code, "more than 4096 bytes" in outcome.err) == (78, True), outcome.err


@pytest.mark.parametrize("provider", mostly_slow(["obs", "s3"], "obs"))
def test_an_encrypted_object_is_copied_with_its_own_key(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, provider: str
) -> None:
    """Its key decrypts the source, --sse-c-key-file encrypts the part, and its ETag is checked."""
    arguments = ("--provider", provider, "--region", "eu-test-1")
    source, old, new = make_file(6 * 2**20), make_file(0, "old.key"), make_file(0, "new.key")
    old.write_bytes(KEY)
    old.chmod(0o600)
    new.write_bytes(KEY[::-1])
    new.chmod(0o600)
    assert inside.run("upload", source, "bucket/old", *arguments, "--sse-c-key-file", old).code == 0
    encryption = (*arguments, "--sse-c-key-file", str(new))
    upload_id = inside.run("init", "bucket/key", *encryption).out.strip()
    part = ("part", "bucket/key", "--upload-id", upload_id, "--part-number", "1")
    copy = (*part, *encryption, "--copy-source", "bucket/old")
    refused = inside.run(*copy)
    assert refused.code == 69, refused.err
    wrong = inside.run(*copy, "--copy-source-sse-c-key-file", new)
    assert wrong.code != 0, wrong.err
    copied = inside.run(*copy, "--copy-source-sse-c-key-file", old)
    assert (copied.code, copied.err) == (0, "")
    assert inside.run("complete", "bucket/key", "--upload-id", upload_id, *encryption).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    [complete] = [request for request in sandbox.requests if request.operation == "complete"][-1:]
    has_key = any("customer" in name.lower() for name, _ in complete.headers)
    # S3 requires the key of an upload with checksums.
    has_checksum = any("checksum-type" in name.lower() for name, _ in complete.headers)
    assert has_key == has_checksum


@pytest.mark.parametrize("option", [("--copy-source-sse-c-key-file", "old.key"), ("--copy-range", "0-9")])
def test_options_of_a_copy_need_a_copy_source(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, option: tuple[str, str]
) -> None:
    """Exit 2: they would have no effect on a part that is sent."""
    arguments = ("--upload-id", "x", "--part-number", "1", "--offset", "0")
    outcome = inside.run("part", make_file(10), "bucket/key", *arguments, *option)
    assert (outcome.code, f"{option[0]} needs --copy-source" in outcome.err) == (2, True), outcome.err
    assert sandbox.requests == []


@pytest.mark.parametrize("provider", ["obs", "s3"])
def test_a_wrong_customer_key_is_named(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, provider: str
) -> None:
    """None for an encrypted object, another one, and one for an object that is not encrypted."""
    source, key, other = make_file(1000), make_file(32, "key"), make_file(33, "other")
    other.write_bytes(KEY)
    for path in (key, other):
        path.chmod(0o600)
    place = ("--provider", provider, "--region", "eu-test-1")
    assert inside.run("upload", source, "bucket/secret", *place, "--sse-c-key-file", key).code == 0
    assert inside.run("upload", source, "bucket/plain", *place).code == 0
    for name, given, code in (("secret", None, 69), ("secret", other, 77), ("plain", key, 69)):
        words = ("--sse-c-key-file", str(given)) if given else ()
        outcome = inside.run("verify", source, f"bucket/{name}", *place, *words)
        assert outcome.code == code, outcome.err
        assert "--sse-c-key-file" in outcome.err.partition("Next:")[2].rpartition(", then run")[0], (
            outcome.err
        )


def test_an_object_with_another_customer_key(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """HEAD is 403, as without permission: --no-overwrite replaces nothing, and all messages name the key file."""
    source, key, other = make_file(1000), make_file(32, "key"), make_file(33, "other")
    other.write_bytes(KEY)
    for path in (key, other):
        path.chmod(0o600)
    upload = ("upload", source, "s3://bucket/key", "--region", "eu-test-1", "--sse-c-key-file")
    assert inside.run(*upload, key).code == 0
    kept = inside.run(*upload, other, "--no-overwrite")
    assert (kept.code, "Next:  Check --sse-c-key-file, or" in kept.err) == (77, True), kept.err
    assert [one.operation for one in sandbox.requests].count("put") == 1
    replaced = inside.run(*upload, other, "--skip-identical")
    assert (replaced.code, "or --sse-c-key-file has another key" in replaced.err) == (0, True), replaced.err


def test_parts_are_listed_with_the_customer_key(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """S3 requires it if the upload has checksums."""
    source, key = make_file(1000), make_file(0, "key")
    key.write_bytes(KEY)
    key.chmod(0o600)
    place = ("--provider", "s3", "--region", "eu-test-1", "--sse-c-key-file", str(key))
    upload_id = inside.run("init", source, "bucket/key", *place).out.strip()
    sandbox.add_fault("error=400:InvalidRequest,op=parts,times=1")
    listed = inside.run("parts", "bucket/key", "--upload-id", upload_id, *place)
    assert listed.code == 0, listed.err
    lists = [request.headers for request in sandbox.requests if request.operation == "parts"]
    assert any(name.lower().endswith(ALGORITHM_HEADER) for headers in lists for name, _ in headers)


def test_oss_has_no_key_for_a_copy(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Nothing is sent."""
    make_file(32, "old.key").chmod(0o600)
    copy = ("part", "oss://bucket/key", "--upload-id", "x", "--part-number", "1", "--region", "eu-test-1")
    outcome = inside.run(*copy, "--copy-source", "bucket/old", "--copy-source-sse-c-key-file", "old.key")
    assert (outcome.code, sandbox.requests) == (2, []), outcome.err


@pytest.mark.parametrize("is_encrypted", [True, False], ids=["plain before", "SSE-C before"])
def test_an_object_with_another_encryption_is_replaced(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, is_encrypted: bool
) -> None:
    """HEAD of it is rejected (400), so it is not the object of this upload, nor identical with the source."""
    source, key = make_file(600_000), make_file(32, "key")
    key.chmod(0o600)
    encryption = ("--sse-c-key-file", str(key))
    before, now = ((), encryption) if is_encrypted else (encryption, ())
    for name in ("one", "two", "three", "dir/bigfile"):
        assert inside.run("upload", source, f"bucket/{name}", *before).code == 0
    assert inside.run("init", source, "bucket/one", "--parts", "3", *now).code == 0
    for number in "123":
        assert inside.run("part", source, "bucket/one", "--part-number", number, *now).code == 0
    completed = inside.run("complete", source, "bucket/one", *now)
    assert completed.code == 0, completed.err
    one = inside.run("upload", source, "bucket/two", "--skip-identical", *now)
    assert one.code == 0, one.err
    many = inside.run("upload", source, key, "bucket/dir/", "--skip-identical", *now)
    assert many.code == 0, many.err
    kept = inside.run("upload", source, "s3://bucket/three", "--region", "eu-test-1", "--no-overwrite", *now)
    assert kept.code == 69, kept.err
    encrypted = {
        name: bool(sandbox.object_metadata("bucket", name).attributes.customer_key_md5)
        for name in ("one", "two", "dir/bigfile", "three")
    }
    replaced = dict.fromkeys(("one", "two", "dir/bigfile"), is_encrypted)
    assert encrypted == replaced | {"three": not is_encrypted}
