"""A file is skipped only if the store shows its object, with the content and the options of this request."""

from __future__ import annotations

import email.utils
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.local.source.digest import PartDigest
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed, with_other_headers
from tests.support.batch import count_operations, json_results, make_files
from tests.support.shell import Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

COMMAND = ("upload", "-r", "tree/", "bucket/p/")
LISTING_DENIED = "error=403:AccessDenied,op=list,times=always"


def operations_of(shell: Shell, sandbox: Sandbox, *arguments: str) -> Counter[str]:
    """Run the command, which must succeed, and return the number of its requests per operation."""
    before = len(sandbox.requests)
    outcome = shell.run(*COMMAND, *arguments)
    assert outcome.code == 0, outcome.err
    return count_operations(sandbox, before)


def test_an_object_behind_the_end_of_the_list_is_looked_up(tmp_path: Path) -> None:
    """One HeadObject for each file of the journal that the list does not cover; a deleted object is sent again."""
    with Sandbox(limits={"page": 1}) as sandbox:
        shell = Shell.against(sandbox, tmp_path)
        make_files(shell, "tree/a", "tree/y", "tree/z")
        for number in range(12):
            sandbox.object_path("bucket", f"p/b{number:02}").parent.mkdir(parents=True, exist_ok=True)
            sandbox.object_path("bucket", f"p/b{number:02}").write_bytes(b"foreign")
        assert operations_of(shell, sandbox) == {"list": 10, "put": 3}
        assert operations_of(shell, sandbox) == {"list": 10, "head": 2}
        sandbox.object_path("bucket", "p/y").unlink()
        sandbox.object_path("bucket", "p/z").write_bytes(b"foreign")
        assert operations_of(shell, sandbox) == {"list": 10, "head": 2, "put": 2}
        assert sandbox.object_path("bucket", "p/z").read_bytes() == (tmp_path / "tree/z").read_bytes()


def test_without_the_permission_to_list_each_object_is_looked_up(shell: Shell, sandbox: Sandbox) -> None:
    """The journal alone proves nothing: the bucket may be another one of the same name."""
    make_files(shell, "tree/a", "tree/b")
    sandbox.add_fault(LISTING_DENIED)
    assert operations_of(shell, sandbox).keys() == {"list", "put"}
    second = operations_of(shell, sandbox)
    assert (second["head"], second["put"]) == (2, 0)
    sandbox.object_path("bucket", "p/a").unlink()
    outcome = shell.run(*COMMAND, "--json")
    files, batch = json_results(outcome)
    assert (outcome.code, batch["sent"], batch["skipped"]) == (0, 1, 1)
    assert files["tree/b"]["reason"] == "already uploaded"
    assert "cannot be listed" in outcome.err
    assert sandbox.object_path("bucket", "p/a").exists()


def test_objects_that_can_neither_be_listed_nor_looked_up_are_sent_again(
    shell: Shell, sandbox: Sandbox
) -> None:
    """A note says so, once."""
    make_files(shell, "tree/a", "tree/b", "tree/c")
    sandbox.add_fault(LISTING_DENIED)
    sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    assert operations_of(shell, sandbox)["put"] == 3
    before = len(sandbox.requests)
    outcome = shell.run(*COMMAND)
    assert outcome.code == 0
    assert count_operations(sandbox, before)["put"] == 3
    assert outcome.err.count("HeadObject is not permitted") == 1


def test_objects_that_cannot_be_looked_up_are_sent_again(shell: Shell, sandbox: Sandbox) -> None:
    """Without a journal: keys that may only write and list can still upload. A note says so, once."""
    make_files(shell, "tree/a", "tree/b")
    assert operations_of(shell, sandbox)["put"] == 2
    sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    before = len(sandbox.requests)
    outcome = shell.run(*COMMAND, XDG_STATE_HOME=str(shell.folder / "elsewhere"))
    assert outcome.code == 0, outcome.err
    assert count_operations(sandbox, before)["put"] == 2
    assert outcome.err.count("HeadObject is not permitted") == 1


def test_another_customer_key_sends_the_files_again(shell: Shell, sandbox: Sandbox) -> None:
    """They are encrypted with the other key; the same key skips them."""
    make_files(shell, "tree/a", "tree/b")
    for name in ("one", "two"):
        (shell.folder / name).write_bytes(name.encode().ljust(32))
        (shell.folder / name).chmod(0o600)
    assert operations_of(shell, sandbox, "--sse-c-key-file", "one")["put"] == 2
    assert operations_of(shell, sandbox, "--sse-c-key-file", "one")["put"] == 0
    assert operations_of(shell, sandbox, "--sse-c-key-file", "two")["put"] == 2
    assert operations_of(shell, sandbox, "--sse-c-key-file", "two")["put"] == 0


@pytest.mark.parametrize("encrypts", [False, True], ids=["digests", "opaque"])
def test_files_that_were_sent_without_a_digest_are_compared(tmp_path: Path, *, encrypts: bool) -> None:
    """One was damaged. Those that cannot be compared are sent again. --digest none takes over what was verified.

    The journals of earlier versions have the same entries for such files, but also for files whose parts were verified.
    """
    (tmp_path / "tree").mkdir()
    for name in ("a", "b"):
        (tmp_path / "tree" / name).write_bytes(os.urandom(1_200_000))
    with Sandbox(encrypts=encrypts, faults=["flip-bit,op=part,part=1"]) as sandbox:
        shell = Shell.against(sandbox, tmp_path)

        def completed(*digest: str) -> int:
            return operations_of(shell, sandbox, "--part-size", "500K", *digest)["complete"]

        assert (completed("--digest", "none"), completed("--digest", "none")) == (2, 0)
        assert (completed(), completed()) == (2 if encrypts else 1, 0)
        assert completed("--digest", "none") == 0


def test_an_object_that_others_replaced_with_other_options_is_sent_again(
    shell: Shell, sandbox: Sandbox, home: Path
) -> None:
    """The content and so the ETag are the same, but the object is newer than the journal's entry."""
    make_files(shell, "tree/a", "tree/b")
    private = ("--acl", "private")
    sandbox.add_fault("skew=-10")
    assert operations_of(shell, sandbox, *private)["put"] == 2
    sandbox.clear_faults()
    (shell.folder / "b").write_bytes((shell.folder / "tree/b").read_bytes())
    other = shell.run("upload", "b", "bucket/p/b", "--acl", "public-read", HOME=str(home / "other"))
    assert other.code == 0, other.err
    assert operations_of(shell, sandbox, *private)["put"] == 1
    assert sandbox.object_metadata("bucket", "p/b").attributes.acl == "private"
    assert operations_of(shell, sandbox, *private) == {"list": 1}


@pytest.mark.parametrize("many", [False, True])
def test_skip_identical_compares_the_options_too(shell: Shell, sandbox: Sandbox, *, many: bool) -> None:
    """An object with the content but other options is sent again."""
    make_files(shell, "tree/a")
    command = COMMAND if many else ("upload", "tree/a", "bucket/p/a")
    given = (
        "--skip-identical",
        "--cache-control",
        "no-store",
        "--storage-class",
        "WARM",
        "--metadata",
        "k=v",
    )
    assert shell.run(*command, "--cache-control", "no-store").code == 0
    for expected in (1, 0):
        before = len(sandbox.requests)
        assert shell.run(*command, *given, "--no-checkpoint").code == 0
        assert count_operations(sandbox, before)["put"] == expected
    stored = sandbox.object_metadata("bucket", "p/a").attributes
    assert (stored.headers["cache-control"], stored.metadata) == ("no-store", {"k": "v"})


@pytest.mark.parametrize("many", [False, True])
def test_options_that_the_store_does_not_return_are_named(
    shell: Shell, sandbox: Sandbox, *, many: bool
) -> None:
    """HeadObject returns no ACL and no tags: one note says that they were not compared."""
    make_files(shell, "tree/a", "tree/b")
    command = COMMAND if many else ("upload", "tree/a", "bucket/p/a")
    assert shell.run(*command).code == 0
    before = len(sandbox.requests)
    given = ("--skip-identical", "--no-checkpoint", "--acl", "private", "--tag", "a=b")
    outcome = shell.run(*command, *given)
    assert outcome.code == 0
    assert count_operations(sandbox, before)["put"] == 0
    assert outcome.err.count("--tag and --acl were not compared") == 1


@pytest.mark.parametrize("size", [300_000, 10_000_000])
def test_the_journal_records_the_file_that_was_sent(shell: Shell, sandbox: Sandbox, size: int) -> None:
    """A link that points to another file while it is sent, and back: the next run sends the right one."""
    make_files(shell, "one", "two", "tree/0", size=size)
    link = shell.folder / "tree/link"
    link.symlink_to("../one")

    def flip(name: str) -> None:
        fresh = shell.folder / "fresh"
        fresh.symlink_to(f"../{name}")
        fresh.rename(link)

    operation = "put" if size < 1_000_000 else "initiate"
    (shell.folder / "list").write_text("tree/./0\ntree/./link\n")
    command = ("upload", "--from-list", "list", "bucket/p/", "-j", "1", "--executor", "inline")
    sandbox.add_fault(f"delay=1,op={operation},times=always")
    with shell.begin(*command) as process:
        wait_for(lambda: sandbox.injected_faults == 1)
        flip("two")
        wait_for(lambda: sandbox.injected_faults == 2)
        if operation == "initiate":
            last = "complete"
            wait_for(lambda: [r.operation for r in sandbox.requests].count(last) == 2)
        flip("one")
        _out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert shell.run(*command).code == 0
    assert sandbox.object_path("bucket", "p/link").read_bytes() == (shell.folder / "one").read_bytes()


def _with_plain_etag(content: bytes) -> Callable[[Answer], Wire | None]:
    """Return a change of the responses: every ETag is the MD5 of the *content*, as on Ceph and MinIO with SSE-C."""
    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'

    def change(answer: Answer) -> Wire | None:
        if answer.operation == "bucket-get":
            body = re.sub(rb"<ETag>[^<]*</ETag>", b"<ETag>%s</ETag>" % etag.encode(), answer.body)
            return Wire(framed(replace(answer, body=body)))
        if any(name.lower() == "etag" for name, _ in answer.headers):
            return with_other_headers(answer, drop={"etag"}, add={"ETag": etag})
        return None

    return change


@pytest.mark.parametrize("more", [(), ("--skip-identical",), ("--metadata", "v=1")])
@pytest.mark.parametrize("provider", ["s3", "obs"])
def test_an_object_that_others_replaced_in_plain_text_is_encrypted_again(
    shell: Shell, sandbox: Sandbox, home: Path, more: tuple[str, ...], provider: str
) -> None:
    """Content and ETag are the same; the list does not show the encryption."""
    make_files(shell, "tree/a")
    (shell.folder / "a").write_bytes((shell.folder / "tree/a").read_bytes())
    (shell.folder / "key").write_bytes(bytes(32))
    (shell.folder / "key").chmod(0o600)
    (shell.folder / "key").chmod(0o600)
    given = ("--sse-c-key-file", "key", *more)
    with MutatingRelay(sandbox.port, _with_plain_etag((shell.folder / "a").read_bytes())) as relay:
        variables = {"OBSUP_PROVIDER": provider, "OBSUP_ENDPOINT": relay.endpoint}
        shell = Shell(shell.folder, {**shell.environment, **variables})
        sandbox.add_fault("skew=-10")
        assert operations_of(shell, sandbox, *given)["put"] == 1
        sandbox.clear_faults()
        other = shell.run("upload", "a", "bucket/p/a", HOME=str(home / "other"))
        assert other.code == 0, other.err
        assert not sandbox.object_metadata("bucket", "p/a").attributes.customer_key_md5
        assert operations_of(shell, sandbox, *given)["put"] == 1
        assert sandbox.object_metadata("bucket", "p/a").attributes.customer_key_md5
        assert operations_of(shell, sandbox, *given).keys() <= {"list", "head"}


def _without_dates(answer: Answer) -> Wire | None:
    body = re.sub(rb"<LastModified>[^<]*</LastModified>", b"", answer.body)
    return Wire(framed(replace(answer, body=body))) if answer.operation == "bucket-get" else None


def _with_date_ahead(answer: Answer) -> Wire:
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    return with_other_headers(answer, drop={"date"}, add={"Date": date})


@pytest.mark.parametrize("change", [_without_dates, _with_date_ahead])
@pytest.mark.parametrize("option", [("--acl", "private"), ("--metadata", "v=2")])
def test_an_object_of_unknown_age_is_looked_up(
    shell: Shell,
    sandbox: Sandbox,
    home: Path,
    change: Callable[[Answer], Wire | None],
    option: tuple[str, str],
) -> None:
    """The list has no dates, or the Date of a gateway is ahead: the object may be another one with other options."""
    make_files(shell, "tree/a")
    (shell.folder / "a").write_bytes((shell.folder / "tree/a").read_bytes())
    with MutatingRelay(sandbox.port, change) as relay:
        shell = Shell(shell.folder, {**shell.environment, "OBSUP_ENDPOINT": relay.endpoint})
        sandbox.add_fault("skew=-10")
        assert operations_of(shell, sandbox, *option)["put"] == 1
        sandbox.clear_faults()
        other = shell.run(
            "upload", "a", "bucket/p/a", "--acl", "public-read", "--metadata", "v=1", HOME=str(home / "other")
        )
        assert other.code == 0, other.err
        assert operations_of(shell, sandbox, *option)["put"] == 1
        attributes = sandbox.object_metadata("bucket", "p/a").attributes
        assert (attributes.acl, attributes.metadata) != ("public-read", {"v": "1"})
        # The last modification is known now, so the object is not sent a third time.
        assert operations_of(shell, sandbox, *option).keys() <= {"list", "head"}


def _with_crc64(content: bytes) -> Callable[[Answer], Wire | None]:
    digest = PartDigest(crc64=True)
    digest.update(memoryview(content))
    headers = {"x-obs-checksum-crc64ecma": str(digest.crc64)}
    return lambda answer: with_other_headers(answer, add=headers) if answer.operation == "head" else None


def test_a_plain_object_is_not_identical_with_an_encrypted_one(shell: Shell, sandbox: Sandbox) -> None:
    """The store ignores the customer key of HeadObject, as Swift and SeaweedFS do, and returns a checksum."""
    make_files(shell, "a")
    (shell.folder / "key").write_bytes(bytes(32))
    (shell.folder / "key").chmod(0o600)
    (shell.folder / "key").chmod(0o600)
    sandbox.add_fault("ignore-encryption")
    with MutatingRelay(sandbox.port, _with_crc64((shell.folder / "a").read_bytes())) as relay:
        variables = {"OBSUP_PROVIDER": "obs", "OBSUP_ENDPOINT": relay.endpoint}
        shell = Shell(shell.folder, {**shell.environment, **variables})
        command = ("upload", "a", "bucket/a", "--skip-identical")
        assert shell.run(*command).code == 0
        before = len(sandbox.requests)
        assert shell.run(*command).code == 0
        assert count_operations(sandbox, before) == {"head": 1}
        outcome = shell.run(*command, "--sse-c-key-file", "key")
        assert outcome.code == 69
        assert "does not encrypt objects" in outcome.err
