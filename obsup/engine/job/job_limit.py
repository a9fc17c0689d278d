"""How many parts this process can have in flight: the limits of open files, of threads and of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.file_plan import MAX_JOBS
from obsup.local.platform.processes import available_memory, count_limits, total_memory
from obsup.units import KIB, MIB

# A part in flight has a connection and the source open; the rest of the process has its own.
FILES_PER_JOB, OTHER_FILES = 2, 32
# A large file of a batch has its lock, a connection for its own requests, and its checkpoint.
FILES_PER_LARGE_FILE = 4
OTHER_THREADS = 16
# The buffer and the stack of a thread; an interpreter.
THREAD_BYTES, PROCESS_BYTES = MIB + 256 * KIB, 64 * MIB
_ROOT = Path("/")


def within_limits(
    request: UploadRequest, observe: events.Observer, *, bytes_per_job: int = THREAD_BYTES, root: Path = _ROOT
) -> UploadRequest:
    """Return *request* with no more parts in flight than this process can have; a note names the limit.

    ``auto`` becomes a number, without a note, if it could exceed the limit. *bytes_per_job* is the memory of a part in
    flight, *root* the directory that has ``proc`` and ``sys``.
    """
    if request.executor not in ("threads", "processes"):
        return request
    memory = PROCESS_BYTES if request.executor == "processes" else bytes_per_job
    most, name = min(_limits(memory, root), default=(request.initial_jobs, ""))
    if request.max_jobs <= most:
        return request
    if request.jobs != "auto":
        observe(events.Noted(f"{request.jobs} parts cannot be in flight at once: {name} allows {most}"))
    return replace(request, jobs=most)


def large_files_within_limits(most: int, jobs: int) -> int:
    """Return how many of *most* large files can be uploaded at once, at least 1, while *jobs* parts are in flight."""
    left = [
        (count - OTHER_FILES - FILES_PER_JOB * jobs) // FILES_PER_LARGE_FILE
        for option, count in count_limits()
        if option == "n"
    ]
    return max(1, min([most, *left]))


def _limits(bytes_per_job: int, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of jobs that each limit allows, at least 1, with its name."""
    for option, count in count_limits():
        if option == "n":
            yield (
                max(1, (count - OTHER_FILES) // FILES_PER_JOB),
                f"the limit of open files (ulimit -n {count})",
            )
        else:
            yield max(1, count - OTHER_THREADS), f"the limit of threads (ulimit -u {count})"
    processes = _number(root / "sys/fs/cgroup/pids.max")
    if processes is not None:
        free = processes - (_number(root / "sys/fs/cgroup/pids.current") or 0) - OTHER_THREADS
        yield max(1, free), f"the limit of threads (pids.max {processes})"
    memory = _available_memory(root)
    if memory is not None:
        least = MAX_JOBS if bytes_per_job <= PROCESS_BYTES else 1  # large parts of a stream
        yield max(least, memory // 2 // bytes_per_job), f"half of the free memory ({memory // MIB} MiB)"


def memory_size(root: Path = _ROOT) -> int | None:
    """Return the most memory that this process can have, in bytes; None if it is unknown."""
    found = (total_memory(), _number(root / "sys/fs/cgroup/memory.max"))
    return min((size for size in found if size is not None), default=None)


def _available_memory(root: Path) -> int | None:
    """Return the free memory in bytes, that of the control group if it has less; None if it is unknown."""
    found = [] if (free := available_memory()) is None else [free]
    most, used = (_number(root / f"sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if most is not None and used is not None:
        cached = _field(root / "sys/fs/cgroup/memory.stat", "inactive_file") or 0
        found.append(max(0, most - used + cached))
    free_kib = _field(root / "proc/meminfo", "MemAvailable:")
    if free_kib is not None:
        found.append(free_kib * KIB)
    return min(found, default=None)


def _field(path: Path, name: str) -> int | None:
    """Return the number after *name* in a file with a name and a number per line; None without it."""
    lines = (line.split() for line in _text(path).splitlines())
    return next((int(words[1]) for words in lines if words[:1] == [name]), None)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None  # "max": no limit


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
