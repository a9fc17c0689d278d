"""One object, never a mixture: sources that are rewritten, touched, cut, replaced or gone, during and between runs."""

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
from obsup.local.source.file import stat_source, stat_when_stable
from obsup.local.state import checkpoint as checkpoints
from obsup.sandbox.sandbox import Sandbox
from tests.support.upload_rig import PART, Rig

PARTS = 6


@pytest.fixture
def rig(sandbox: Sandbox, make_file: Callable[..., Path]) -> Rig:
    """A source of six parts."""
    return Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))


@pytest.fixture
def begun(rig: Rig) -> Rig:
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
    """Carry out *change*, and set the modification time back."""
    before = rig.source.stat()
    change()
    os.utime(rig.source, ns=(before.st_atime_ns, before.st_mtime_ns))


def refused(rig: Rig, *words: str, **order: Any) -> ObsupError:
    """Run, and assert 65 with *words*, nothing published, and the upload kept."""
    with pytest.raises(SourceChanged) as caught:
        rig.run(**order)
    for word in words:
        assert word in str(caught.value)
    assert not rig.sandbox.object_path("bucket", rig.key).exists()
    assert len(rig.open_ids()) == 1
    return caught.value


# Between two runs.


def test_a_touched_source_is_compared_and_not_sent_again(begun: Rig) -> None:
    """The identity cannot vouch for what is stored; the MD5s can."""
    os.utime(begun.source)
    begun.run()
    assert begun.requests("part") == [4, 5, 6]
    assert begun.is_stored()


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_rewritten_source_is_refused_and_resent_where_asked(begun: Rig, jobs: int) -> None:
    """65 names what changed and where; resend sends only what differs."""
    write_at(begun, 2)
    error = refused(begun, "bigfile changed", "modification time", "part 2 differs")
    assert "--restart" in str(error.next_step)
    begun.run(on_change="resend", jobs=jobs)
    assert sorted(number or 0 for number in begun.requests("part")) == [2, 4, 5, 6]
    assert begun.is_stored()
    assert begun.open_ids() == []


def test_a_rewritten_part_that_was_not_sent_yet_is_no_mixture(begun: Rig) -> None:
    """What is stored is what the file says now; the rest is read now."""
    write_at(begun, 5)
    begun.run()
    assert begun.requests("part") == [4, 5, 6]
    assert begun.is_stored()


def test_an_edit_that_sets_the_modification_time_back_is_seen(begun: Rig) -> None:
    """Same size, same modification time: the change time tells, and the content decides."""
    keep_times(begun, lambda: write_at(begun, 1))
    refused(begun, "change time", "part 1 differs")


def test_another_file_under_the_same_name_is_seen(begun: Rig) -> None:
    """Same size, same times: the inode tells, and the content decides."""
    other = begun.source.with_name("other")
    other.write_bytes(begun.source.read_bytes())
    before = begun.source.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(begun.source)
    begun.run()
    assert begun.requests("part") == [4, 5, 6]
    assert begun.is_stored()


@pytest.mark.parametrize("part_number", [2, 5])
def test_only_verify_source_sees_an_edit_behind_a_forged_identity(rig: Rig, part_number: int) -> None:
    """Where even inode and change time are as recorded, the digest of the whole file tells, in whatever part."""
    rig.break_off("op=part,part=4", verify_source=True)
    write_at(rig, part_number)
    found = checkpoints.load(rig.checkpoint)
    assert found is not None
    checkpoints.save(rig.checkpoint, replace(found, stat=stat_source(rig.source)))
    refused(rig, "its content", verify_source=True)
    rig.run(verify_source=True, on_change="resend")
    assert rig.is_stored()


def test_verify_source_compares_what_is_stored_though_nothing_seems_to_have_changed(begun: Rig) -> None:
    """Without a digest of the whole file from the first run, the parts are compared."""
    write_at(begun, 2)
    found = checkpoints.load(begun.checkpoint)
    assert found is not None
    checkpoints.save(begun.checkpoint, replace(found, stat=stat_source(begun.source)))
    refused(begun, "part 2 differs", verify_source=True)


@pytest.mark.parametrize("size", [0, 1, 2 * PART, 2 * PART + 1, 9 * PART])
def test_a_source_of_another_size(begun: Rig, size: int) -> None:
    """65 names both sizes; resend makes the object the file as it is, from empty to larger."""
    os.truncate(begun.source, size)
    refused(begun, f"size {5 * PART + 50_000} → {size}")
    begun.run(on_change="resend")
    assert begun.is_stored()
    assert begun.open_ids() == []
    assert not set(begun.requests("part")) & {1, 2}.intersection(range(1, size // PART + 1))


def test_a_small_source_in_one_part_may_grow(sandbox: Sandbox, make_file: Callable[..., Path]) -> None:
    """Its part size was smaller than the store allows for two."""
    rig = Rig(sandbox, make_file(50_000), part_size=None)
    rig.break_off("op=complete", parts=1, part_size=None)
    os.truncate(rig.source, 300_000)
    rig.run(parts=1, part_size=None, on_change="resend")
    assert rig.is_stored()


def test_a_source_that_is_gone(begun: Rig) -> None:
    """66; the upload waits for it."""
    begun.source.rename(begun.source.with_name("away"))
    with pytest.raises(SourceUnreadable, match="No such file"):
        begun.run()
    begun.source.with_name("away").rename(begun.source)
    begun.run()
    assert begun.requests("part") == [4, 5, 6]


def test_restart_gives_the_old_upload_up(begun: Rig) -> None:
    """And only that, or abort, or gc, does."""
    write_at(begun, 2)
    begun.run(restart=True)
    assert sorted(number or 0 for number in begun.requests("part")) == [1, 2, 3, 4, 5, 6]
    assert begun.is_stored()
    assert begun.open_ids() == []


# While the upload runs.


def once_stored(number: int, act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that acts once, when part *number* is stored."""
    done: list[events.Event] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == number and not done:
            done.append(event)
            act()

    return hear


def test_a_write_during_the_upload_is_refused(rig: Rig) -> None:
    """What was stored stays; the same command then says which parts differ."""
    refused(rig, "modification time", hear=once_stored(3, lambda: write_at(rig, 2)))
    refused(rig, "part 2 differs")
    rig.run(on_change="resend")
    assert sorted(number or 0 for number in rig.requests("part")) == [2, 4, 5, 6]
    assert rig.is_stored()


def test_a_write_after_the_last_part_is_seen_before_complete(rig: Rig) -> None:
    """All is stored, and nothing is assembled of it."""
    refused(rig, "modification time", hear=once_stored(PARTS, lambda: write_at(rig, 2)))
    assert rig.requests("complete") == []
    assert len(rig.open_ids()) == 1


@pytest.mark.parametrize("part_number", [1, 3, 6])
@pytest.mark.parametrize("jobs", [1, 4])
def test_resend_sends_the_changed_parts_again_and_finishes(rig: Rig, part_number: int, jobs: int) -> None:
    """The object is the file as it stands at the end."""
    result = rig.run(on_change="resend", jobs=jobs, hear=once_stored(3, lambda: write_at(rig, part_number)))
    assert rig.is_stored()
    assert rig.open_ids() == []
    assert result.sent_parts <= PARTS + 1 + jobs


def test_a_file_that_never_rests_ends_in_65(rig: Rig) -> None:
    """After a few rounds, and nothing is published."""
    count = 0

    def write_again(event: events.Event) -> None:
        nonlocal count
        if isinstance(event, events.PartStored):
            count += 1
            write_at(rig, 1, str(count).encode() * 9)

    refused(rig, "modification time", on_change="resend", hear=write_again)
    assert 3 <= count <= 3 * PARTS


@pytest.mark.parametrize("on_change", ["fail", "resend"])
def test_a_chmod_during_the_upload_is_no_change(rig: Rig, on_change: str) -> None:
    """The change time alone moved: what is stored is compared, and nothing is sent twice."""
    rig.run(on_change=on_change, hear=once_stored(3, lambda: rig.source.chmod(0o400)))
    assert rig.is_stored()
    assert len(rig.requests("part")) <= PARTS + 1


def test_a_write_that_sets_the_modification_time_back_during_the_upload_is_refused(rig: Rig) -> None:
    """It looks like a chmod; the content says otherwise."""
    refused(
        rig,
        "change time",
        "part 1 differs",
        hear=once_stored(3, lambda: keep_times(rig, lambda: write_at(rig, 1))),
    )


@pytest.mark.parametrize("on_change", ["fail", "resend"])
def test_a_source_that_goes_away_during_the_upload(rig: Rig, on_change: str) -> None:
    """65, with the next step; put back, it is finished."""
    away = rig.source.with_name("away")
    error = refused(
        rig, "disappeared", on_change=on_change, hear=once_stored(3, lambda: rig.source.rename(away))
    )
    assert "put it back" in str(error.next_step)
    away.rename(rig.source)
    rig.run()
    assert rig.is_stored()


def test_a_source_that_shrinks_during_the_upload(rig: Rig) -> None:
    """A part that reads short is no part."""
    refused(rig, "size", hear=once_stored(3, lambda: os.truncate(rig.source, 4 * PART)))
    rig.run(on_change="resend")
    assert rig.is_stored()


def test_a_part_that_reads_short_is_refused(rig: Rig) -> None:
    """The file ends within the part while it is being sent: the store must not wait for bytes that never come."""
    rig.source.write_bytes(os.urandom(2 * 2**20))
    rig.part_size = 2**20 + 2**19  # more than one block

    def cut(event: events.Event) -> None:
        if isinstance(event, events.PartSent) and event.number == 1 and event.sent == 2**20:
            os.truncate(rig.source, 2**20 + 1)

    refused(rig, "became shorter", hear=cut)


# A single request.


class Meddler:
    """A clock that changes the source when it is read for the n-th time, as often as blocks are."""

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
    """A PutObject publishes at once, in the place of what was there: the old object stays.

    Once it is read, what is published is the file as it stood then.
    """
    rig = Rig(sandbox, make_file(4 * 2**20), part_size=None)
    first = rig.source.read_bytes()
    rig.run()
    meddler = Meddler(nth, lambda: rig.source.write_bytes(bytes(4 * 2**20)))
    assert rig.code(stop=StopSignal(deadline_s=1.0, monotonic=meddler)) == code
    assert sandbox.object_path("bucket", "key").read_bytes() == first
    assert len(rig.requests("put")) == (1 if code == 0 else 0)
    assert rig.source.read_bytes() != first
    rig.run(on_change="resend")
    assert rig.is_stored()


# The clock of the file system.


def test_a_file_is_looked_at_again_once_its_clock_has_ticked(tmp_path: Path) -> None:
    """A second write within the tick of the first leaves the same times behind."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    ctime_ns = stat_source(path).ctime_ns
    waits: list[float] = []

    def write_again(seconds: float) -> None:
        waits.append(seconds)
        path.write_bytes(b"second one")

    assert stat_when_stable(path, time_ns=lambda: ctime_ns + 1_000_000, pause=write_again).size == 10
    assert waits == [pytest.approx(0.019)]


@pytest.mark.parametrize(("age_s", "waits"), [(1.0, 0), (-5.0, 0), (0.001, 1), (-0.001, 1)])
def test_only_a_fresh_file_is_waited_for(tmp_path: Path, age_s: float, waits: int) -> None:
    """Nor is a server whose clock is ahead of ours."""
    path = tmp_path / "file"
    path.touch()
    paused: list[float] = []
    now_ns = stat_source(path).ctime_ns + round(age_s * 1e9)
    stat_when_stable(path, time_ns=lambda: now_ns, pause=paused.append)
    assert len(paused) == waits
    assert all(seconds <= 0.02 for seconds in paused)
