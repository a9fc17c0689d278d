"""Random sequences of runs, faults, crashes and changes of source, checkpoint and store keep all guarantees.

A crash keeps the disk as it was at that instant. Hypothesis searches for a sequence that violates a guarantee.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.upload.uploader import Uploader
from obsup.errors import ObsupError
from obsup.local.state import checkpoint_path
from obsup.local.state.folders import state_folder
from obsup.model import Credentials, Initiated, Target, Upload
from obsup.store.interface import FixedCredentials
from obsup.store.retrying import RetryingStore, RetryPolicy
from tests.doubles.faulty_store import KINDS, Crash, FaultyStore
from tests.doubles.memory_store import MemoryStore, _Object, etag_of
from tests.support.fault_matrix import SEARCHES, STEPS
from tests.support.state_machines import machine_settings
from tests.support.upload_runs import SEED

PART = 10
LONG_SEARCHES = 8
ALLOWED_CODES = {0, 65, 69, 75, 77}

FAULTS = st.dictionaries(st.integers(1, 14), st.sampled_from(KINDS), max_size=3)


class Uploads(RuleBasedStateMachine):
    """Uploads of one source to one target, and everything that can happen between them."""

    keys = itertools.count()

    @initialize(
        provider=st.sampled_from(["obs", "s3", "oss"]),
        size=st.integers(21, 45),
        token=st.booleans(),
        checkpoint=st.sampled_from([True, True, True, False]),
    )
    def begin(self, provider: str, size: int, token: bool, checkpoint: bool) -> None:
        """Make a source with parts of ten bytes, and a store of *provider*."""
        self.folder = Path(tempfile.mkdtemp())
        dialect = find_dialect(provider)
        self.dialect = replace(dialect, limits=replace(dialect.limits, min_part=1))
        self.store = MemoryStore(self.dialect)
        self.target = Target(provider, "http://memory", "bucket", f"key-{next(self.keys)}")
        self.source = self.folder / "bigfile"
        self.serial = 0
        self.source.write_bytes(self.content(size))
        self.upload_request = UploadRequest(
            self.source,
            self.target,
            part_size=PART,
            jobs=1,
            executor="inline",
            use_token=token,
            keep_checkpoint=checkpoint,
        )
        self.versions = {self.source.read_bytes()}
        self.foreign: set[bytes] = set()
        self.foreign_uploads: set[str] = set()
        self.has_changed = False
        # Without a record of an upload and with another file, obsup cannot know whose upload it was.
        self.may_leave = not checkpoint

    def content(self, size: int) -> bytes:
        """Return content that differs from all other versions."""
        self.serial += 1
        return (f"{self.serial:04d}" * size).encode()[:size]

    def path(self) -> Path:
        """Return the path of the checkpoint."""
        return checkpoint_path.default_path(self.source, self.target)

    def connection(self, faults: dict[int, str]) -> tuple[Connection, FaultyStore]:
        """Return a connection to the store with *faults*, by the number of the request."""
        faulty = FaultyStore(self.store, faults, self.freeze)
        policy = RetryPolicy(
            monotonic=lambda: 0.0, sleep=lambda _seconds: False, uniform=lambda low, _high: low
        )
        connection = connect(
            StoreSettings(self.target.provider, self.target.endpoint, region="here"),
            sleep=lambda _seconds: False,
            credentials=FixedCredentials(Credentials("access", "secret")),
        )
        store = RetryingStore(faulty, policy, connection.recovery)
        return replace(connection, store=store, policy=policy), faulty

    def freeze(self) -> None:
        """Copy the disk at this instant, because a killed process writes nothing more."""
        self.frozen = Path(tempfile.mkdtemp())
        shutil.copytree(self.folder, self.frozen / "folder", copy_function=shutil.copy2)
        if state_folder().exists():
            shutil.copytree(state_folder(), self.frozen / "state")

    def thaw(self) -> None:
        """Restore the disk to the instant of the crash, except the source, which obsup does not change."""
        for path in self.folder.iterdir():
            if path != self.source:
                path.unlink()
        for path in (self.frozen / "folder").iterdir():
            if path.name != self.source.name:
                shutil.copy2(path, self.folder)
        shutil.rmtree(state_folder(), ignore_errors=True)
        if (self.frozen / "state").exists():
            shutil.copytree(self.frozen / "state", state_folder())
        shutil.rmtree(self.frozen)

    def upload(self, faults: dict[int, str], **changes: object) -> int | None:
        """Run an upload; return its exit code, or None if the process crashed."""
        connection, faulty = self.connection(faults)
        upload_request = replace(self.upload_request, **changes)
        received: list[events.Event] = []
        try:
            Uploader(connection, upload_request, tally=ProgressTally(None, received.append)).run()
        except Crash:
            self.thaw()
            return None
        except ObsupError as exc:
            code = exc.exit_code
        else:
            code = 0
            assert self.object_content() == self.source.read_bytes()
            self.has_changed = False
        finally:
            self.leave_unmarked(faulty)
        assert code in ALLOWED_CODES
        return code

    def leave_unmarked(self, faulty: FaultyStore) -> None:
        """Count uploads without a token whose id was lost as those of another client: obsup cannot know them."""
        if not self.upload_request.use_token:
            self.foreign_uploads.update(one.upload_id for one in faulty.lost if isinstance(one, Initiated))

    def object_content(self) -> bytes | None:
        """Return the content of the object, if it exists."""
        stored = self.store.objects.get((self.target.bucket, self.target.key))
        return stored.content if stored is not None else None

    def open_ids(self) -> set[str]:
        """Return the open uploads of the key."""
        return {upload.upload_id for upload in self.store.list_uploads("bucket", self.target.key)}

    def correct_parts(self) -> set[int]:
        """Return the numbers of the parts that are stored correctly in uploads of obsup."""
        data = self.source.read_bytes()
        return {
            part.number
            for upload_id in self.open_ids() - self.foreign_uploads
            for part in self.store.list_parts(Upload(self.target, upload_id))
            if part.etag == etag_of(data[(part.number - 1) * PART : part.number * PART])
        }

    @rule(faults=FAULTS, on_change=st.sampled_from(["fail", "resend"]), verify=st.booleans())
    def run(self, faults: dict[int, str], on_change: str, verify: bool) -> None:
        """Run an upload with faults and crashes; unless the upload succeeds, all stored parts are kept."""
        before = self.correct_parts()
        code = self.upload(faults, on_change=on_change, verify_source=verify)
        if code not in (0, None) and not self.may_leave:
            assert self.correct_parts() >= before, "progress was lost"

    @rule(part=st.integers(0, 4), restore_times=st.booleans())
    def rewrite(self, part: int, restore_times: bool) -> None:
        """Change a part in place; restore the modification time if *restore_times*."""
        data, stat = bytearray(self.source.read_bytes()), self.source.stat()
        offset = min(part * PART, max(0, len(data) - 4))
        data[offset : offset + 4] = self.content(4)[: len(data) - offset]
        with self.source.open("r+b") as file:
            file.write(data)
        if restore_times:
            os.utime(self.source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self.changed()

    @rule(size=st.integers(0, 60))
    def resize(self, size: int) -> None:
        """Truncate or extend the source."""
        os.truncate(self.source, size)
        self.changed()

    @rule()
    def replace_source(self) -> None:
        """Replace the source with another file of the same size."""
        other = self.folder / "other"
        other.write_bytes(self.content(self.source.stat().st_size))
        other.replace(self.source)
        self.changed()

    @rule()
    def touch(self) -> None:
        """Change only the times of the source."""
        os.utime(self.source)

    def changed(self) -> None:
        """Record a new version of the source."""
        self.versions.add(self.source.read_bytes())
        self.has_changed = True

    @rule(how=st.sampled_from(["delete", "tear", "empty", "garble", "foreign"]))
    def damage_checkpoint(self, how: str) -> None:
        """Delete or damage the checkpoint."""
        path = self.path()
        if not path.exists():
            return
        data = path.read_bytes()
        self.may_leave = True
        if how == "delete":
            path.unlink()
        else:
            path.write_bytes(
                {"tear": data[: len(data) // 2], "empty": b"", "garble": data[::-1], "foreign": b"[]"}[how]
            )

    @rule()
    def forget_upload(self) -> None:
        """Make the store lose open uploads: they expired, or another client aborted them."""
        for upload_id in self.open_ids() - self.foreign_uploads:
            self.store.abort(Upload(self.target, upload_id))

    @rule()
    def begin_a_foreign_upload(self) -> None:
        """Make another client initiate an upload of the same key, with a part of other content."""
        upload = Upload(self.target, self.store.initiate(self.target, {}).upload_id)
        self.foreign_uploads.add(upload.upload_id)
        self.store._uploads[upload.upload_id].parts[1] = b"foreign!!!"

    @rule()
    def put_a_foreign_object(self) -> None:
        """Make another client replace the object."""
        content = b"another client"
        self.foreign.add(content)
        self.store.objects["bucket", self.target.key] = _Object(content, etag_of(content), {}, None)

    @rule()
    def remove_the_object(self) -> None:
        """Make another client delete the object."""
        self.store.objects.pop(("bucket", self.target.key), None)

    @rule()
    def finish(self) -> None:
        """Run the same command without faults: the object matches the source, and no upload of obsup is left."""
        assert self.upload({}, on_change="resend") == 0
        assert self.object_content() == self.source.read_bytes()
        remaining = self.open_ids() - self.foreign_uploads
        if not self.may_leave:
            assert not remaining, "an upload of obsup is left"
        for upload_id in remaining:
            self.store.abort(Upload(self.target, upload_id))
        assert self.foreign_uploads <= self.open_ids(), (
            "the upload of another client was aborted or completed"
        )
        assert [path.name for path in self.folder.iterdir() if "not-obsup" not in path.name] == ["bigfile"]
        self.may_leave = not self.upload_request.keep_checkpoint

    @rule()
    @precondition(lambda self: not self.may_leave)
    def finish_sends_only_what_is_missing(self) -> None:
        """Run without faults: stored parts of the current source are not sent again."""
        before, sent_parts = self.correct_parts(), set()

        class Counting(FaultyStore):
            def upload_part(self, upload, part_number, open_body, *digests):  # type: ignore[no-untyped-def]
                sent_parts.add(part_number)
                return super().upload_part(upload, part_number, open_body, *digests)

        connection, _ = self.connection({})
        counting = Counting(self.store, {}, self.freeze)
        store = RetryingStore(counting, connection.policy, connection.recovery)
        Uploader(replace(connection, store=store), replace(self.upload_request, on_change="resend")).run()
        assert not sent_parts & before
        self.has_changed = False
        assert self.object_content() == self.source.read_bytes()

    @invariant()
    def object_is_one_version_of_the_source(self) -> None:
        """The object never mixes versions."""
        if hasattr(self, "store"):
            assert self.object_content() in {None, *self.versions, *self.foreign}

    def teardown(self) -> None:
        """Delete the folder."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a separate state directory."""
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "state"))


def search(number: int, examples: int, steps: int) -> None:
    """Try *examples* sequences of up to *steps* steps. Each *number* is another search."""

    @seed(SEED + number)
    class Search(Uploads):
        """Has its own seed."""

    run_state_machine_as_test(Search, settings=machine_settings(SEED + number, examples, steps))


def test_uploads() -> None:
    """A short search for every test run."""
    search(0, 60, 12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(LONG_SEARCHES))
def test_uploads_at_length(number: int) -> None:
    """Long searches, at the same time."""
    examples = int(os.environ.get("OBSUP_TEST_EXAMPLES", SEARCHES))
    search(number, examples // LONG_SEARCHES, STEPS)
