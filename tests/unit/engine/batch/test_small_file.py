"""The fast path of small files: the lock and the verification of every other upload, and when it is not taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup import events
from obsup.engine.batch.request import SharedRequest
from obsup.engine.batch.small_file import SmallFileUploader
from obsup.engine.job.connection import connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_prefix
from obsup.errors import DataMismatch
from obsup.local.source.identity import stat_when_stable
from obsup.local.state.checkpoint_path import default_path
from obsup.local.state.lock import UploadLock, is_held
from obsup.local.walk.walk import FoundFile
from obsup.model import Credentials, Target
from obsup.sandbox.sandbox import Sandbox
from obsup.store.interface import FixedCredentials


@pytest.fixture
def prefix(sandbox: Sandbox) -> Target:
    """The prefix that all files go to."""
    return resolve_prefix("bucket/p/", ConnectOptions(endpoint=sandbox.endpoint))[0]


def make_uploader(
    sandbox: Sandbox, prefix: Target, clock_ns: Callable[[], int] = time.time_ns
) -> SmallFileUploader:
    """Return an uploader of small files to *prefix*."""
    _, settings = resolve_prefix("bucket/p/", ConnectOptions(endpoint=sandbox.endpoint, backoff_s=0.001))
    connection = connect(
        settings,
        credentials=FixedCredentials(Credentials(sandbox.access_key, sandbox.secret_key)),
        sleep=lambda _seconds: False,
    )
    shared = SharedRequest(UploadRequest(Path(), prefix), prefix)
    context = UploadContext(connection, shared.template, events.ignore, StopSignal())
    return SmallFileUploader(context, shared, clock_ns)


@pytest.fixture
def uploader(sandbox: Sandbox, prefix: Target) -> SmallFileUploader:
    """An uploader with the clock of this machine."""
    return make_uploader(sandbox, prefix)


@pytest.fixture
def file(tmp_path: Path) -> FoundFile:
    """A small file as the walk found it."""
    path = tmp_path / "name"
    path.write_bytes(b"content")
    return FoundFile(str(path), "name", stat_when_stable(path))


def test_the_upload_lock_is_held_while_the_file_is_sent(
    uploader: SmallFileUploader, file: FoundFile, prefix: Target, sandbox: Sandbox
) -> None:
    """Another obsup that uploads to the same target sees that it is being uploaded; afterwards the lock is free."""
    held: list[bool] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.PartSent | events.PartStored):
            held.append(is_held(prefix.below("name")))

    outcome = uploader.upload(file, observe)
    assert outcome is not None
    assert outcome.status == "completed"
    assert held
    assert all(held)
    assert not is_held(prefix.below("name"))
    assert sandbox.object_path("bucket", "p/name").read_bytes() == b"content"


def test_a_file_that_another_upload_holds_is_left_to_the_uploader(
    uploader: SmallFileUploader, file: FoundFile, prefix: Target, sandbox: Sandbox
) -> None:
    """The Uploader waits, fails or skips as --if-running says."""
    with UploadLock(prefix.below("name")):
        assert uploader.upload(file, events.ignore) is None
    assert sandbox.requests == []


def test_a_file_with_a_checkpoint_is_left_to_the_uploader(
    uploader: SmallFileUploader, file: FoundFile, prefix: Target, sandbox: Sandbox
) -> None:
    """The Uploader resumes or aborts the recorded upload."""
    default_path(Path(file.path), prefix.below("name")).touch()
    assert uploader.upload(file, events.ignore) is None
    assert sandbox.requests == []


def test_a_file_that_changed_after_the_walk_is_left_to_the_uploader(
    uploader: SmallFileUploader, file: FoundFile, sandbox: Sandbox
) -> None:
    """Nothing is sent of it."""
    Path(file.path).write_bytes(b"other content")
    assert uploader.upload(file, events.ignore) is None
    assert sandbox.requests == []


def test_a_file_modified_a_moment_ago_is_left_to_the_uploader(
    file: FoundFile, sandbox: Sandbox, prefix: Target
) -> None:
    """A second change within one tick of the file system's clock would not show."""
    uploader = make_uploader(sandbox, prefix, lambda: file.stat.ctime_ns + 1)
    assert uploader.upload(file, events.ignore) is None
    assert sandbox.requests == []


def test_damaged_content_is_never_a_success(
    uploader: SmallFileUploader, file: FoundFile, sandbox: Sandbox
) -> None:
    """The store confirms other bytes than were read, every time."""
    sandbox.add_fault("flip-bit,op=put,times=always")
    outcome = uploader.upload(file, events.ignore)
    assert outcome is not None
    assert isinstance(outcome.error, DataMismatch)


def test_the_result_is_that_of_a_single_upload(uploader: SmallFileUploader, file: FoundFile) -> None:
    """One part, its receipt, how it was verified, and the identity for the journal."""
    started = time.monotonic()
    outcome = uploader.upload(file, events.ignore)
    assert outcome is not None
    result = outcome.result
    assert result is not None
    assert (result.verified, result.size, result.sent_parts, result.sent_bytes) == ("etag", 7, 1, 7)
    assert [receipt.size for receipt in result.receipts] == [7]
    assert 0 < result.seconds <= time.monotonic() - started
    assert result.source == file.stat
