"""An object never mixes two versions of its source, which changes during an upload or between two runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.engine.job.stop import StopSignal
from obsup.errors import ObsupError, SourceChanged, SourceUnreadable
from obsup.local.source.identity import stat_source, stat_when_stable
from obsup.local.state import checkpoint as checkpoints
from obsup.sandbox.sandbox import Sandbox
from tests.support.upload_rig import PART, Rig

PARTS = 6


@pytest.fixture
def rig(sandbox: Sandbox, make_file: Callable[..., Path]) -> Rig:
    """A source of six parts."""
    return Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))


@pytest.fixture
def started(rig: Rig) -> Rig:
    """The same, with parts 1 to 3 stored and recorded."""
    rig.break_off("op=part,part=4")
    assert rig.right_parts() == {1, 2, 3}
    return rig


def write_at(rig: Rig, part_number: int, data: bytes = b"another content") -> None:
    """Write *data* at the beginning of a part."""
    with rig.source.open("r+b") as file:
        file.seek((part_number - 1) * PART)
        file.write(data)


def keep_times(rig: Rig, change: Callable[[], object]) -> None:
    """Call *change*, and restore the modification time."""
    before = rig.source.stat()
    change()
    os.utime(rig.source, ns=(before.st_atime_ns, before.st_mtime_ns))


def check_refused(rig: Rig, *phrases: str, **order: Any) -> ObsupError:
    """Run, and assert SourceChanged with *phrases*, no object, and the upload kept."""
    with pytest.raises(SourceChanged) as caught:
        rig.run(**order)
    for phrase in phrases:
        assert phrase in str(caught.value)
    assert not rig.sandbox.object_path("bucket", rig.key).exists()
    assert len(rig.open_ids()) == 1
    return caught.value


# Between two runs.


def test_a_touched_source_is_compared_and_not_sent_again(started: Rig) -> None:
    """The MD5s show that the stored parts are right."""
    os.utime(started.source)
    started.run()
    assert started.requests("part") == [4, 5, 6]
    assert started.is_stored()


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_changed_source_is_an_error_or_sent_again(started: Rig, jobs: int) -> None:
    """Exit 65 reports what changed in which part; --on-change resend sends only the changed parts."""
    write_at(started, 2)
    error = check_refused(started, "bigfile changed", "modification time", "part 2 differs")
    assert "--restart" in str(error.next_step)
    started.run(on_change="resend", jobs=jobs)
    assert sorted(number or 0 for number in started.requests("part")) == [2, 4, 5, 6]
    assert started.is_stored()
    assert started.open_ids() == []


def test_a_change_in_a_part_that_is_not_sent_yet_is_accepted(started: Rig) -> None:
    """The stored parts match the current file, and the others are read now."""
    write_at(started, 5)
    started.run()
    assert started.requests("part") == [4, 5, 6]
    assert started.is_stored()


def test_an_edit_that_restores_the_modification_time_is_detected(started: Rig) -> None:
    """By the change time; then the content is compared."""
    keep_times(started, lambda: write_at(started, 1))
    check_refused(started, "change time", "part 1 differs")


def test_another_file_with_the_same_name_is_compared(started: Rig) -> None:
    """It has the same size and times but another inode; then the content is compared."""
    other = started.source.with_name("other")
    other.write_bytes(started.source.read_bytes())
    before = started.source.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(started.source)
    started.run()
    assert started.requests("part") == [4, 5, 6]
    assert started.is_stored()


@pytest.mark.parametrize("part_number", [2, 5])
def test_verify_source_detects_an_edit_that_the_identity_does_not_show(rig: Rig, part_number: int) -> None:
    """Even if inode and change time are as recorded, the digest of the whole file differs."""
    rig.break_off("op=part,part=4", verify_source=True)
    write_at(rig, part_number)
    found = checkpoints.load(rig.checkpoint)
    assert found is not None
    checkpoints.save(rig.checkpoint, replace(found, stat=stat_source(rig.source)))
    check_refused(rig, "its content", verify_source=True)
    rig.run(verify_source=True, on_change="resend")
    assert rig.is_stored()


def test_verify_source_compares_the_stored_parts_of_an_unchanged_identity(started: Rig) -> None:
    """If the first run did not record a digest of the whole file."""
    write_at(started, 2)
    found = checkpoints.load(started.checkpoint)
    assert found is not None
    checkpoints.save(started.checkpoint, replace(found, stat=stat_source(started.source)))
    check_refused(started, "part 2 differs", verify_source=True)


@pytest.mark.parametrize("size", [0, 1, 2 * PART, 2 * PART + 1, 9 * PART])
def test_a_source_with_another_size_is_an_error_or_sent_again(started: Rig, size: int) -> None:
    """Exit 65 names both sizes; with resend, the object is the current file, whether empty or larger."""
    os.truncate(started.source, size)
    check_refused(started, f"size {5 * PART + 50_000} → {size}")
    started.run(on_change="resend")
    assert started.is_stored()
    assert started.open_ids() == []
    assert not set(started.requests("part")) & {1, 2}.intersection(range(1, size // PART + 1))


def test_a_small_source_in_one_part_can_grow(sandbox: Sandbox, make_file: Callable[..., Path]) -> None:
    """Its part size was too small for two parts."""
    rig = Rig(sandbox, make_file(50_000), part_size=None)
    rig.break_off("op=complete", parts=1, part_size=None)
    os.truncate(rig.source, 300_000)
    rig.run(parts=1, part_size=None, on_change="resend")
    assert rig.is_stored()


def test_a_missing_source_keeps_the_upload(started: Rig) -> None:
    """Exit 66; when the source is back, the upload is resumed."""
    started.source.rename(started.source.with_name("away"))
    with pytest.raises(SourceUnreadable, match="No such file"):
        started.run()
    started.source.with_name("away").rename(started.source)
    started.run()
    assert started.requests("part") == [4, 5, 6]


def test_restart_aborts_the_old_upload(started: Rig) -> None:
    """And sends the whole file."""
    write_at(started, 2)
    started.run(restart=True)
    assert sorted(number or 0 for number in started.requests("part")) == [1, 2, 3, 4, 5, 6]
    assert started.is_stored()
    assert started.open_ids() == []


# While the upload runs.


def once_stored(number: int, act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that calls *act* once, when part *number* is stored."""
    done: list[events.Event] = []

    def observer(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == number and not done:
            done.append(event)
            act()

    return observer


def test_a_write_during_the_upload_is_an_error(rig: Rig) -> None:
    """The stored parts are kept; the same command then reports which parts differ."""
    check_refused(rig, "modification time", observer=once_stored(3, lambda: write_at(rig, 2)))
    check_refused(rig, "part 2 differs")
    rig.run(on_change="resend")
    assert sorted(number or 0 for number in rig.requests("part")) == [2, 4, 5, 6]
    assert rig.is_stored()


def test_a_write_after_the_last_part_is_detected_before_complete(rig: Rig) -> None:
    """All parts are stored, but Complete is not requested."""
    check_refused(rig, "modification time", observer=once_stored(PARTS, lambda: write_at(rig, 2)))
    assert rig.requests("complete") == []
    assert len(rig.open_ids()) == 1


@pytest.mark.parametrize("part_number", [1, 3, 6])
@pytest.mark.parametrize("jobs", [1, 4])
def test_resend_sends_the_changed_parts_again_and_finishes(rig: Rig, part_number: int, jobs: int) -> None:
    """The object is the file as it is at the end."""
    result = rig.run(
        on_change="resend", jobs=jobs, observer=once_stored(3, lambda: write_at(rig, part_number))
    )
    assert rig.is_stored()
    assert rig.open_ids() == []
    assert result.sent_parts <= PARTS + 1 + jobs


def test_a_file_that_keeps_changing_is_an_error(rig: Rig) -> None:
    """After a few attempts, without an object."""
    count = 0

    def write_again(event: events.Event) -> None:
        nonlocal count
        if isinstance(event, events.PartStored):
            count += 1
            write_at(rig, 1, str(count).encode() * 9)

    check_refused(rig, "modification time", on_change="resend", observer=write_again)
    assert 3 <= count <= 3 * PARTS


@pytest.mark.parametrize("on_change", ["fail", "resend"])
def test_a_chmod_during_the_upload_is_accepted(rig: Rig, on_change: str) -> None:
    """Only the change time differs: the stored parts are compared and not sent again."""
    rig.run(on_change=on_change, observer=once_stored(3, lambda: rig.source.chmod(0o400)))
    assert rig.is_stored()
    assert len(rig.requests("part")) <= PARTS + 1


def test_a_write_that_restores_the_modification_time_during_the_upload_is_an_error(rig: Rig) -> None:
    """It looks like a chmod, but the content differs."""
    check_refused(
        rig,
        "change time",
        "part 1 differs",
        observer=once_stored(3, lambda: keep_times(rig, lambda: write_at(rig, 1))),
    )


@pytest.mark.parametrize("on_change", ["fail", "resend"])
def test_a_source_that_disappears_during_the_upload_is_an_error(rig: Rig, on_change: str) -> None:
    """With the next step; when it is back, the upload is completed."""
    away = rig.source.with_name("away")
    error = check_refused(
        rig, "disappeared", on_change=on_change, observer=once_stored(3, lambda: rig.source.rename(away))
    )
    assert "put it back" in str(error.next_step)
    away.rename(rig.source)
    rig.run()
    assert rig.is_stored()


def test_a_source_that_shrinks_during_the_upload_is_an_error(rig: Rig) -> None:
    """A part that cannot be read completely is not stored."""
    check_refused(rig, "size", observer=once_stored(3, lambda: os.truncate(rig.source, 4 * PART)))
    rig.run(on_change="resend")
    assert rig.is_stored()


def test_a_file_that_ends_within_a_part_is_an_error(rig: Rig) -> None:
    """The request ends at once, so that the store does not wait for more bytes."""
    rig.source.write_bytes(os.urandom(2 * 2**20))
    rig.part_size = 2**20 + 2**19  # more than one block

    def cut(event: events.Event) -> None:
        if isinstance(event, events.PartSent) and event.number == 1 and event.sent == 2**20:
            os.truncate(rig.source, 2**20 + 1)

    check_refused(rig, "became shorter", observer=cut)


# A single request.


class ChangingClock:
    """A clock that calls *act* when it is read for the n-th time; it is read once per block."""

    def __init__(self, nth: int, act: Callable[[], object]) -> None:
        self._left = nth
        self._act = act

    def __call__(self) -> float:
        self._left -= 1
        if self._left == 0:
            self._act()
        return 0.0


@pytest.mark.parametrize(("nth", "code"), [(2, 65), (3, 65), (4, 65), (9, 0)])
def test_a_small_file_that_changes_while_it_is_read_is_not_published(
    sandbox: Sandbox, make_file: Callable[..., Path], nth: int, code: int
) -> None:
    """A PutObject would replace the old object at once, so the file is checked before.

    After it was read completely, it is published as it was then.
    """
    rig = Rig(sandbox, make_file(4 * 2**20), part_size=None)
    first = rig.source.read_bytes()
    rig.run()
    clock = ChangingClock(nth, lambda: rig.source.write_bytes(bytes(4 * 2**20)))
    assert rig.code(stop=StopSignal(deadline_s=1.0, monotonic=clock)) == code
    assert sandbox.object_path("bucket", "key").read_bytes() == first
    assert len(rig.requests("put")) == (1 if code == 0 else 0)
    assert rig.source.read_bytes() != first
    rig.run(on_change="resend")
    assert rig.is_stored()


# The clock of the file system.


def test_the_identity_of_a_fresh_file_is_read_after_a_clock_tick(tmp_path: Path) -> None:
    """A second write within the same tick does not change the times."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    ctime_ns = stat_source(path).ctime_ns
    waits: list[float] = []

    def write_again(seconds: float) -> None:
        waits.append(seconds)
        path.write_bytes(b"second one")

    assert stat_when_stable(path, time_ns=lambda: ctime_ns + 1_000_000, pause=write_again).size == 10
    assert waits == [pytest.approx(0.019)]


@pytest.mark.parametrize(("age_s", "waits"), [(1.0, 0), (-5.0, 1), (0.001, 1), (-0.001, 1)])
def test_only_a_fresh_file_needs_the_wait(tmp_path: Path, age_s: float, waits: int) -> None:
    """Not an old file. The change time of one whose server clock is ahead shows no age."""
    path = tmp_path / "file"
    path.touch()
    paused: list[float] = []
    now_ns = stat_source(path).ctime_ns + round(age_s * 1e9)
    stat_when_stable(path, time_ns=lambda: now_ns, pause=paused.append)
    assert len(paused) == waits
    assert all(seconds <= 0.02 for seconds in paused)
