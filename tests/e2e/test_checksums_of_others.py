"""Uploads whose checksums another client selected or hides, and stores that return some checksums and not others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed
from tests.support.shell import Outcome, Shell
from tests.support.upload_rig import Rig

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]

PART = 5 * 1024 * 1024
SIZE = PART + 1000
ALL = "times=always"


@pytest.fixture
def rig(sandbox: Sandbox, make_file: MakeFile) -> Rig:
    """Two parts, one after the other, to S3."""
    return Rig(sandbox, make_file(SIZE), provider="s3", part_size=PART)


def sent_names(sandbox: Sandbox, operation: str) -> list[set[str]]:
    """Return the names of the checksum headers of each request of *operation*."""
    return [
        {name.lower() for name, _ in one.headers if name.lower().startswith("x-amz-checksum-")}
        for one in sandbox.requests
        if one.operation == operation
    ]


@pytest.mark.parametrize(
    ("algorithm", "kind", "verified"),
    [
        ("CRC32", "COMPOSITE", "etag"),
        ("CRC32", "FULL_OBJECT", "crc32"),
        ("CRC32C", "COMPOSITE", "etag"),
        ("SHA1", "COMPOSITE", "sha1"),
        ("SHA256", "COMPOSITE", "sha256"),
    ],
)
def test_an_upload_that_was_begun_with_another_checksum(
    shell: Shell,
    sandbox: Sandbox,
    make_file: MakeFile,
    tmp_path: Path,
    algorithm: str,
    kind: str,
    verified: str,
) -> None:
    """Its parts are sent with it. A CRC of CRCs is not verified more weakly than by MD5: the ETag decides."""
    source, elsewhere = make_file(SIZE), {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    headers = [f"--header=x-amz-checksum-algorithm:{algorithm}", f"--header=x-amz-checksum-type:{kind}"]
    started = shell.run("init", "bucket/key", "--provider", "s3", *headers, **elsewhere)
    common = ["bucket/key", "--provider", "s3", "--upload-id", started.out.strip()]
    for number in ("1", "2"):
        part = ["--part-number", number, "--part-size", str(PART)]
        assert shell.run("part", source, *common, *part).code == 0
    done = shell.run("complete", source, *common, "--json")
    assert (done.code, done.json["verified"]) == (0, verified)
    assert sent_names(sandbox, "part") == [{f"x-amz-checksum-{algorithm.lower()}"}] * 2


@pytest.fixture
def relay(sandbox: Sandbox) -> Iterator[MutatingRelay]:
    """A relay to the sandbox, which changes no response yet."""
    with MutatingRelay(sandbox.port) as running:
        yield running


def without_first_checksum(answer: Answer) -> Wire | None:
    """Remove the checksum of the first part from a list of parts, as if it had been sent without."""
    if answer.operation != "parts":
        return None
    body = re.sub(rb"<ChecksumCRC64NVME>.*?</ChecksumCRC64NVME>", b"", answer.body, count=1)
    return Wire(framed(replace(answer, body=body)))


def test_parts_of_which_some_have_no_checksum(rig: Rig, sandbox: Sandbox, relay: MutatingRelay) -> None:
    """The checkpoint is lost: the MD5 of that part is compared, and no part is sent again."""
    rig.endpoint = relay.endpoint
    sandbox.add_fault(f"error=403:AccessDenied,op=complete,{ALL}")
    assert rig.code() == 77
    sandbox.clear_faults()
    rig.checkpoint.unlink()
    relay.change = without_first_checksum
    result = rig.run()
    assert (result.verified, result.sent_parts) == ("crc64nvme", 0)
    assert rig.is_stored()


def test_complete_without_the_source_if_a_part_has_no_checksum(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path, relay: MutatingRelay
) -> None:
    """That of the object is unknown then, and the ETag of the parts verifies it."""
    common = ["bucket/key", "--provider", "s3"]
    upload_id = shell.run("init", *common).out.strip()
    common += ["--upload-id", upload_id]
    source = make_file(SIZE)
    for number in ("1", "2"):
        part = ["--part-number", number, "--part-size", str(PART)]
        assert shell.run("part", source, *common, *part).code == 0
    relay.change = without_first_checksum
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere"), "OBSUP_ENDPOINT": relay.endpoint}
    done = shell.run("complete", *common, "--parts", "2", "--json", **elsewhere)
    assert (done.code, done.json["verified"]) == (0, "etag")
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def with_customer_key(shell: Shell, source: Path) -> Outcome:
    """Upload *source* with a customer key."""
    options = ["--sse-c-key-file", "customer.key", "--part-size", str(PART), "--provider", "s3", "--json"]
    return shell.run("upload", source, "bucket/key", "-j", "1", *options)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_customer_key_and_a_list_of_parts_without_checksums(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, is_lost: bool
) -> None:
    """The ETags are not digests: without the checkpoint nothing shows what was stored, and the part is sent again."""
    (shell.folder / "customer.key").write_bytes(b"k" * 32)
    (shell.folder / "customer.key").chmod(0o600)
    source = make_file(SIZE)
    sandbox.add_fault(f"error=403:AccessDenied,op=part,part=2,{ALL}")
    assert with_customer_key(shell, source).code == 77
    sandbox.clear_faults()
    sandbox.add_fault("hide-checksums,op=parts")
    if is_lost:
        [checkpoint] = source.parent.glob("*.obsup.json")
        checkpoint.unlink()
    done = with_customer_key(shell, source)
    assert (done.code, done.json["verified"], done.json["sentParts"]) == (0, "crc64nvme", 1 + is_lost)


def test_wrong_checksums_are_noted_once(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Each object is verified by its ETag."""
    sandbox.add_fault(f"wrong-checksum,op=complete,{ALL}")
    sandbox.add_fault(f"wrong-checksum,op=head,{ALL}")
    sources = [make_file(SIZE, f"file{number}", number) for number in range(3)]
    done = shell.run("upload", *sources, "bucket/to/", "--provider", "s3", "--part-size", str(PART))
    assert (done.code, done.err.count("a checksum that is not that of the object")) == (0, 1)


@pytest.mark.parametrize("provider", ["s3", "obs"])
@pytest.mark.parametrize("size", [0, 1000])
def test_an_object_of_one_request(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, provider: str, size: int
) -> None:
    """It has the checksum, too; one that always arrives changed is sent three times, then the exit status is 65."""
    sandbox.add_fault("obs-checksums")
    source = make_file(size)
    arguments = ["upload", str(source), "bucket/key", "--provider", provider]
    done = shell.run(*arguments, "--json")
    assert (done.code, done.json["verified"]) == (0, "crc64nvme" if provider == "s3" else "crc64")
    if size:
        sandbox.add_fault(f"flip-bit,op=put,{ALL}")
        first = len(sandbox.requests)
        assert shell.run(*arguments).code == 65
        assert [one.operation for one in sandbox.requests[first:]].count("put") == 3


def test_an_empty_last_part(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """As the vendors allow it."""
    source = make_file(PART)
    common = ["bucket/key", "--provider", "s3"]
    common += ["--upload-id", shell.run("init", *common).out.strip()]
    assert shell.run("part", source, *common, "--part-number", "1", "--part-size", str(PART)).code == 0
    assert shell.run("part", source, *common, "--part-number", "2", "--offset", str(PART)).code == 0
    done = shell.run("complete", source, *common, "--json")
    assert (done.code, done.json["verified"]) == (0, "crc64nvme")
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
