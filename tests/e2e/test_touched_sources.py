"""A source whose times change again and again, but not its content: it is compared, and the upload finishes.

Nothing but the content can tell this from a source that is written to, which is never published as a mixture.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from obsup import events
from obsup.errors import SourceChanged
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.matrix import mostly_slow
from tests.support.upload_rig import PART, Rig

MakeFile = Callable[..., Path]
PARTS = 4


@pytest.fixture
def rig(sandbox: Sandbox, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A source of four parts; the keys are those of worker processes, too."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    return Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))


@contextmanager
def touching(path: Path, change: Callable[[], object] | None = None) -> Iterator[None]:
    """Touch *path*, or call *change*, every millisecond in another thread."""
    is_ended = threading.Event()

    def run() -> None:
        while not is_ended.is_set():
            (change or (lambda: os.utime(path)))()
            is_ended.wait(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_ended.set()
        thread.join()


OPTIONS: dict[str, dict[str, Any]] = {
    "parts": {},
    "resend": {"on_change": "resend"},
    "threads": {"jobs": 3},
    "digest-none": {"digest": "none"},
    "content-md5": {"content_md5": True},
    "verify-source": {"verify_source": True},
    "no-checkpoint": {"keep_checkpoint": False},
    "processes": {"executor": "processes"},
    "put": {"part_size": None},
    "put-processes": {"part_size": None, "executor": "processes"},
    "put-verify-source": {"part_size": None, "verify_source": True},
}


@pytest.mark.parametrize("name", mostly_slow(OPTIONS, "parts", "digest-none", "put"))
def test_a_source_that_is_touched_all_the_time_is_uploaded(rig: Rig, name: str) -> None:
    """As by a synchronisation program, or on a file system whose replicas have different times."""
    rig.sandbox.add_fault("slow=4M,op=part,times=always")
    with touching(rig.source):
        rig.run(**OPTIONS[name])
    assert rig.is_stored()
    assert rig.open_ids() == []


@pytest.mark.parametrize("name", mostly_slow(OPTIONS, "resend"))
def test_two_contents_that_take_turns_are_never_mixed(rig: Rig, name: str) -> None:
    """Only their times show it, so it may look like touches; but the parts differ each time they are read."""
    rig.sandbox.add_fault("slow=4M,op=part,times=always")
    contents = [rig.source.read_bytes(), os.urandom(rig.source.stat().st_size)]
    turns = itertools.cycle(contents)

    def write() -> None:
        with rig.source.open("r+b") as file:
            file.write(next(turns))

    with touching(rig.source, write):
        code = rig.code(**OPTIONS[name])
    stored = rig.sandbox.object_path("bucket", "key")
    assert (code, stored.exists()) in ((65, False), (0, True))
    assert code or stored.read_bytes() in contents


def test_a_write_between_touches_is_detected(rig: Rig) -> None:
    """It looks like one more touch, but the stored part differs: before its end, or in the last comparison."""
    for number in range(1, PARTS + 1):

        def write(event: events.Event, number: int = number) -> None:
            if isinstance(event, events.PartStored) and event.number == number:
                with rig.source.open("r+b") as file:
                    file.write(os.urandom(10))

        with touching(rig.source), pytest.raises(SourceChanged):
            rig.run(observer=write)
        assert not rig.sandbox.object_path("bucket", "key").exists()


def test_a_touch_during_the_upload_sends_nothing_again(rig: Rig) -> None:
    """The stored parts are compared, and kept."""
    stored: list[int] = []

    def touch(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == 2 and not stored:
            stored.append(2)
            os.utime(rig.source)

    rig.run(observer=touch)
    assert rig.requests("part") == [1, 2, 3, 4]
    assert rig.is_stored()


def test_a_part_that_was_in_flight_during_a_touch_is_not_taken_for_that_of_another_machine(rig: Rig) -> None:
    """It is stored, and not recorded, because its source changed meanwhile."""
    touched: list[int] = []

    def touch(event: events.Event) -> None:
        if isinstance(event, events.PartSent) and event.sent == event.size and not touched:
            touched.append(event.number)
            os.utime(rig.source)

    rig.run(observer=touch)
    assert rig.requests("part") == [1, 2, 3, 4]
    assert [event.text for event in rig.observed if isinstance(event, events.Noted)] == []


def test_the_steps_accept_a_source_that_is_touched_all_the_time(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Each single step, and the commands that only compare."""
    source = make_file(3_000_000)
    upload_id = inside.run("init", "bucket/key").out.strip()
    with touching(source):
        for command in (
            f"part {{}} bucket/key --part-number 1 --parts 2 --upload-id {upload_id}",
            f"part {{}} bucket/key --part-number 2 --parts 2 --upload-id {upload_id}",
            f"complete {{}} bucket/key --upload-id {upload_id}",
            "verify {} bucket/key --parts 2",
            "upload {} bucket/key --parts 2 --skip-identical",
        ):
            outcome = inside.run(*command.format(source).split())
            assert outcome.code == 0, (command, outcome.err)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_part_of_a_touched_source_needs_a_recorded_part(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The recorded parts show that the content is the same; without one, nothing does."""
    source = make_file(300_000)
    inside.run("init", source, "bucket/key", "--parts", "2")
    os.utime(source)
    refused = inside.run("part", source, "bucket/key", "--part-number", "1")
    assert (refused.code, f"obsup upload {source} bucket/key" in refused.err) == (65, True), refused.err
    inside.run("init", source, "bucket/other", "--parts", "2")
    for number in ("1", "2"):
        assert inside.run("part", source, "bucket/other", "--part-number", number).code == 0
        os.utime(source)
    assert inside.run("complete", source, "bucket/other").code == 0
    assert sandbox.object_path("bucket", "other").read_bytes() == source.read_bytes()


def test_many_files_that_are_touched_all_the_time_are_uploaded(
    inside: Inside, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Small ones, and one in parts."""
    (tmp_path / "tree").mkdir()
    files = [tmp_path / "tree" / name for name in ("one", "two", "large")]
    for file, size in zip(files, (10, 1000, 9 * 2**20), strict=True):
        file.write_bytes(os.urandom(size))
    sandbox.add_fault("slow=20M,op=part,times=always")
    with touching(tmp_path, lambda: list(map(os.utime, files))):
        outcome = inside.run("upload", "-r", tmp_path / "tree", "bucket/p/", "--part-size", "3M")
    assert outcome.code == 0, outcome.err
    for file in files:
        assert sandbox.object_path("bucket", f"p/tree/{file.name}").read_bytes() == file.read_bytes()
