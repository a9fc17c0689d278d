"""Groups of small files in a worker of --executor, and how the driver forms them."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.engine.batch import group_worker
from obsup.engine.batch.file_groups import MAX_GROUP_FILES, FileGroups, RemoteGroups
from obsup.engine.batch.group_worker import GroupResult, GroupTask, WorkerSetup, upload_group_remotely
from obsup.engine.batch.known_files import PendingFile
from obsup.engine.batch.request import BatchRequest, SharedRequest
from obsup.engine.batch.small_file import SmallFileSigner
from obsup.engine.job.connection import StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.send.backends import FixedBackend
from obsup.engine.send.remote_workers import RemoteWorkers
from obsup.engine.verify.worker_objects import WorkerObjects
from obsup.errors import BadConfiguration, Denied
from obsup.local.source.identity import stat_source
from obsup.local.walk.walk import FoundFile
from obsup.model import Credentials, Stored, Target
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import stored_keys
from tests.support.stores import GivenKeys

WORKERS = 2
MADE = Stored(200, "etag")


@pytest.fixture
def batch(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> BatchRequest:
    """A batch to the sandbox, for a worker that finds its credentials in the environment."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    group_worker._remote_worker.cache_clear()
    prefix = Target("obs", sandbox.endpoint, "bucket", "p/")
    shared = SharedRequest(UploadRequest(Path("-"), prefix, executor="mpi"), prefix)
    return BatchRequest(lambda: iter(()), shared, "id", None)


def settings(sandbox: Sandbox) -> StoreSettings:
    """Return the settings of the sandbox."""
    return StoreSettings("obs", sandbox.endpoint, addressing="path", retry_for_s=1.0)


def found(folder: Path, name: str) -> PendingFile:
    """Return a file to send, which was modified long ago."""
    path = folder / name
    path.write_text(name)
    os.utime(path, ns=(10**18, 10**18 + 1))
    return PendingFile(FoundFile(str(path), name, stat_source(path)), "send")


def with_stat(pending: PendingFile, **fields: int) -> PendingFile:
    """Return the file as a driver on another host has found it."""
    return pending._replace(file=replace(pending.file, stat=replace(pending.file.stat, **fields)))


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_worker_sends_only_the_files_that_the_driver_found(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path, jobs: int
) -> None:
    """Others, and those that fail because of this worker, are left to the driver; an error names the host."""
    sandbox.add_fault("error=400:InvalidRequest,op=put,key=p/rejected,times=always")
    sandbox.add_fault("error=503:SlowDown,op=put,key=p/slow,times=always")
    here, rejected, slow = (found(tmp_path, name) for name in ("here", "rejected", "slow"))
    same = with_stat(found(tmp_path, "same"), device=99)
    other = with_stat(found(tmp_path, "other"), inode=7)
    missing = found(tmp_path, "missing")
    Path(missing.file.path).unlink()
    setup = pickle.dumps(WorkerSetup(batch.shared, settings(sandbox), jobs, False, True))
    files = (here, same, other, missing, rejected, slow)
    result = upload_group_remotely(pickle.loads(pickle.dumps(GroupTask(setup, files, None, False))))
    outcomes = {one.name: one for one in result.outcomes}
    assert set(outcomes) == {"here", "same", "rejected"}
    assert {one.file.name for one in result.left} == {"other", "missing", "slow"}
    assert stored_keys(sandbox) == ["p/here", "p/same"]
    sent = outcomes["same"].result
    assert sent is not None
    assert sent.source == same.file.stat
    assert f"on host {os.uname().nodename}" in str(outcomes["rejected"].error)
    kinds = [events.of_one(event) for event in result.reported]
    hosts = [one.host for one in kinds if isinstance(one, events.Requested)]
    assert len(hosts) >= 4
    assert set(hosts) == {os.uname().nodename}
    assert any(isinstance(one, events.Retried) and one.throttled for one in kinds)


def test_workers_get_full_groups_unless_they_are_idle(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call costs the driver the same. Every file has one outcome."""
    monkeypatch.setattr(group_worker, "MAX_GROUP_S", 600.0)
    pool, calls = ThreadPoolExecutor(WORKERS), list[int]()

    def submit(call: Callable[[GroupTask], object], task: GroupTask) -> Future[object]:
        calls.append(len(task.files))
        return pool.submit(call, task)

    backend = FixedBackend(submit, WORKERS, pool.shutdown, is_local=True)
    workers = RemoteWorkers(backend, settings(sandbox))
    groups = FileGroups(RemoteGroups(batch, workers, lambda: 2 * WORKERS))
    pending = deque(found(tmp_path, str(number)) for number in range(4 * MAX_GROUP_FILES + 10))
    left, names = deque[PendingFile](), list[str]()
    while pending or groups.in_flight:
        while groups.submit(pending, lambda: 1) is not None:
            assert len(groups.in_flight) <= 2 * WORKERS
        future = next(iter(groups.in_flight))
        future.exception()
        names += [one.name for one in groups.collect(future, pending, left)]
    workers.close(wait=True)
    assert not left
    assert sorted(f"p/{name}" for name in names) == stored_keys(sandbox)
    assert len(names) == 4 * MAX_GROUP_FILES + 10
    assert calls == [MAX_GROUP_FILES] * 4 + [10]


def test_the_files_of_a_group_that_failed_are_left_to_the_driver(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path
) -> None:
    """It reports what fails, and the next group may have another worker."""

    def submit(_call: object, _task: GroupTask) -> Future[object]:
        failed = Future[object]()
        failed.set_exception(ImportError("obsup"))
        return failed

    workers = RemoteWorkers(FixedBackend(submit, 1, lambda **_: None, is_local=False), settings(sandbox))
    groups = FileGroups(RemoteGroups(batch, workers, lambda: 2))
    pending, left = deque([found(tmp_path, "a"), found(tmp_path, "b")]), deque[PendingFile]()
    future = groups.submit(pending, lambda: 1)
    assert future is not None
    assert groups.collect(future, pending, left) == ()
    assert [one.file.name for one in left] == ["a", "b"]
    assert not pending
    assert groups.is_open


def test_a_group_is_submitted_although_no_worker_is_there(sandbox: Sandbox, batch: BatchRequest) -> None:
    """Its call waits for a worker as long as --retry-for, and asks an adaptive cluster for one."""
    backend = FixedBackend(lambda *_: Future(), 0, lambda **_: None, is_local=False)
    groups = RemoteGroups(batch, RemoteWorkers(backend, settings(sandbox)), lambda: 2)
    assert groups.group_size(2, 0) > 0
    assert groups.group_size(2, 1) == 0


@pytest.mark.parametrize(
    ("failure", "notes"), [(AssertionError(), 1), (OSError(), 0)], ids=["bug", "network"]
)
def test_a_failure_that_is_a_bug_is_noted_once(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path, failure: Exception, notes: int
) -> None:
    """The files are sent one by one, so that the bug would not be noticed."""

    def submit(_call: object, _task: GroupTask) -> Future[object]:
        failed = Future[object]()
        failed.set_exception(failure)
        return failed

    observed: list[events.Event] = []
    workers = RemoteWorkers(FixedBackend(submit, 1, lambda **_: None, is_local=False), settings(sandbox))
    groups = FileGroups(RemoteGroups(batch, workers, lambda: 2), observed.append)
    for _ in range(2):
        pending, left = deque([found(tmp_path, "a")]), deque[PendingFile]()
        future = groups.submit(pending, lambda: 1)
        assert future is not None
        assert groups.collect(future, pending, left) == ()
    assert len(observed) == notes


def remote_workers(seen: Sandbox, written: Sandbox, notes: list[str]) -> RemoteWorkers:
    """Return a worker that writes to one store; this host sees the objects of another one, or of the same."""

    def submit(call: Callable[[object], object], task: object) -> Future[object]:
        done = Future[object]()
        done.set_result(call(task))
        return done

    keys = GivenKeys(Credentials(seen.access_key, seen.secret_key))
    store = connect(settings(seen), sleep=lambda _: False, credentials=keys).store
    backend = FixedBackend(submit, 1, lambda **_: None, is_local=False)
    return RemoteWorkers(backend, settings(written), objects=WorkerObjects(store, notes.append))


def test_objects_of_a_worker_that_this_host_does_not_see(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path
) -> None:
    """Its keys may be those of another account, or its network leads elsewhere: its first object is requested here."""
    notes = list[str]()
    context = UploadContext(
        connect(settings(sandbox), sleep=lambda _: True), batch.shared.template, events.ignore, StopSignal()
    )
    with Sandbox() as other:
        for seen, is_seen in ((other, False), (sandbox, True)):
            workers = remote_workers(seen, sandbox, notes)
            groups = FileGroups(RemoteGroups(batch, workers, lambda: 2))
            for names in (("a", "b"), ("c",)):
                pending, left = deque(found(tmp_path, name) for name in names), deque[PendingFile]()
                future = groups.submit(pending, lambda: 1)
                assert future is not None
                outcomes = groups.collect(future, pending, left)
                assert sorted(one.name for one in outcomes) == (list(names) if is_seen else [])
                assert sorted(one.file.name for one in left) == ([] if is_seen else list(names))
            request = replace(
                batch.shared.template, source=tmp_path / "a", target=batch.shared.prefix.below("a")
            )
            single = workers.put(replace(context, request=request), stat_source(tmp_path / "a"))
            failure = single.exception()
            assert isinstance(failure, BadConfiguration) is not is_seen
            assert is_seen or "p/a was stored by process" in str(failure)
            workers.close(wait=True)
        assert sum(one.operation == "head" for one in sandbox.requests) == 1
        sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
        remote_workers(sandbox, sandbox, notes).objects.check(
            "process 1", batch.shared.prefix.below("a"), MADE
        )
    assert notes == [
        "it was not checked that this host sees the objects of the workers: checking bucket/p/a was "
        "rejected: 403 AccessDenied"
    ]


class Keys:
    """A CredentialSource that raises *failure*, unless that is None."""

    def __init__(self, keys: Credentials) -> None:
        self._keys = keys
        self.failure: Exception | None = None

    def current(self) -> Credentials:
        """Return the credentials."""
        if self.failure is not None:
            raise self.failure
        return self._keys

    def refresh(self, _stale: Credentials) -> Credentials:
        """Return the same credentials."""
        return self.current()


def presigned_results(
    sandbox: Sandbox,
    batch: BatchRequest,
    files: list[PendingFile],
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[], tuple[PendingFile, ...]] | None = None,
    later_keys: Exception | None = None,
) -> GroupResult:
    """Return the result of a worker that has no credentials, but the URLs that the driver signs for *files*.

    *before* is called before the worker starts, and returns the files as the worker sees them. *later_keys* is what
    obtaining the driver's credentials raises once it is connected.
    """
    for name in ("AccessKeyID", "SecretAccessKey"):
        monkeypatch.delenv(name)
    shared = replace(batch.shared, template=replace(batch.shared.template, presign=True))
    keys = Keys(Credentials(sandbox.access_key, sandbox.secret_key))
    connection = connect(settings(sandbox), sleep=lambda _: True, credentials=keys)
    keys.failure = later_keys
    context = UploadContext(connection, shared.template, events.ignore, StopSignal())

    def submit(call: Callable[[GroupTask], object], task: GroupTask) -> Future[object]:
        assert "Signature" not in repr(task)
        task = replace(task, files=before()) if before is not None else task
        done = Future[object]()
        done.set_result(call(pickle.loads(pickle.dumps(task))))
        return done

    backend = FixedBackend(submit, 1, lambda **_: None, is_local=True)
    signer = SmallFileSigner(context, shared)
    request = replace(batch, shared=shared)
    groups = RemoteGroups(request, RemoteWorkers(backend, settings(sandbox)), lambda: 2, signer)
    return groups.submit(tuple(files), 1).result()


def test_a_worker_without_credentials_puts_what_the_driver_signed(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signed MD5 is that of the driver's file. What needs more than one request is left to the driver."""
    files = [found(tmp_path, name) for name in ("a", "compared", "rejected")]
    files[1] = files[1]._replace(decision="compare")
    sandbox.add_fault("error=400:InvalidRequest,op=put,key=p/rejected,times=always")
    result = presigned_results(sandbox, batch, files, monkeypatch)
    assert [one.name for one in result.outcomes] == ["a"]
    assert [one.file.name for one in result.left] == ["compared", "rejected"]
    assert not result.lacks_requests
    assert stored_keys(sandbox) == ["p/a"]
    assert result.outcomes[0].result is not None
    assert result.outcomes[0].result.verified == "etag"


def test_files_that_cannot_be_signed_are_left_to_the_driver(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of each names the cause: the batch does not end in the middle."""
    file = found(tmp_path, "a")
    result = presigned_results(sandbox, batch, [file], monkeypatch, later_keys=Denied("expired"))
    assert (result.outcomes, len(result.left)) == ((), 1)


def test_a_signed_url_that_is_not_enough_ends_the_groups(
    batch: BatchRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response has no digest, and the worker cannot send HeadObject. All files would be sent twice."""
    with Sandbox(encrypts=True, faults=["ignore-checksums"]) as store:
        prefix = replace(batch.shared.prefix, endpoint=store.endpoint)
        shared = replace(batch.shared, prefix=prefix, template=replace(batch.shared.template, target=prefix))
        files = [found(tmp_path, "a")]
        result = presigned_results(store, replace(batch, shared=shared), files, monkeypatch)
        assert [one.operation for one in store.requests] == ["put"]
    assert (result.outcomes, result.left, result.lacks_requests) == ((), tuple(files), True)
    backend = FixedBackend(lambda *_: Future(), 1, lambda **_: None, is_local=True)
    groups = RemoteGroups(batch, RemoteWorkers(backend, settings(store)), lambda: 2)
    assert groups.group_size(100, 0)
    group: Future[GroupResult] = Future()
    group.set_result(result)
    assert groups.failure_of(group) is None
    assert (groups.is_open, groups.group_size(100, 0)) == (False, 0)


def test_a_signed_url_stores_no_other_bytes(
    sandbox: Sandbox, batch: BatchRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the worker sees another file of the same size and times, nothing is sent, and the driver decides."""
    file = found(tmp_path, "a")

    def other_file() -> tuple[PendingFile]:
        found(tmp_path, "b")
        (tmp_path / "b").rename(tmp_path / "a")
        return (file._replace(file=replace(file.file, stat=stat_source(tmp_path / "a"))),)

    result = presigned_results(sandbox, batch, [file], monkeypatch, other_file)
    assert (result.outcomes, len(result.left)) == ((), 1)
    assert sandbox.requests == []


def test_a_task_shows_no_settings(sandbox: Sandbox, batch: BatchRequest) -> None:
    """The URL of a proxy may contain a password, and a cluster logs the calls that fail."""
    network = replace(settings(sandbox).network, proxy="http://user:hunter2@proxy:3128")
    workers = RemoteWorkers(
        FixedBackend(lambda *_: Future(), 1, lambda **_: None, is_local=False),
        replace(settings(sandbox), network=network),
    )
    task = GroupTask(RemoteGroups(batch, workers, lambda: 1)._setup, (), None, False)
    assert b"hunter2" in task.setup
    assert "hunter2" not in repr(task)
