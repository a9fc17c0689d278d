"""A host that sees another file under the same path, of equal size and modification time: its content decides."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup.engine.batch.group_worker import GroupResult, GroupTask
from obsup.engine.send import backends, dask_backend, remote_workers, workers
from obsup.engine.send.remote_task import ObjectTask, PartTask
from obsup.errors import SourceChanged
from obsup.local.processes.pool import A, ProcessPool, T
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.upload_rig import PART, Rig

MakeFile = Callable[..., Path]
PARTS = 4
SIZE = (PARTS - 1) * PART + 50_000


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file of four parts."""
    return make_file(SIZE)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another device."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def copy_to(folder: Path, source: Path, *, change_at: int | None = None) -> Path:
    """Copy *source* with its times; change one byte."""
    path = folder / source.name
    shutil.copy2(source, path)
    if change_at is not None:
        data = bytearray(path.read_bytes())
        data[change_at] ^= 1
        path.write_bytes(data)
    os.utime(path, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    return path


class OtherHost(backends.FixedBackend):
    """A WorkerBackend whose worker sees the files of another folder under the same paths."""

    def __init__(self, folder: Path) -> None:
        super().__init__(self._call, 1, lambda **_: None, is_local=False)
        self._folder = folder

    def _upload_group(self, call: Callable[[GroupTask], GroupResult], task: GroupTask) -> GroupResult:
        originals = {one.file.name: one for one in task.files}
        seen = [
            one._replace(file=replace(one.file, path=str(self._folder / Path(one.file.path).name)))
            for one in task.files
        ]
        result = call(replace(task, files=tuple(seen)))
        left, unstarted = (
            tuple(originals[one.file.name] for one in group) for group in (result.left, result.unstarted)
        )
        return replace(result, left=left, unstarted=unstarted)

    def _call(self, call: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Run the call here, with the path as this host sees it."""
        if isinstance(argument, PartTask):
            to_send = argument.to_send
            seen = str(self._folder / Path(to_send.path).name)
            argument = replace(argument, to_send=replace(to_send, path=seen))
        elif isinstance(argument, ObjectTask):
            request = argument.request
            seen_path = self._folder / request.source.name
            argument = replace(argument, request=replace(request, source=seen_path))
        elif isinstance(argument, GroupTask):
            call = partial(self._upload_group, call)
        future: Future[Any] = Future()
        future.set_result(call(argument))
        return future


@pytest.fixture
def rig(sandbox: Sandbox, source: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Uploads whose Dask worker is another host."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    monkeypatch.setattr(dask_backend, "DaskBackend", lambda *_, **__: OtherHost(elsewhere))
    monkeypatch.setattr(workers, "check_spec", lambda _spec: None)
    return Rig(sandbox, source)


DASK: dict[str, Any] = {"executor": "dask:elsewhere:1", "jobs": 1}
OPTIONS: list[dict[str, Any]] = [{}, {"presign": True}, {"digest": "none"}, {"verify_source": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("changed", [0, SIZE - 1])
def test_a_worker_with_another_file_is_detected(
    rig: Rig, elsewhere: Path, options: dict[str, Any], changed: int
) -> None:
    """The part is not recorded; the same command without that worker sends it again."""
    copy_to(elsewhere, rig.source, change_at=changed)
    with pytest.raises(SourceChanged, match="was read from another file than"):
        rig.run(**DASK, **options)
    assert not rig.sandbox.object_path("bucket", "key").exists()
    rig.run(**options)
    assert rig.is_stored()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_worker_with_a_copy_is_accepted(rig: Rig, elsewhere: Path, options: dict[str, Any]) -> None:
    """Its content is the same."""
    copy_to(elsewhere, rig.source)
    rig.run(**DASK, **options)
    assert rig.is_stored()


def test_a_worker_that_sees_the_same_file_costs_no_comparison(
    rig: Rig, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of its identity is equal, so the file is read once."""
    monkeypatch.setattr(dask_backend, "DaskBackend", lambda *_, **__: OtherHost(source.parent))
    monkeypatch.setattr("obsup.engine.send.remote_workers.compared_here", None)
    rig.run(**DASK)
    assert rig.is_stored()


@pytest.mark.parametrize("options", [(), ("--presign",)], ids=["with keys", "presigned"])
def test_a_small_file_is_compared_before_a_worker_publishes_it(
    rig: Rig, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """The request of a worker creates the object, so the worker compares its file with the driver's digest."""
    rig.source.write_bytes(b"the right one")
    other = copy_to(elsewhere, rig.source, change_at=0)
    inside = Inside(rig.sandbox, rig.source.parent, monkeypatch)
    (rig.source.parent / "second").write_bytes(b"")
    copy_to(elsewhere, rig.source.parent / "second")
    arguments: tuple[str | Path, ...] = (
        "upload",
        rig.source,
        "second",
        "bucket/p/",
        "--executor",
        "dask:elsewhere:1",
        *options,
    )
    outcome = inside.run(*arguments)
    assert outcome.code == 65, outcome.err
    assert "Its content is not the one that was hashed at the start" in outcome.err
    assert not rig.sandbox.object_path("bucket", "p/bigfile").exists()
    copy_to(other.parent, rig.source)
    assert inside.run(*arguments).code == 0
    assert rig.sandbox.object_path("bucket", "p/bigfile").read_bytes() == b"the right one"
    assert {one.operation for one in rig.sandbox.requests if one.method == "PUT"} == {"put"}


@pytest.mark.parametrize(
    ("size", "options"), [(1000, ("--verify-source",)), (SIZE, ())], ids=["one request", "parts"]
)
def test_a_link_that_is_exchanged_before_a_process_opens_it(
    inside: Inside,
    sandbox: Sandbox,
    source: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    options: tuple[str, ...],
) -> None:
    """Not by size and time: the processes of this machine see its files, so that every field must be equal.

    Nothing of the other file is sent: it may be one that only this user can read.
    """
    os.truncate(source, size)
    other, link = copy_to(elsewhere, source, change_at=0), source.parent / "link"
    link.symlink_to(source)

    class Exchanging(ProcessPool):
        def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
            if os.path.realpath(link) == str(source):
                (source.parent / "other").symlink_to(other)
                (source.parent / "other").rename(link)
            return super().submit(call, argument)

    monkeypatch.setattr(remote_workers, "ProcessPool", Exchanging)
    arguments = ("upload", "link", "bucket/p/", "-r", "--executor", "processes", "--part-size", str(PART))
    outcome = inside.run(*arguments, *options)
    assert outcome.code == 65, outcome.err
    assert "link changed since the upload began" in outcome.err
    assert "it is another file" in outcome.err
    requests = [one.operation for one in sandbox.requests if one.key == "p/link"]
    assert not {"put", "part"} & set(requests)


# One part from another machine, with one checkpoint for both.


SHARED = ("bucket/key", "--checkpoint", "shared.json")


@pytest.mark.parametrize("command", ["complete", "upload"])
@pytest.mark.parametrize("is_changed", [True, False], ids=["other content", "copy"])
@pytest.mark.parametrize("options", [(), ("--digest", "none")], ids=["md5", "none"])
def test_a_part_of_another_file_is_compared(
    inside: Inside,
    sandbox: Sandbox,
    source: Path,
    elsewhere: Path,
    command: str,
    is_changed: bool,
    options: tuple[str, ...],
) -> None:
    """``complete`` fails, ``upload`` sends the part again; a part of a copy is used."""
    other = copy_to(elsewhere, source, change_at=PART if is_changed else None)
    assert inside.run("init", source, *SHARED, "--part-size", str(PART)).code == 0
    for number in (1, 3, 4):
        assert inside.run("part", source, *SHARED, "--part-number", str(number)).code == 0
    assert inside.run("part", other, *SHARED, "--part-number", "2", *options).code == 0
    before = len(sandbox.requests)
    outcome = inside.run(command, source, *SHARED)
    if is_changed and command == "complete":
        assert outcome.code == 65
        assert "part 2 does not match" in outcome.err
        assert not sandbox.object_path("bucket", "key").exists()
        return
    assert outcome.code == 0, outcome.err
    sent = [one.part_number for one in sandbox.requests[before:] if one.operation == "part"]
    assert sent == ([2] if is_changed else [])
    assert ("part 2 was sent by a host that sees another file" in outcome.err) == is_changed
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_complete_without_source_refuses_a_part_of_another_host(
    sandbox: Sandbox, source: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint has that it must be compared with SOURCE."""
    inside = Inside(sandbox, tmp_path, monkeypatch)
    other = copy_to(elsewhere, source, change_at=PART)
    assert inside.run("init", source, *SHARED, "--part-size", str(PART)).code == 0
    for number in range(1, PARTS + 1):
        path = other if number == 2 else source
        assert inside.run("part", path, *SHARED, "--part-number", str(number)).code == 0
    outcome = inside.run("complete", *SHARED)
    assert (outcome.code, "part 2 was sent by a host that may see another file" in outcome.err) == (65, True)
    assert inside.run("part", source, *SHARED, "--part-number", "2").code == 0
    assert inside.run("complete", *SHARED).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("is_changed", [True, False], ids=["other content", "copy"])
def test_complete_compares_a_part_of_another_host_in_an_encrypted_object(
    source: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_changed: bool
) -> None:
    """The ETag is not a digest, and no digest was requested: that host computed one nevertheless."""
    with Sandbox(encrypts=True) as store:
        inside = Inside(store, tmp_path, monkeypatch)
        other = copy_to(elsewhere, source, change_at=PART if is_changed else None)
        assert inside.run("init", source, *SHARED, "--part-size", str(PART)).code == 0
        for number in (1, 3, 4):
            assert inside.run("part", source, *SHARED, "--part-number", str(number)).code == 0
        assert inside.run("part", other, *SHARED, "--part-number", "2", "--digest", "none").code == 0
        outcome = inside.run("complete", source, *SHARED)
    assert outcome.code == (65 if is_changed else 0), outcome.err
    assert ("part 2 does not match" in outcome.err) == is_changed
