"""Parts and objects that are verified by the checksums of the store (S3): negotiated, kept, and never trusted alone."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from anycrc import Model

from obsup.errors import DataMismatch, ObsupError
from obsup.events import PartSent
from obsup.local.state.checkpoint import load
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell
from tests.support.upload_rig import Rig

MakeFile = Callable[..., Path]

PART = 5 * 1024 * 1024
SIZE = PART + 1000
HEADER = "x-amz-checksum-crc64nvme"


def crc64nvme(data: bytes) -> str:
    """Return the checksum as S3 writes it."""
    return base64.b64encode(Model("CRC64-NVME").calc(data).to_bytes(8, "big")).decode()


def headers_of(sandbox: Sandbox, operation: str) -> list[dict[str, str]]:
    """Return the headers of all requests of *operation*, with lower-case names."""
    return [
        {name.lower(): value for name, value in one.headers}
        for one in sandbox.requests
        if one.operation == operation
    ]


def count(sandbox: Sandbox, operation: str) -> int:
    """Return how many requests of *operation* the store received."""
    return len(headers_of(sandbox, operation))


@pytest.fixture
def rig(sandbox: Sandbox, make_file: MakeFile) -> Rig:
    """Two parts, one after the other, to S3."""
    return Rig(sandbox, make_file(SIZE), provider="s3", part_size=PART)


def test_every_part_and_the_object_have_a_checksum(rig: Rig, sandbox: Sandbox) -> None:
    """A header of each part, never a trailer; Complete has that of the object, and its size."""
    data = rig.source.read_bytes()
    assert rig.run().verified == "crc64nvme"
    assert [one[HEADER] for one in headers_of(sandbox, "part")] == [
        crc64nvme(data[:PART]),
        crc64nvme(data[PART:]),
    ]
    complete = headers_of(sandbox, "complete")[0]
    shown = (complete[HEADER], complete["x-amz-checksum-type"], complete["x-amz-mp-object-size"])
    assert shown == (crc64nvme(data), "FULL_OBJECT", str(SIZE))
    assert not any("x-amz-trailer" in one or "content-md5" in one for one in headers_of(sandbox, "part"))


ALL = "times=always"
# Faults of the store, options, and what verifies the object.
STORES: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "crc32c": ([], {"digest": "crc32c"}, "crc32c"),
    "sha256": ([], {"digest": "sha256"}, "sha256"),
    "md5": ([], {"digest": "md5"}, "etag"),
    "none": ([], {"digest": "none"}, "token"),
    "ignores the headers": (["ignore-checksums"], {}, "etag"),
    "ignores what was asked for": (["ignore-checksums"], {"digest": "sha256"}, "etag"),
    "rejects them with 400": (["reject-checksums=400"], {}, "etag"),
    "rejects them with 501": (["reject-checksums=501"], {}, "etag"),
    "no checksum at Complete": (["hide-checksums,op=complete"], {}, "crc64nvme"),
    "no checksum of the object": (["hide-checksums,op=complete", "hide-checksums,op=head"], {}, "etag"),
    "only at Initiate": ([f"hide-checksums,op={one}" for one in ("part", "complete", "head")], {}, "etag"),
    "wrong at Complete": ([f"wrong-checksum,op=complete,{ALL}"], {}, "crc64nvme"),
    "wrong of the object": (
        [f"wrong-checksum,op=complete,{ALL}", f"wrong-checksum,op=head,{ALL}"],
        {},
        "etag",
    ),
    "composite": (["composite-checksums"], {}, "etag"),
    "Complete rejects it": (["error=400:BadDigest,op=complete"], {}, "crc64nvme"),
    "one part is contradicted": (["wrong-checksum,op=part"], {}, "crc64nvme"),
    "one part is stored changed": (["flip-bit,op=part"], {}, "crc64nvme"),
    "requires Content-MD5": (["require-md5"], {"digest": "md5"}, "etag"),
    "the response to Complete is lost": (["drop-answer,op=complete"], {}, "crc64nvme"),
    "lost, and no checksum": (["drop-answer,op=complete", "hide-checksums,op=head"], {}, "etag"),
    "the response to Initiate is lost": (["drop-answer,op=initiate"], {}, "crc64nvme"),
}


@pytest.mark.parametrize(
    "name", mostly_slow(STORES, "rejects them with 400", "no checksum of the object", "wrong of the object")
)
def test_what_verifies_the_object(rig: Rig, sandbox: Sandbox, name: str) -> None:
    """If the store returns no right checksum of the object, its ETag does: the file is read again."""
    faults, options, verified = STORES[name]
    for fault in faults:
        sandbox.add_fault(fault)
    assert rig.run(**options).verified == verified
    assert rig.is_stored()


@pytest.mark.slow
def test_the_receipt_has_the_checksums(shell: Shell, make_file: MakeFile) -> None:
    """Of the object and of each part, with their algorithm; ``verify`` compares the file with them."""
    source = make_file(SIZE)
    data = source.read_bytes()
    command = ["upload", str(source), "bucket/key", "--provider", "s3", "--part-size", str(PART)]
    assert shell.run(*command, "--receipt", "receipt.json").code == 0
    receipt = json.loads((shell.folder / "receipt.json").read_text())
    assert receipt["checksum"] == ["crc64nvme", crc64nvme(data)]
    parts = [part["checksum"] for part in receipt["parts"]]
    assert parts == [["crc64nvme", crc64nvme(one)] for one in (data[:PART], data[PART:])]
    verify = ["verify", str(source), "bucket/key", "--provider", "s3", "--receipt", "receipt.json"]
    assert shell.run(*verify).code == 0


@pytest.mark.parametrize("encryption", mostly_slow(["kms", "sse-c"], "kms"))
def test_encrypted_objects_are_verified(
    shell: Shell, make_file: MakeFile, tmp_path: Path, encryption: str
) -> None:
    """Their ETags are not digests."""
    key = tmp_path / "customer.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    options = ["--sse", "kms"] if encryption == "kms" else ["--sse-c-key-file", str(key)]
    common = ["--provider", "s3", "--json", *options]
    for size in (1000, SIZE):
        done = shell.run("upload", make_file(size), "bucket/key", "--part-size", str(PART), *common)
        assert (done.code, done.json["verified"]) == (0, "crc64nvme")


@pytest.mark.slow
@pytest.mark.parametrize("has_checksums", [True, False])
def test_complete_has_the_customer_key_only_if_checksums_were_agreed_on(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path, has_checksums: bool
) -> None:
    """S3 requires it then; other stores need not know it in Complete."""
    (tmp_path / "customer.key").write_bytes(b"k" * 32)
    (tmp_path / "customer.key").chmod(0o600)
    if not has_checksums:
        sandbox.add_fault("ignore-checksums")
    options = ["--sse-c-key-file", "customer.key", "--part-size", str(PART), "--provider", "s3"]
    assert shell.run("upload", make_file(SIZE), "bucket/key", *options).code == 0
    sent = headers_of(sandbox, "complete")[0]
    assert ("x-amz-server-side-encryption-customer-key" in sent) == has_checksums


@pytest.mark.parametrize("option", ["--token", "--no-checkpoint"])
def test_a_resumed_upload_lists_its_parts_with_the_customer_key(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, option: str
) -> None:
    """With and without a checkpoint: S3 needs it to show the checksums."""
    make_file(32, "customer.key").chmod(0o600)
    where = ("--provider", "s3", "--part-size", str(PART), "-j", "1")
    command = ("upload", make_file(SIZE), "bucket/key", *where, "--sse-c-key-file", "customer.key", option)
    sandbox.add_fault("error=403:AllAccessDisabled,op=part,part=2")
    assert [inside.run(*command).code for _ in range(2)] == [69, 0]
    listed = headers_of(sandbox, "parts")
    assert listed
    assert all("x-amz-server-side-encryption-customer-key-md5" in one for one in listed)
    assert count(sandbox, "part") == 3


@pytest.mark.slow
def test_a_wrong_checksum_that_nothing_can_refute(rig: Rig, sandbox: Sandbox, shell: Shell) -> None:
    """With encryption the ETag is not a digest: the object is not verified."""
    sandbox.add_fault(f"wrong-checksum,op=complete,{ALL}")
    sandbox.add_fault(f"wrong-checksum,op=head,{ALL}")
    done = shell.run("upload", rig.source, "bucket/key", "--provider", "s3", "--sse", "kms", "--parts", "1")
    assert done.code == 65


@pytest.mark.parametrize("fault", mostly_slow(["wrong-checksum", "flip-bit"], "wrong-checksum"))
def test_a_part_that_is_always_contradicted(rig: Rig, sandbox: Sandbox, fault: str) -> None:
    """It is sent three times."""
    sandbox.add_fault(f"{fault},op=part,part=1,{ALL}")
    with pytest.raises(DataMismatch, match="part 1 of bucket/key was damaged on the way to the store"):
        rig.run()
    assert count(sandbox, "part") == 3


@pytest.mark.parametrize("times", ["1", "2"])
def test_damaged_parts_of_a_store_that_does_not_check_the_checksums_it_agreed_to(
    rig: Rig, sandbox: Sandbox, times: str
) -> None:
    """Their ETags are not their MD5s. A trial upload shows that this is no encryption."""
    for operation in ("part", "complete", "head"):
        sandbox.add_fault(f"hide-checksums,op={operation}")
    sandbox.add_fault(f"flip-bit,op=part,times={times}")
    with pytest.raises(DataMismatch, match="the object bucket/key is not the source"):
        rig.run()


def test_a_note_names_a_checksum_that_the_store_does_not_confirm(rig: Rig, sandbox: Sandbox) -> None:
    sandbox.add_fault("ignore-checksums")
    rig.run(digest="crc32c")
    assert "does not confirm --digest crc32c: parts are verified by MD5" in rig.notes()


def interrupt(rig: Rig, sandbox: Sandbox, **options: Any) -> None:
    """Run until part 2 is rejected; part 1 is stored then."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    with pytest.raises(ObsupError):
        rig.run(**options)
    sandbox.clear_faults()


@pytest.mark.parametrize("state", mostly_slow(["kept", "checkpoint lost", "parts hidden"], "checkpoint lost"))
def test_a_resumed_upload_keeps_its_checksum(rig: Rig, sandbox: Sandbox, state: str) -> None:
    """Whether the checkpoint, or ListParts, has that of the stored part; or neither, if the store hides it."""
    interrupt(rig, sandbox, digest="sha256")
    checkpoint = load(rig.checkpoint)
    assert checkpoint is not None
    assert checkpoint.upload.checksum is not None
    if state != "kept":
        rig.checkpoint.unlink()
    if state == "parts hidden":
        sandbox.add_fault("hide-checksums,op=parts")
    result = rig.run()
    assert (result.verified, result.sent_parts) == ("sha256", 1)
    # No MD5 was computed, unless nothing else shows what the stored part has.
    assert (result.receipts[0].md5 is None) == (state != "parts hidden")
    assert "x-amz-checksum-sha256" in headers_of(sandbox, "part")[-1]


def test_an_upload_without_checksums_stays_without(rig: Rig, sandbox: Sandbox) -> None:
    """As those of earlier versions."""
    interrupt(rig, sandbox, digest="md5")
    assert rig.run().verified == "etag"
    assert not any(HEADER in one for one in headers_of(sandbox, "part"))


@pytest.mark.parametrize("provider", ["s3", "obs"])
def test_rejected_headers_are_sent_once_a_week(
    sandbox: Sandbox, inside: Inside, make_file: MakeFile, home: Path, provider: str
) -> None:
    """The first request that the store rejects is remembered for its bucket, unless a checksum is asked for."""
    sandbox.add_fault("reject-checksums=400,times=always")
    make_file(SIZE)
    asked = {"s3": "x-amz-checksum-", "obs": "x-obs-checksum-"}[provider]

    def count(*options: str, bucket: str = "bucket") -> int:
        before = len(sandbox.requests)
        options = ("--provider", provider, "--part-size", str(PART), "-j", "1", *options)
        done = inside.run("upload", "bigfile", f"{bucket}/{before}", *options)
        assert done.code == 0, done.err
        sent = [dict(one.headers) for one in sandbox.requests[before:] if one.operation != "head"]
        return sum(any(name.lower().startswith(asked) for name in headers) for headers in sent)

    assert [count(), count(), count(bucket="other"), count()] == [1, 0, 1, 0]
    assert count("--digest", {"s3": "crc64nvme", "obs": "crc64"}[provider]) == 1
    for path in (home / ".local" / "state" / "obsup" / "rejected-checksums").iterdir():
        os.utime(path, (time.time() - 8 * 86400,) * 2)
    assert [count(), count()] == [1, 0]
    sandbox.clear_faults()
    assert count() == 0
    if provider == "s3":  # the store was updated
        assert count("--digest", "crc64nvme") > 1
        assert count() > 1


@pytest.mark.slow
def test_steps_of_several_machines(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """A machine that knows only the upload id asks the store which checksum was agreed on."""
    source = make_file(SIZE)
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    common = ["--provider", "s3"]
    upload_id = shell.run("init", "bucket/key", *common).out.strip()
    options = [*common, "--upload-id", upload_id]
    for number in ("1", "2"):
        part = [
            "part",
            str(source),
            "bucket/key",
            *options,
            "--part-number",
            number,
            "--part-size",
            str(PART),
        ]
        assert shell.run(*part, **elsewhere).code == 0
    assert all(HEADER in one for one in headers_of(sandbox, "part"))
    done = shell.run("complete", "bucket/key", *options, "--parts", "2", "--json", **elsewhere)
    assert (done.code, done.json["verified"]) == (0, "crc64nvme")
    assert headers_of(sandbox, "complete")[0][HEADER] == crc64nvme(source.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor",
    [("--executor", "processes"), ("--executor", "processes", "--presign"), ("--executor", "inline")],
)
def test_parts_of_workers(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, executor: Sequence[str]
) -> None:
    """A presigned URL has the header signed."""
    arguments = ["--provider", "s3", "--part-size", str(PART), "--json", *executor]
    done = shell.run("upload", make_file(SIZE), "bucket/key", *arguments)
    assert (done.code, done.json["verified"]) == (0, "crc64nvme")
    assert all(HEADER in one for one in headers_of(sandbox, "part"))


@pytest.mark.slow
def test_a_stream(shell: Shell, sandbox: Sandbox) -> None:
    """Resumed from its beginning, too: the stored part is compared by its checksum."""
    program = f"import sys; sys.stdout.buffer.write(bytes(range(250)) * {SIZE // 250})"
    command = [
        "upload",
        "--from-command",
        "bucket/key",
        "--provider",
        "s3",
        "--part-size",
        str(PART),
        "--json",
    ]
    command += ["-j", "1", "--", "python3", "-c", program]
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert shell.run(*command).code == 77
    sandbox.clear_faults()
    done = shell.run(*command)
    assert (done.code, done.json["verified"], done.json["sentParts"]) == (0, "crc64nvme", 1)


def test_a_file_that_changes_after_its_checksum_was_computed(rig: Rig, sandbox: Sandbox) -> None:
    """The store rejects the part. That is not damage on the way: the file is sent as it is now."""
    changed: list[bool] = []

    def change(event: object) -> None:
        if isinstance(event, PartSent) and not changed:
            changed.append(True)
            with rig.source.open("r+b") as file:
                file.seek(PART - 100)
                file.write(b"changed")

    rig.run(observer=change)
    assert rig.is_stored()
    assert [one.status for one in sandbox.requests if one.operation == "part"] == [400, 200, 200]


@pytest.mark.parametrize("how", mostly_slow(["plain", "kms", "other parts", "wrong"], "other parts"))
def test_verify_by_the_checksum_of_the_object(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, how: str
) -> None:
    """Any part size, and encrypted objects; if it differs, the ETag decides."""
    source = make_file(2 * PART + 1000)
    size = PART + 12345 if how == "other parts" else PART
    options = ["--sse", "kms"] if how == "kms" else []
    sent = shell.run("upload", source, "bucket/key", "--provider", "s3", "--part-size", str(size), *options)
    assert sent.code == 0
    if how == "wrong":
        sandbox.add_fault(f"wrong-checksum,op=head,{ALL}")
    arguments = [str(source), "bucket/key", "--provider", "s3", "--json"]
    same = shell.run("verify", *arguments, *(["--part-size", str(PART)] if how == "wrong" else []))
    verified = "etag" if how == "wrong" else "crc64nvme"
    assert (same.code, same.json["verified"]) == (0, verified)
    if how != "wrong":
        again = shell.run("upload", "--skip-identical", *arguments, *options)
        assert (again.code, again.json["sentBytes"]) == (0, 0)
    with source.open("r+b") as file:
        file.write(b"other")
    assert shell.run("verify", *arguments).code == 65


# The CRC-64 of OBS: no request asks for it before the first part.

CONFIRMS = "obs-checksums"
OBS_HEADER = "x-obs-checksum-crc64ecma"
OBS_STORES = {
    "confirms it": ([CONFIRMS], [], "crc64"),
    "ignores it": ([], [], "etag"),
    "ignores it, although it was named": ([], ["--digest", "crc64"], "etag"),
    "rejects it": (["reject-checksums=400"], [], "etag"),
    "is not asked": ([CONFIRMS], ["--digest", "md5"], "etag"),
    "processes": ([CONFIRMS], ["--executor", "processes"], "crc64"),
    "encrypts": ([CONFIRMS], ["--sse", "kms"], "crc64"),
    "presigned": ([CONFIRMS], ["--digest", "crc64", "--executor", "processes", "--presign"], "crc64"),
    "not at Complete": ([CONFIRMS, "hide-checksums,op=complete"], [], "crc64"),
    "not of the object": ([CONFIRMS, "hide-checksums,op=complete", "hide-checksums,op=head"], [], "etag"),
    "wrong at Complete": ([CONFIRMS, f"wrong-checksum,op=complete,{ALL}"], [], "crc64"),
    "wrong of the object": (
        [CONFIRMS, f"wrong-checksum,op=complete,{ALL}", f"wrong-checksum,op=head,{ALL}"],
        [],
        "etag",
    ),
    "a part is stored changed": ([CONFIRMS, "flip-bit,op=part,part=2"], [], "crc64"),
}


@pytest.mark.parametrize("name", mostly_slow(OBS_STORES, "confirms it"))
def test_the_crc64_of_obs(shell: Shell, sandbox: Sandbox, make_file: MakeFile, name: str) -> None:
    """Until the store has returned that of a part, parts are verified by MD5, too. Complete has that of the object."""
    faults, options, verified = OBS_STORES[name]
    for fault in faults:
        sandbox.add_fault(fault)
    size = 3 * 1024 * 1024
    arguments = ["--provider", "obs", "--part-size", "1M", "-j", "1", "--receipt", "receipt", "--json"]
    source = make_file(size)
    done = shell.run("upload", source, "bucket/key", *arguments, *options)
    assert (done.code, done.json["verified"]) == (0, verified)
    assert ("does not confirm --digest crc64" in done.err) == ("named" in name)
    parts = [OBS_HEADER in one for one in headers_of(sandbox, "part")]
    is_sent = verified == "crc64" or name.endswith("of the object")
    assert done.err.count("a checksum that is not that of the object") == (name == "wrong of the object")
    assert all(parts[1:]) == is_sent
    assert parts[0] == (name != "is not asked")
    assert (OBS_HEADER in headers_of(sandbox, "complete")[0]) == is_sent
    if name in ("confirms it", "encrypts"):
        receipt = json.loads((shell.folder / "receipt").read_text())
        assert [part["md5"] is None for part in receipt["parts"]] == [False, True, True]
        assert receipt["checksum"] == ["crc64", str(Model("CRC64-XZ").calc(source.read_bytes()))]
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert shell.run("verify", source, "bucket/key", "--provider", "obs", "--part-size", "1M").code == 0
