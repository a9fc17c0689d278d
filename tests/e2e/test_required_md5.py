"""Stores that require Content-MD5 with parts, such as buckets with a default retention: obsup sends it unasked."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import LARGE_SIZE, count_operations, make_files
from tests.support.in_process import Inside
from tests.support.pipes import Bash
from tests.support.shell import Shell
from tests.support.upload_rig import PART, Rig

MakeFile = Callable[..., Path]


@pytest.fixture
def bash(shell: Shell, tmp_path: Path) -> Bash:
    """Bash with ``obsup`` on its PATH."""
    return Bash.with_folder(shell, tmp_path / "bin")


@pytest.fixture(autouse=True)
def demanding(sandbox: Sandbox) -> None:
    """Every store of this module requires Content-MD5."""
    sandbox.add_fault("require-md5")


def refused(sandbox: Sandbox) -> int:
    """Return how many requests were rejected."""
    return sum(one.status == 400 for one in sandbox.requests)


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_parts_have_content_md5_after_the_first_rejection(
    sandbox: Sandbox, make_file: MakeFile, provider: str
) -> None:
    """One part is rejected, and nothing is reported. Parts for S3 have a checksum, which is enough there."""
    size = 5 * 1024 * 1024 if provider == "s3" else PART
    rig = Rig(sandbox, make_file(2 * size + 1000), provider=provider, part_size=size)
    rig.run()
    assert rig.is_stored()
    assert refused(sandbox) == (0 if provider == "s3" else 1)
    assert rig.notes() == ""


def test_a_small_file_always_has_content_md5(sandbox: Sandbox, make_file: MakeFile) -> None:
    """PutObject is not rejected."""
    rig = Rig(sandbox, make_file(1000), part_size=None)
    rig.run()
    assert refused(sandbox) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "-", "bucket/key", "--part-size", "100K", "-j", "1"),
        ("upload", "bigfile", "bucket/key", "--parts", "3", "--executor", "processes", "-j", "1"),
        (
            "upload",
            "bigfile",
            "bucket/key",
            "--parts",
            "3",
            "--on-change",
            "resend",
            "--verify-source",
            "-j",
            "1",
        ),
    ],
    ids=["stream", "processes", "verified"],
)
def test_every_kind_of_upload_sends_it(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, arguments: tuple[str, ...]
) -> None:
    """Streams have their parts in memory, worker processes open the file themselves."""
    source = make_file(3 * PART)
    outcome = bash.run(f"cat bigfile | obsup {' '.join(arguments)}")
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert refused(sandbox) == 1


def test_the_files_of_a_batch_share_what_was_learned(shell: Shell, sandbox: Sandbox) -> None:
    """The store rejects one part of one file."""
    make_files(shell, "tree/a", "tree/b", "tree/c", size=LARGE_SIZE)
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "-j", "1").code == 0
    assert refused(sandbox) == 1


def test_single_parts_and_a_trial_of_the_encryption_send_it(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """part learns it anew in each process; the trial of --sse sends a byte with Content-MD5."""
    make_file(3 * PART)
    sandbox.add_fault("hide-encryption,op=initiate")
    assert inside.run("init", "bigfile", "bucket/key", "--parts", "3", "--sse", "AES256").code == 0
    for number in "123":
        outcome = inside.run("part", "bigfile", "bucket/key", "--part-number", number)
        assert outcome.code == 0, outcome.err
    assert refused(sandbox) == 3


def test_doctor_finds_such_a_store_usable(inside: Inside) -> None:
    """Its parts have Content-MD5."""
    assert inside.run("doctor", "bucket").code == 0


@pytest.mark.slow
def test_presigned_parts_have_a_checksum_instead(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The one that S3 agreed to is signed with the URL, and is enough for such a bucket."""
    make_file(5 * 1024 * 1024 + 1)
    arguments = ("upload", "bigfile", "bucket/key", "--provider", "s3", "--part-size", "5M", "--json")
    outcome = shell.run(*arguments, "--executor", "processes", "--presign")
    assert (outcome.code, outcome.json["verified"], refused(sandbox)) == (0, "crc64nvme", 0), outcome.err


def test_presigned_parts_cannot_have_it(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """A signed URL does not contain the digest: the error says so, and its command works."""
    make_file(3 * PART)
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "3", "-j", "1")
    outcome = shell.run(*arguments, "--executor", "processes", "--presign")
    assert outcome.code == 2, outcome.err
    printed = outcome.err.rpartition(": ")[2]
    assert "--presign" not in printed
    assert shell.run(*shlex.split(printed)[1:]).code == 0
    assert count_operations(sandbox)["initiate"] == 1
