"""Child processes that end with this process, how they are started, limits, threads, and calls that may not return."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

T = TypeVar("T")

if sys.platform == "win32":
    import msvcrt
    import time

    from obsup.local.platform import windows_api
    from obsup.local.platform.signals import TERMINATE

    # CREATE_NEW_PROCESS_GROUP: Ctrl-C of the console reaches this process only, which stops its workers in order.
    WORKER_OPTIONS: dict[str, Any] = {"creationflags": 0x200}

    class ChildProcess:
        """A command, the ``process``, whose ``output`` is read. All processes that it starts end with this process.

        Ctrl-C and Ctrl-Break of the console reach them as well. Raises OSError, ValueError if it cannot be started.
        """

        def __init__(self, command: Sequence[str], pipe_bytes: int) -> None:
            import _winapi
            import subprocess

            read_handle, write_handle = _winapi.CreatePipe(None, pipe_bytes)
            self.output = msvcrt.open_osfhandle(read_handle, os.O_RDONLY | os.O_NOINHERIT)
            write_end = msvcrt.open_osfhandle(write_handle, os.O_NOINHERIT)
            try:
                self.process = subprocess.Popen(command, stdout=write_end)
            except BaseException:
                os.close(self.output)
                raise
            finally:
                os.close(write_end)
            self._job = windows_api.Job(int(self.process._handle))  # type: ignore[attr-defined]
            self._is_open = True

        def forward(self, number: int) -> None:
            """End the processes if *number* is TERMINATE or KILL; the console sends the others itself."""
            if number == TERMINATE and not self._job.terminate():
                with contextlib.suppress(OSError):
                    self.process.kill()

        def exit_code(self) -> int | None:
            """Return the exit code, or None while the command runs."""
            return self.process.poll()

        def ended_how(self, code: int) -> str:
            """Return *code* in words."""
            return f"exited with {code if code < 2**31 else hex(code)}"

        def close_output(self) -> None:
            """Close the output."""
            if self._is_open:
                self._is_open = False
                os.close(self.output)

    def split_command(text: str) -> list[str]:
        """Return the words of a command, as a program of Windows would. Raises ValueError, OSError."""
        return windows_api.split_command_line(text) if text.strip() else []

    def available_memory() -> int | None:
        """Return the free memory in bytes, None if it is read from the files of the system."""
        with contextlib.suppress(OSError):
            return windows_api.memory()[1]
        return None

    def total_memory() -> int | None:
        """Return the memory of this computer in bytes, None if it is unknown."""
        with contextlib.suppress(OSError):
            return windows_api.memory()[0]
        return None

    def check_thread_room() -> None:
        """Do nothing: Windows has no limit of the addresses of a process."""

    def count_limits() -> Iterator[tuple[str, int]]:
        """Yield the limits of open files and of threads: Windows has none that matter here."""
        return iter(())

    def replace_process(command: list[str]) -> int:
        """Run *command* instead of this process, as far as Windows can do that; return its exit code."""
        import subprocess

        process = subprocess.Popen(command)
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # it has received Ctrl-C as well
                while process.poll() is None:
                    time.sleep(0.05)
                return process.returncode

else:
    import shlex

    # What a thread and the rest of an upload need, besides the stack of the thread.
    _THREAD_ROOM = 16 << 20
    _USUAL_STACK = 8 << 20
    _M_ARENA_MAX = -8  # malloc.h of glibc
    WORKER_OPTIONS: dict[str, Any] = {}

    class ChildProcess:
        """A command, the ``process``, whose ``output`` is read; other streams are those of this process.

        If this process has a terminal, the command is in the same process group: it can ask for a password, and Ctrl-C
        reaches both. Otherwise it leads a new process group, so that signals reach its children too. Raises OSError,
        ValueError if it cannot be started.
        """

        def __init__(self, command: Sequence[str], _pipe_bytes: int) -> None:
            import subprocess  # an upload without a command does not load it

            self._has_group = not _has_terminal()
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                bufsize=0,
                process_group=0 if self._has_group else None,
            )
            assert self.process.stdout is not None
            self._pipe = self.process.stdout
            self.output = self._pipe.fileno()

        def forward(self, number: int) -> None:
            """Send a signal to the command and its children, unless the terminal already sent it to them."""
            with contextlib.suppress(ProcessLookupError):
                if self._has_group:
                    os.killpg(self.process.pid, number)
                elif number != signal.SIGINT:
                    os.kill(self.process.pid, number)

        def exit_code(self) -> int | None:
            """Return the exit code, or None while the command runs.

            This does not reap the process: until it is reaped, its number and that of its group cannot be reused.
            """
            if self.process.returncode is not None or not hasattr(os, "waitid"):
                return self.process.poll()
            status = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is None:
                return None
            number: int = status.si_status
            return number if status.si_code == os.CLD_EXITED else -number

        def ended_how(self, code: int) -> str:
            """Return *code* in words."""
            return f"exited with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"

        def close_output(self) -> None:
            """Close the output."""
            self._pipe.close()

    def _has_terminal() -> bool:
        """Return whether this process is in the foreground of a terminal, so that the command can use it."""
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return False
        finally:
            os.close(terminal)

    def split_command(text: str) -> list[str]:
        """Return the words of a command, as a shell splits it. Raises ValueError."""
        return shlex.split(text)

    def available_memory() -> int | None:
        """Return the free memory in bytes, None if it is read from the files of the system."""
        return None

    def total_memory() -> int | None:
        """Return the memory of this computer in bytes, or the limit of ``ulimit -v``; None if they are unknown."""
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        size: int | None = None
        with contextlib.suppress(OSError, ValueError):
            size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if limit == resource.RLIM_INFINITY:
            return size
        return limit if size is None else min(limit, size)

    def check_thread_room() -> None:
        """Raise RuntimeError, as Python does, if ``ulimit -v`` leaves no room for another thread and the other work.

        A thread that starts without it may end at once, while others wait for it.
        """
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return
        _use_one_arena()
        stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
        needed = _THREAD_ROOM + (_USUAL_STACK if stack == resource.RLIM_INFINITY else stack)
        with contextlib.suppress(OSError):  # only Linux has this file
            pages = int(Path("/proc/self/statm").read_bytes().split()[0])
            if limit - pages * resource.getpagesize() < needed:
                raise RuntimeError("can't start new thread")

    @cache
    def _use_one_arena() -> None:
        """Make all threads allocate from one arena: glibc reserves 64 MiB of the address space for that of each."""
        with contextlib.suppress(ImportError, OSError, AttributeError):  # other C libraries have no mallopt
            import ctypes

            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)

    def count_limits() -> Iterator[tuple[str, int]]:
        """Yield the limits of open files and of threads that this process has, by the option of ``ulimit``."""
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            yield "n", files
        threads, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        if threads != resource.RLIM_INFINITY and os.geteuid() != 0:
            yield "u", threads

    def replace_process(command: list[str]) -> int:
        """Run *command* instead of this process; this does not return."""
        os.execv(command[0], command)


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_thread(thread: threading.Thread) -> None:
    """Start *thread*. Raises RuntimeError if a limit of this process prevents it."""
    check_thread_room()
    thread.start()


def call_within(timeout_s: float, function: Callable[[], T]) -> T:
    """Return what *function* returns. Raises what it raises, and TimeoutError if it does not return in time.

    It then continues in a thread that does not keep the process alive. Without threads, the time is not limited.
    """
    outcome: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def call() -> None:
        try:
            outcome.put((function(), None))
        except Exception as exc:  # noqa: BLE001 - raised in the calling thread
            outcome.put((None, exc))

    try:
        start_thread(threading.Thread(target=call, name="call", daemon=True))
    except RuntimeError:
        return function()
    try:
        value, error = outcome.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    if error is not None:
        raise error
    return cast(T, value)
