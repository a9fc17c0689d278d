"""The identity of the source file: size, times, device and inode, and whether they are still the planned ones."""

from __future__ import annotations

import errno
import io
import os
import stat as stat_module
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from obsup.errors import (
    NO_DESCRIPTOR,
    NextStep,
    SourceChanged,
    SourceTouched,
    SourceUnreadable,
    run_again,
    too_many_files,
)
from obsup.local.files.existing import exists, is_file
from obsup.local.platform.files import NO_WAIT, explain, open_file, stat_open
from obsup.local.platform.link_free import stat_link_free
from obsup.local.platform.paths import HAS_POSIX_TOOLS
from obsup.model import SourceStat
from obsup.text import operand, quoted, shell_word

T = TypeVar("T")

# How often something is tried with a source that changes during that.
MAX_ROUNDS = 3

# The modification time of an identity whose times are not compared. No file has it.
_ANY_TIME_NS = -(2**63)

RESTART = run_again("upload the file as it is now", add=("--restart",))


def stat_source(path: Path, link_free: int = 0) -> SourceStat:
    """Return the identity of the regular file at *path*. Raises SourceUnreadable.

    The last *link_free* names of its path must not be symbolic links. Who opens the file by its path must compare it
    with this identity.
    """
    try:
        found = stat_link_free(str(path), link_free)
    except OSError as exc:
        if link_free and exc.errno in (errno.ELOOP, errno.ENOTDIR):
            raise SourceUnreadable(
                f"{quoted(path)} cannot be read without following a symbolic link",
                "Since the walk, a link has replaced the file or a directory in its path; --links does not follow it",
                run_again("check who can write to this directory"),
            ) from exc
        raise SourceUnreadable(
            f"cannot read {quoted(path)}", explain(exc), NextStep("check the path")
        ) from exc
    if stat_module.S_ISDIR(found.st_mode):
        raise SourceUnreadable(
            f"{quoted(path)} is a directory",
            "Only a regular file can be read in parts",
            NextStep(
                "name a file, or upload all files of the directory",
                command=("obsup", "upload", "-r", operand(path), "BUCKET/PREFIX/"),
            ),
        )
    if not stat_module.S_ISREG(found.st_mode):
        raise SourceUnreadable(
            f"{quoted(path)} is not a regular file",
            "Parts of it cannot be read at an offset",
            _pipe_it_in(path),
        )
    return identity(found)


def identity(found: os.stat_result) -> SourceStat:
    """Return the fields of *found* that change if the file changes."""
    return SourceStat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino)


def stat_when_stable(
    path: Path,
    link_free: int = 0,
    *,
    time_ns: Callable[[], int] = time.time_ns,
    pause: Callable[[float], object] = time.sleep,
) -> SourceStat:
    """Return the identity of the file, taken so long after its last change that another change would show.

    Within one tick of the file system's clock, a second write does not change the times. Waits at most 20 ms, or 2 s on
    a file system that stores whole seconds. Raises SourceUnreadable.
    """
    found = stat_source(path, link_free)
    return stat_source(path, link_free) if waited_for_clock(found, time_ns=time_ns, pause=pause) else found


def waited_for_clock(
    stat: SourceStat,
    *,
    time_ns: Callable[[], int] = time.time_ns,
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """Wait until another change of the file would show, as ``stat_when_stable``; return whether that took any time."""
    now_ns = time_ns()
    if is_stable(stat, now_ns):
        return False
    tick_ns = _timestamp_resolution_ns(stat)
    pause(min(tick_ns - (now_ns - stat.ctime_ns), tick_ns) / 1e9)
    return True


def is_stable(stat: SourceStat, now_ns: int) -> bool:
    """Return whether the last change of the file is so old that another change would show."""
    tick_ns = _timestamp_resolution_ns(stat)
    return now_ns - stat.ctime_ns >= tick_ns


def _timestamp_resolution_ns(stat: SourceStat) -> int:
    """Return the longest tick of the file system's clock: 20 ms, or 2 s if it stores whole seconds."""
    return 20_000_000 if stat.ctime_ns % 1_000_000_000 else 2_000_000_000


def open_source(path: Path) -> io.FileIO:
    """Open the file for reading, without waiting for a writer if a pipe has taken its place. Raises OSError."""
    return open(path, "rb", buffering=0, opener=_open_without_waiting)


def _open_without_waiting(path: str, flags: int) -> int:
    try:
        return open_file(path, flags | NO_WAIT)
    except BlockingIOError:  # a file server holds a lease on the file: wait until it is released
        return open_file(path, flags)


def open_planned(path: Path, planned: SourceStat) -> io.FileIO:
    """Open the file, and check that what was opened has the identity *planned*. Raises SourceChanged, OSError."""
    try:
        file = open_source(path)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE):
            raise
        raise _disappeared(path, os.strerror(exc.errno)) from exc
    try:
        check_identity(path, planned, identity(stat_open(file.fileno())))
    except BaseException:
        file.close()
        raise
    return file


def check_stated_size(path: Path, file: io.FileIO, size: int) -> None:
    """Raise SourceUnreadable if the open file ends before or after its stated *size*, as files in /proc and /sys do.

    It moves the position of *file*. Raises OSError.
    """
    before_end = max(0, size - 1)
    file.seek(before_end)
    extra = len(file.read(size - before_end + 1) or b"") - (size - before_end)
    if extra and stat_open(file.fileno()).st_size == size:
        raise SourceUnreadable(
            f"{quoted(path)} has {'more' if extra > 0 else 'fewer'} bytes than its size of {size}",
            "Its file system does not state the true size, as in /proc and /sys",
            _pipe_it_in(path),
        )


def _pipe_it_in(path: Path) -> NextStep:
    if not HAS_POSIX_TOOLS:  # "type" does not keep every byte in a pipe
        return NextStep("use a copy of it")
    return NextStep(
        f"use a copy of it, or pipe it in: cat {shell_word(str(path))} | obsup upload - BUCKET/KEY"
    )


def check_readable(path: Path) -> None:
    """Raise SourceUnreadable if *path* cannot be opened for reading, or has more or fewer bytes than it states."""
    try:
        with open_source(path) as file:
            check_stated_size(path, file, stat_open(file.fileno()).st_size)
    except OSError as exc:
        if exc.errno in NO_DESCRIPTOR:
            raise too_many_files(f"cannot read {quoted(path)}") from exc
        raise unreadable(path, exc) from exc


def unreadable(path: Path | str, why: OSError | ValueError | str) -> SourceUnreadable:
    """Return the error for a source that cannot be read; a ValueError is that of a name that no file can have."""
    if isinstance(why, ValueError):
        why = OSError(errno.EINVAL, "")
    return SourceUnreadable(
        f"cannot read {quoted(Path(path))}",
        explain(why) if isinstance(why, OSError) else why,
        NextStep("check the path and its permissions"),
    )


def check_uploaded(path: Path, link_free: int = 0) -> None:
    """Raise SourceUnreadable as ``check_readable``, with what helps a command that does not upload the file."""
    try:
        stat_source(path, link_free)
        check_readable(path)
    except SourceUnreadable as exc:
        if is_file(path) or not exists(path):
            raise
        raise SourceUnreadable(exc.what, exc.why, NextStep("name the file that was uploaded")) from exc


def ignore_times(stat: SourceStat) -> SourceStat:
    """Return the identity *stat*, as which every file counts that differs from it only in its times.

    What is read as such a file must be compared with another reading, because it may be a mixture.
    """
    return replace(stat, mtime_ns=_ANY_TIME_NS, ctime_ns=_ANY_TIME_NS)


def ignores_times(stat: SourceStat) -> bool:
    """Return whether *stat* is from ``ignore_times``."""
    return stat.mtime_ns == _ANY_TIME_NS


def differs_in_times(planned: SourceStat, seen: SourceStat) -> bool:
    """Return whether both are one file of the same size, with other times."""
    return planned != seen and ignore_times(planned) == ignore_times(seen)


def until_untouched(path: Path, work: Callable[[SourceStat], T], link_free: int = 0) -> T:
    """Return the result of *work*, called with the identity of the file; again if only its times change during that.

    The last time, they are ignored: see ``ignore_times``. *link_free* is as for ``stat_source``.
    """
    for _ in range(MAX_ROUNDS - 1):
        try:
            return work(stat_when_stable(path, link_free))
        except SourceTouched:
            continue
    return work(ignore_times(stat_source(path, link_free)))


def changes(before: SourceStat, now: SourceStat) -> list[str]:
    """Return the differences between two identities in words; empty if there are none."""
    found = []
    if before.size != now.size:
        found.append(f"size {before.size} → {now.size}")
    if not ignores_times(before):
        if before.mtime_ns != now.mtime_ns:
            found.append("modification time")
        elif before.ctime_ns != now.ctime_ns:
            found.append("change time")
    if (before.device, before.inode) != (now.device, now.inode):
        found.append("it is another file")
    return found


def check_unchanged(path: Path, before: SourceStat) -> None:
    """Raise SourceChanged if the file at *path* is not the one that *before* describes."""
    try:
        now = stat_source(path)
    except SourceUnreadable as exc:
        raise _disappeared(path, exc.why) from exc
    check_identity(path, before, now)


def _disappeared(path: Path, why: str) -> SourceChanged:
    return SourceChanged(f"{quoted(path)} disappeared during the upload", why, run_again("put it back"))


def content_changed(path: Path, *, since: str = "hashed at the start") -> SourceChanged:
    """Return the error for a file whose content has changed *since*, although its identity is the same."""
    return SourceChanged(
        f"{quoted(path)} changed while it was uploaded",
        f"Its content is not the one that was {since}, although its size and modification time are the same",
        RESTART,
    )


def check_identity(path: Path, planned: SourceStat, now: SourceStat) -> None:
    """Raise SourceChanged if the file has the identity *now*, not *planned*; SourceTouched if only its times differ."""
    found = changes(planned, now)
    if found and not os.path.lexists(path):  # it was moved, which changes only its times
        raise _disappeared(path, os.strerror(errno.ENOENT))
    if found:
        raise (SourceTouched if differs_in_times(planned, now) else SourceChanged)(
            f"{quoted(path)} changed since the upload began",
            f"What changed: {', '.join(found)}; an object must not mix two versions of its source",
            RESTART,
        )


def is_same_file(planned: SourceStat, seen: SourceStat) -> bool:
    """Return whether both are certainly one file: everything is equal, or all except the number of the device.

    No program can set the change time, but if it has whole seconds only, two files may have the same.
    """
    is_exact = planned.ctime_ns % 1_000_000_000 != 0
    return planned == (replace(seen, device=planned.device) if is_exact else seen)


def check_same_file(path: Path, planned: SourceStat, seen: SourceStat) -> None:
    """Raise SourceChanged if this host does not see the file that was planned.

    Hosts number their devices differently, and network file systems may differ in inodes and change times. So under
    another device number only size and modification time are compared; if ``is_same_file`` is false, the content must
    be compared as well.
    """
    compared = planned
    if planned.device != seen.device:
        compared = replace(planned, device=seen.device, inode=seen.inode, ctime_ns=seen.ctime_ns)
    found = changes(compared, seen)
    if found:
        raise (SourceTouched if differs_in_times(planned, seen) else SourceChanged)(
            f"{quoted(path)} is not the file that the upload began with",
            f"What differs: {', '.join(found)}; an object must not mix two versions of its source",
            run_again(
                "keep the source on storage that every worker sees; if the file changed, start over",
                add=("--restart",),
            ),
        )
