"""HeadObject that still shows an earlier object, as with delayed consistency: that says nothing of the new one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed
from tests.support.in_process import Inside

LOCK = ("--retention", "compliance", "--retain-until", "2040-12-31T18:00:00Z")
STRICT = ("--strict-options", "--cache-control", "no-store")
S3 = ("--provider", "s3", "--region", "r")
KEY = ("--sse-c-key-file", "keyfile")
NOT_VISIBLE = "The store reported success, but returns an object with ETag"
UPLOADS = {
    "one request": ("upload", "small", "bucket/key"),
    "parts": ("upload", "big", "bucket/key", "--part-size", "5M"),
    "stream": ("upload", "--from-command", "bucket/key", "--", "cat", "small"),
    "many files": ("upload", "-r", "tree/", "bucket/"),
}


class Store(MutatingRelay):
    """The sandbox, whose HeadObject can show the first object, as if it had been at the same key for years."""

    def __init__(self, port: int) -> None:
        super().__init__(port, self._remember)
        self._first: Answer | None = None
        self.date = "Wed, 01 Jan 2020 10:00:00 GMT"
        self.is_late = False

    def _remember(self, answer: Answer) -> Wire | None:
        if answer.operation != "head":
            return None
        if self._first is None and answer.status == 200:
            others = [one for one in answer.headers if one[0].lower() != "last-modified"]
            headers = (*others, ("Last-Modified", self.date))
            self._first = replace(answer, headers=headers)
        return Wire(framed(self._first)) if self.is_late and self._first is not None else None


@pytest.fixture
def store(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, inside: Inside) -> Iterator[Store]:
    """The store that the commands of *inside* use."""
    with Store(sandbox.port) as relay:
        monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
        yield relay


@pytest.fixture
def inside(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Runs commands in a folder with a small file, one of two parts, a tree of one file, and a key."""
    (tmp_path / "tree").mkdir()
    write_files(tmp_path, b"a")
    (tmp_path / "keyfile").write_bytes(b"k" * 32)
    (tmp_path / "keyfile").chmod(0o600)
    return Inside(sandbox, tmp_path, monkeypatch)


def write_files(folder: Path, content: bytes) -> None:
    """Write the files with this content."""
    (folder / "small").write_bytes(content * 100)
    (folder / "tree" / "key").write_bytes(content * 100)
    (folder / "big").write_bytes(content * 6 * 2**20)


def test_an_object_of_another_program(inside: Inside, store: Store, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is as new as the response to the upload, so the same command would not help: exit 69, with both ETags."""
    store.date = formatdate(usegmt=True)
    store.is_late = True
    assert inside.run("upload", "small", "bucket/key", *S3).code == 0
    inside.run("verify", "small", "bucket/key")
    write_files(tmp_path, b"b")
    outcome = inside.run("upload", "small", "bucket/key", *S3, *STRICT)
    assert outcome.code == 69, outcome.err
    md5s = [hashlib.md5(one * 100).hexdigest() for one in (b"a", b"b")]
    assert f"HeadObject shows another object, with ETag {md5s[0]} instead of {md5s[1]}" in outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == b"b" * 100


@pytest.mark.parametrize("way", UPLOADS)
@pytest.mark.parametrize(
    ("options", "fault", "provider"),
    [
        (LOCK, "ignore-lock", "obs"),
        pytest.param(LOCK, "ignore-lock", "s3", marks=pytest.mark.slow),
        (STRICT, "ignore-options", "s3"),
        pytest.param(STRICT, "ignore-options", "oss", marks=pytest.mark.slow),
    ],
)
def test_options_of_an_earlier_object(
    way: str,
    options: tuple[str, ...],
    fault: str,
    provider: str,
    inside: Inside,
    sandbox: Sandbox,
    store: Store,
    tmp_path: Path,
) -> None:
    """It has them, and the new one does not: exit 75. Once the new one is shown, the same command finds that out."""
    options = ("--provider", provider, "--region", "r", *options)
    command, *rest = UPLOADS[way]
    line = (command, *options, *rest)
    if LOCK[0] in options:
        sandbox.add_fault("object-lock=0")
    assert inside.run("upload", *options, "small", "bucket/first").code == 0
    write_files(tmp_path, b"b")
    sandbox.add_fault(fault)
    store.is_late = True
    outcome = inside.run(*line)
    assert outcome.code == 75, outcome.err
    assert NOT_VISIBLE in outcome.err
    store.is_late = False
    outcome = inside.run(*line)
    # A retention can be set afterwards.
    assert outcome.code == (0 if LOCK[0] in options else 69), outcome.err
    assert bool(sandbox.object_metadata("bucket", "key").attributes.lock_mode) == (LOCK[0] in options)


def test_customer_key_of_an_earlier_object(inside: Inside, store: Store) -> None:
    """Complete sends no key: the new object may be plain text."""
    assert inside.run("upload", "small", "bucket/first", *S3, *KEY).code == 0
    assert inside.run("verify", "small", "bucket/first", *S3, *KEY).code == 0
    assert inside.run("init", "big", "bucket/key", "--parts", "1", *S3).code == 0
    assert inside.run("part", "big", "bucket/key", "--part-number", "1", *S3).code == 0
    store.is_late = True
    outcome = inside.run("complete", "big", "bucket/key", *S3, *KEY)
    assert outcome.code == 75, outcome.err
    assert NOT_VISIBLE in outcome.err
