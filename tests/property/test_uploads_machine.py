"""Anything may happen between any two calls, to process, source, checkpoint and store: the promises hold.

Crashes keep the disk as it was at that instant. Hypothesis looks for the sequence that breaks a promise.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
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
from obsup.model import Credentials, Target, Upload
from obsup.store.retrying import RetryingStore, RetryPolicy
from tests.doubles.faulty_store import KINDS, Crash, FaultyStore
from tests.doubles.memory_store import MemoryStore, _Object, etag_of
from tests.support.fault_matrix import SEARCHES, STEPS

PART = 10
ALLOWED_CODES = {0, 65, 69, 75, 77}

FAULTS = st.dictionaries(st.integers(1, 14), st.sampled_from(KINDS), max_size=3)


class GivenKeys:
    """Credentials that never change."""

    def current(self) -> Credentials:
        """Return them."""
        return Credentials("access", "secret")

    def refresh(self, _stale: Credentials) -> Credentials:
        """Return the same."""
        return self.current()


class Uploads(RuleBasedStateMachine):
    """One source, one target, and what may befall them."""

    keys = itertools.count()

    @initialize(
        provider=st.sampled_from(["obs", "s3", "oss"]),
        size=st.integers(21, 45),
        token=st.booleans(),
        checkpoint=st.sampled_from([True, True, True, False]),
    )
    def begin(self, provider: str, size: int, token: bool, checkpoint: bool) -> None:
        """A source of a few parts of ten bytes, at a store of *provider*'s kind."""
        self.folder = Path(tempfile.mkdtemp())
        dialect = find_dialect(provider)
        self.dialect = replace(dialect, limits=replace(dialect.limits, min_part=1))
        self.store = MemoryStore(self.dialect)
        self.target = Target(provider, "http://memory", "bucket", f"key-{next(self.keys)}")
        self.source = self.folder / "bigfile"
        self.serial = 0
        self.source.write_bytes(self.content(size))
        self.order = UploadRequest(
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
        # Where nothing here tells of an upload any more and the file is another, nobody can tell whose it was.
        self.may_leave = not checkpoint

    def content(self, size: int) -> bytes:
        """Return bytes that no other version has."""
        self.serial += 1
        return (f"{self.serial:04d}" * size).encode()[:size]

    def path(self) -> Path:
        """Return where the checkpoint is."""
        return checkpoint_path.default_path(self.source, self.target)

    def connection(self, faults: dict[int, str]) -> tuple[Connection, FaultyStore]:
        """Return a connection to the store that fails so."""
        faulty = FaultyStore(self.store, faults, self.freeze)
        policy = RetryPolicy(
            monotonic=lambda: 0.0, sleep=lambda _seconds: False, uniform=lambda low, _high: low
        )
        given = connect(
            StoreSettings(self.target.provider, self.target.endpoint, region="here"),
            sleep=lambda _seconds: False,
            credentials=GivenKeys(),
        )
        store = RetryingStore(faulty, policy, given.recovery)
        return replace(given, store=store, policy=policy), faulty

    def freeze(self) -> None:
        """Keep what is on disk at this instant: a process that ends writes nothing more."""
        self.frozen = Path(tempfile.mkdtemp())
        shutil.copytree(self.folder, self.frozen / "folder", copy_function=shutil.copy2)
        if state_folder().exists():
            shutil.copytree(state_folder(), self.frozen / "state")

    def thaw(self) -> None:
        """Bring the disk back to the instant of the crash; the source is not touched by obsup anyway."""
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

    def upload(self, faults: dict[int, str], **order: object) -> int | None:
        """Run, and return the exit code, or None where the process ended."""
        connection, _ = self.connection(faults)
        wanted = replace(self.order, **order)
        heard: list[events.Event] = []
        try:
            Uploader(connection, wanted, tally=ProgressTally(None, heard.append)).run()
        except Crash:
            self.thaw()
            return None
        except ObsupError as exc:
            code = exc.exit_code
        else:
            code = 0
            assert self.published() == self.source.read_bytes()
            self.has_changed = False
        assert code in ALLOWED_CODES
        return code

    def published(self) -> bytes | None:
        """Return the object."""
        found = self.store.objects.get((self.target.bucket, self.target.key))
        return found.content if found is not None else None

    def open_ids(self) -> set[str]:
        """Return the open uploads of the key."""
        return {one.upload_id for one in self.store.list_uploads("bucket", self.target.key)}

    def right_parts(self) -> set[int]:
        """Return the parts of the source that are stored in an upload of ours."""
        data = self.source.read_bytes()
        return {
            part.number
            for upload_id in self.open_ids() - self.foreign_uploads
            for part in self.store.list_parts(Upload(self.target, upload_id))
            if part.etag == etag_of(data[(part.number - 1) * PART : part.number * PART])
        }

    @rule(faults=FAULTS, on_change=st.sampled_from(["fail", "resend"]), verify=st.booleans())
    def run(self, faults: dict[int, str], on_change: str, verify: bool) -> None:
        """Run, with faults and crashes."""
        before = self.right_parts()
        code = self.upload(faults, on_change=on_change, verify_source=verify)
        if code not in (0, None) and not self.may_leave:
            assert self.right_parts() >= before, "progress was lost"

    @rule(part=st.integers(0, 4), mend_times=st.booleans())
    def rewrite(self, part: int, mend_times: bool) -> None:
        """Change a part in place, perhaps with the modification time set back."""
        data, stat = bytearray(self.source.read_bytes()), self.source.stat()
        at = min(part * PART, max(0, len(data) - 4))
        data[at : at + 4] = self.content(4)[: len(data) - at]
        with self.source.open("r+b") as file:
            file.write(data)
        if mend_times:
            os.utime(self.source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self.changed()

    @rule(size=st.integers(0, 60))
    def resize(self, size: int) -> None:
        """Cut the source, or let it grow."""
        os.truncate(self.source, size)
        self.changed()

    @rule()
    def replace_source(self) -> None:
        """Put another file of the same size in its place."""
        other = self.folder / "other"
        other.write_bytes(self.content(self.source.stat().st_size))
        other.replace(self.source)
        self.changed()

    @rule()
    def touch(self) -> None:
        """Change nothing but the times."""
        os.utime(self.source)

    def changed(self) -> None:
        """Take note of a new version."""
        self.versions.add(self.source.read_bytes())
        self.has_changed = True

    @rule(how=st.sampled_from(["delete", "tear", "empty", "garble", "foreign"]))
    def damage_checkpoint(self, how: str) -> None:
        """Take the checkpoint away, in one way or another."""
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
        """Have the store lose what is open: it expired, or somebody aborted it."""
        for upload_id in self.open_ids() - self.foreign_uploads:
            self.store.abort(Upload(self.target, upload_id))

    @rule()
    def begin_a_foreign_upload(self) -> None:
        """Have somebody else begin an upload of the same key, with a part that is not the source's."""
        upload = Upload(self.target, self.store.initiate(self.target, {}))
        self.foreign_uploads.add(upload.upload_id)
        self.store._uploads[upload.upload_id].parts[1] = b"foreign!!!"

    @rule()
    def put_a_foreign_object(self) -> None:
        """Have somebody else replace the object."""
        content = b"somebody else's"
        self.foreign.add(content)
        self.store.objects["bucket", self.target.key] = _Object(content, etag_of(content), {}, None)

    @rule()
    def remove_the_object(self) -> None:
        """Have somebody delete the object."""
        self.store.objects.pop(("bucket", self.target.key), None)

    @rule()
    def finish(self) -> None:
        """Mend every cause, and run the same command: the object is the source, and nothing of ours stays open."""
        assert self.upload({}, on_change="resend") == 0
        assert self.published() == self.source.read_bytes()
        left = self.open_ids() - self.foreign_uploads
        if not self.may_leave:
            assert not left, "an orphan"
        for upload_id in left:
            self.store.abort(Upload(self.target, upload_id))
        assert self.foreign_uploads <= self.open_ids(), "somebody else's upload was aborted or completed"
        assert [path.name for path in self.folder.iterdir() if "not-obsup" not in path.name] == ["bigfile"]
        self.may_leave = not self.order.keep_checkpoint

    @rule()
    @precondition(lambda self: not self.may_leave)
    def finish_sends_only_what_is_missing(self) -> None:
        """Nothing is sent twice: what the store holds of the source as it is stays."""
        before, sent = self.right_parts(), set()

        class Counting(FaultyStore):
            def upload_part(self, upload, part_number, open_body, *, content_md5=None):  # type: ignore[no-untyped-def]
                sent.add(part_number)
                return super().upload_part(upload, part_number, open_body, content_md5=content_md5)

        connection, _ = self.connection({})
        counting = Counting(self.store, {}, self.freeze)
        store = RetryingStore(counting, connection.policy, connection.recovery)
        Uploader(replace(connection, store=store), replace(self.order, on_change="resend")).run()
        assert not sent & before
        self.has_changed = False
        assert self.published() == self.source.read_bytes()

    @invariant()
    def what_is_published_is_no_mixture(self) -> None:
        """At every instant."""
        if hasattr(self, "store"):
            assert self.published() in {None, *self.versions, *self.foreign}

    def teardown(self) -> None:
        """Remove the folder."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep state in a folder of the test's own."""
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "state"))


def machine_settings(examples: int, steps: int) -> settings:
    """Return the settings of a search."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def test_uploads() -> None:
    """A short search, in every run of the tests."""
    run_state_machine_as_test(Uploads, settings=machine_settings(60, 12))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_uploads_at_length() -> None:
    """A long one."""
    run_state_machine_as_test(
        Uploads, settings=machine_settings(int(os.environ.get("OBSUP_TEST_EXAMPLES", SEARCHES)), STEPS)
    )
