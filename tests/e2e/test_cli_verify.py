"""obsup verify, upload --receipt and --skip-identical: compare an object with a file without downloading it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, with_other_headers
from tests.doubles.scripted_server import Reply, ScriptedServer
from tests.support.batch import make_files
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
SIZE = 1_500_000
# What each provider verifies an object by, and a size for two parts, which S3 requires to be 5 MiB.
PROVIDERS = {"obs": "etag", "s3": "crc64nvme", "oss": "crc64"}
SIZES = {"obs": SIZE, "s3": 11_000_000, "oss": SIZE}


def change_byte(path: Path, offset: int) -> None:
    """Change the byte at this offset; the size stays."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "how", [("--parts", "2"), pytest.param(("--part-size", "5260001"), marks=pytest.mark.slow), ()]
)
def test_verify_accepts_the_uploaded_file_and_rejects_another(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, provider: str, how: tuple[str, ...]
) -> None:
    """Exit 0 if the object matches, 65 if one byte differs; one HEAD request and nothing on stdout."""
    bigfile = make_file(SIZES[provider])
    arguments = ("bigfile", f"{provider}://bucket/key", "--region", "eu-de")
    assert shell.run("upload", *arguments, *how).code == 0
    before = len(sandbox.requests)
    same = shell.run("verify", *arguments, *(how if "--part-size" in how else ()))
    assert (same.code, same.out, same.err) == (0, "", "")
    assert [record.method for record in sandbox.requests[before:]] == ["HEAD"]
    assert shell.run("verify", *arguments, "--json", *how).json["verified"] == PROVIDERS[provider]
    change_byte(bigfile, SIZES[provider] - 1)
    other = shell.run("verify", *arguments, *how)
    assert (other.code, other.out) == (65, "")
    assert other.err.startswith("Error: bigfile and the object bucket/key differ.\nWhy:   The ")


@pytest.mark.parametrize(
    ("length", "size"), [("", SIZE), ("Content-Length: 9\r\n" * 2, 9)], ids=["none", "twice"]
)
def test_a_length_that_is_missing_or_sent_twice(
    shell: Shell, make_file: MakeFile, length: str, size: int
) -> None:
    """Some proxies do that. A missing one does not contradict the file: the digest decides."""
    md5 = hashlib.md5(make_file(size).read_bytes()).hexdigest()
    for etag, code in ((md5, 0), (md5[::-1], 65)):
        head = f'HTTP/1.1 200 OK\r\nETag: "{etag}"\r\n{length}\r\n'.encode()
        with ScriptedServer(lambda _: Reply([head], close=True)) as server:  # noqa: B023
            outcome = shell.run("verify", "bigfile", "bucket/key", "--json", OBSUP_ENDPOINT=server.endpoint)
        assert (outcome.code, outcome.json.get("size", size)) == (code, size)


def test_a_different_size_is_reported(shell: Shell, make_file: MakeFile) -> None:
    """Exit 65, with both sizes."""
    bigfile = make_file(SIZE)
    shell.run("upload", "bigfile", "bucket/key")
    with bigfile.open("ab") as file:
        file.write(b"x")
    outcome = shell.run("verify", "bigfile", "bucket/key")
    assert outcome.code == 65
    assert f"{SIZE + 1} bytes, the object {SIZE}" in outcome.err


def test_a_missing_object_does_not_match(shell: Shell, make_file: MakeFile) -> None:
    """Exit 65: a missing backup must not pass; the next command uploads it."""
    make_file(SIZE)
    outcome = shell.run("verify", "bigfile", "bucket/missing", "--json")
    assert outcome.code == 65
    assert "Next:  Upload it: obsup upload bigfile bucket/missing" in outcome.err
    assert outcome.json["status"] == "failed"
    assert outcome.json["exitCode"] == 65


def test_only_the_given_part_size_is_tried(shell: Shell, make_file: MakeFile) -> None:
    """Another number of parts cannot be compared; a number from the environment is only a hint."""
    make_file(SIZE)
    shell.run("upload", "bigfile", "bucket/key", "--parts", "5")
    assert shell.run("verify", "bigfile", "bucket/key", "--parts", "4").code == 1
    assert shell.run("verify", "bigfile", "bucket/key", OBSUP_PARTS="4").code == 0


@pytest.mark.parametrize("arguments", [("--sse", "kms"), ("--sse", "kms", "--parts", "3")])
def test_an_encrypted_object_cannot_be_compared_without_its_receipt(
    shell: Shell, make_file: MakeFile, arguments: tuple[str, ...]
) -> None:
    """SSE-KMS: exit 1, never 0; with the receipt 0, and 65 for a changed file."""
    bigfile = make_file(SIZE)
    upload = shell.run("upload", "bigfile", "bucket/key", *arguments, "--receipt", "receipt.json")
    assert upload.code == 0
    unknown = shell.run("verify", "bigfile", "bucket/key", "--json")
    assert unknown.code == 1
    assert unknown.json["reason"] == "incomparable"
    assert "cannot compare" in unknown.err
    assert "--receipt" in unknown.err
    assert "--part-size" not in unknown.err  # it would not help
    known = shell.run("verify", "bigfile", "bucket/key", "--receipt", "receipt.json", "--json")
    assert (known.code, known.json["verified"]) == (0, "receipt")
    change_byte(bigfile, 700_000)
    assert shell.run("verify", "bigfile", "bucket/key", "--receipt", "receipt.json").code == 65


def test_an_sse_c_object_is_compared_by_its_receipt(shell: Shell, make_file: MakeFile) -> None:
    """Its ETag is not a digest."""
    make_file(SIZE)
    (shell.folder / "key").write_bytes(bytes(range(32)))
    (shell.folder / "key").chmod(0o600)
    key = ("--sse-c-key-file", "key")
    arguments = ("bigfile", "bucket/key", *key)
    upload = shell.run("upload", *arguments, "--parts", "3", "--receipt", "receipt.json")
    assert upload.code == 0, upload.err
    assert shell.run("verify", *arguments).code == 1
    assert shell.run("verify", *arguments, "--receipt", "receipt.json").code == 0


def test_the_receipt_has_plan_digests_version_and_request_ids(shell: Shell, make_file: MakeFile) -> None:
    """They are enough for a support case or a later comparison."""
    make_file(SIZE)
    arguments = (
        "upload",
        "bigfile",
        "bucket/key",
        "--parts",
        "3",
        "--receipt",
        "receipt.json",
        "--json",
        "-v",
    )
    outcome = shell.run(*arguments)
    result = outcome.json
    receipt = json.loads((shell.folder / "receipt.json").read_text())
    assert {receipt[name] for name in ("bucket", "key", "etag", "uploadId", "requestId")} == {
        "bucket",
        "key",
        result["etag"],
        result["uploadId"],
        result["requestId"],
    }
    assert (receipt["size"], receipt["partSize"], receipt["verified"]) == (SIZE, 500_000, "etag")
    ids = re.findall(r"UploadPart part=\d status=200 request=(\w+) ", outcome.err)
    assert sorted(part["requestId"] for part in receipt["parts"]) == sorted(ids)
    assert [part["md5"] for part in receipt["parts"]] == [part["etag"] for part in receipt["parts"]]


def test_the_receipt_of_a_replaced_object_does_not_match(shell: Shell, make_file: MakeFile) -> None:
    """Exit 65: the object has another ETag, although the file is the one that was sent."""
    make_file(SIZE)
    shell.run("upload", "bigfile", "bucket/key", "--receipt", "receipt.json")
    make_file(SIZE, "other", seed=2)
    shell.run("upload", "other", "bucket/key")
    outcome = shell.run("verify", "bigfile", "bucket/key", "--receipt", "receipt.json")
    assert outcome.code == 65
    assert "not the one of the receipt" in outcome.err


def test_a_receipt_without_an_etag_does_not_show_which_object_it_is(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The store returns no ETag of objects. Another one of the same size replaced that of the receipt."""
    bigfile = make_file(SIZE)
    sandbox.add_fault("empty-etag,times=always")

    def without_etag(answer: Answer) -> Wire | None:
        return with_other_headers(answer, drop={"etag"}) if answer.operation in ("head", "get") else None

    with MutatingRelay(sandbox.port, without_etag) as relay:
        arguments = ("bigfile", "bucket/key", "--endpoint", relay.endpoint, "--receipt", "receipt.json")
        assert shell.run("upload", *arguments, "--parts", "2").code == 0
        assert json.loads((shell.folder / "receipt.json").read_text())["etag"] == ""
        sandbox.object_path("bucket", "key").write_bytes(bytes(SIZE))
        outcome = shell.run("verify", *arguments)
        assert (outcome.code, "no ETag and no version" in outcome.err) == (1, True), outcome.err
        sandbox.object_path("bucket", "key").write_bytes(bigfile.read_bytes())
        assert shell.run("verify", *arguments, "--download").code == 0


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1}', "[]", '{"format": 2, "size": 1}'])
def test_an_invalid_receipt_is_a_configuration_error(shell: Shell, make_file: MakeFile, text: str) -> None:
    """Exit 78, with the path of the file."""
    make_file(10)
    (shell.folder / "receipt.json").write_text(text)
    outcome = shell.run("verify", "bigfile", "bucket/key", "--receipt", "receipt.json")
    assert outcome.code == 78
    assert "receipt.json" in outcome.err


def test_an_unwritable_receipt_is_reported_before_anything_is_sent(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """Exit 74, instead of after a day of sending."""
    make_file(SIZE)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--receipt", "no/folder/receipt.json")
    assert outcome.code == 74
    assert not sandbox.requests


@pytest.mark.parametrize("provider", PROVIDERS)
def test_skip_identical_sends_nothing_if_the_object_matches(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, provider: str
) -> None:
    """The second run sends one HEAD request and no part; a changed file is sent."""
    bigfile = make_file(SIZES[provider])
    arguments = ("upload", "bigfile", f"{provider}://bucket/key", "--region", "eu-de", "--parts", "2")
    assert shell.run(*arguments, "--skip-identical", "--json").json["sentParts"] == 2
    before = len(sandbox.requests)
    again = shell.run(*arguments, "--skip-identical", "--json")
    assert (again.code, again.json["sentBytes"], again.json["sentParts"]) == (0, 0, 0)
    assert again.json["verified"] == PROVIDERS[provider]
    assert [record.method for record in sandbox.requests[before:]] == ["HEAD"]
    change_byte(bigfile, 5)
    changed = shell.run(*arguments, "--skip-identical", "--json")
    assert (changed.code, changed.json["sentParts"]) == (0, 2)
    assert sandbox.object_path("bucket", "key").read_bytes() == bigfile.read_bytes()


def test_skip_identical_sends_a_file_that_cannot_be_compared(shell: Shell, make_file: MakeFile) -> None:
    """The ETag of an encrypted object is not a digest, so the file is sent again."""
    make_file(SIZE)
    arguments = (
        "upload",
        "bigfile",
        "bucket/key",
        "--sse",
        "kms",
        "--parts",
        "3",
        "--skip-identical",
        "--json",
    )
    shell.run(*arguments)
    assert shell.run(*arguments).json["sentParts"] == 3


@pytest.mark.slow
def test_an_open_upload_of_an_identical_object_is_named(shell: Shell, sandbox: Sandbox) -> None:
    """--skip-identical keeps the upload of an earlier run; the command in the note discards it."""
    (shell.folder / "a").write_bytes(bytes(300_000))
    (shell.folder / "copy").write_bytes(bytes(300_000))
    assert shell.run("init", "a", "bucket/key", "--part-size", "100K").code == 0
    assert shell.run("upload", "copy", "bucket/key").code == 0
    outcome = shell.run("upload", "a", "bucket/key", "--part-size", "100K", "--skip-identical")
    assert outcome.code == 0
    assert len(sandbox.uploads()) == 1
    command = "obsup abort a bucket/key"
    assert outcome.err.strip().endswith(f"of an earlier run stays open; discard it with: {command}")
    assert shell.run_script(command).code == 0
    assert sandbox.uploads() == []
    assert list(shell.folder.glob("*.obsup.json")) == []


def test_many_identical_files_are_silent(shell: Shell, sandbox: Sandbox) -> None:
    """Under cron, and also if the limit of open files allows fewer comparisons at once than usual."""
    make_files(shell, *(f"tree/{number}" for number in range(20)))
    assert shell.run("upload", "-r", "tree", "bucket/p/").code == 0
    outcome = shell.run_script("ulimit -n 12; exec obsup verify -r tree bucket/p/")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
