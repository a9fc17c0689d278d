"""Python processes on this machine that run calls.

Not those of ``multiprocessing``: they import from the current directory first, and print their errors.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from obsup.local.platform.processes import WORKER_OPTIONS
from obsup.local.platform.signals import block_terminal_signals
from obsup.local.processes.interpreter import import_path, worker_command
from obsup.local.processes.worker import NO_THREAD

T = TypeVar("T")
A = TypeVar("A")


class ProcessPool:
    """Python processes on this machine. Each starts when a call needs it, and is replaced if it died.

    A thread per process sends it one call at a time. A call whose process died fails with BrokenExecutor. *prepare* is
    a call, and its argument, that each process runs first; what it raises is the failure of the call that follows.
    """

    def __init__(self, size: int, prepare: tuple[Callable[[A], object], A] | None = None) -> None:
        self.size = size
        self._prepare = pickle.dumps(prepare) if prepare is not None else None
        self._command = worker_command()
        self._calls: SimpleQueue[tuple[Future[Any], bytes] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._processes: set[_WorkerProcess] = set()
        self._state: int | None = None
        self._is_closed = False

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """Run *call* with *argument* in a process. Raises BrokenExecutor if none can be started."""
        future: Future[T] = Future()
        message = pickle.dumps((call, argument))
        with self._lock:
            if self._is_closed:
                raise BrokenExecutor("the workers are closed")
            if len(self._threads) < self.size:
                self._start_thread()
            self._calls.put((future, message))
        return future

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name="worker-process", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # a limit of this process: the threads that run already do the work
            if not self._threads:
                raise BrokenExecutor("no thread can be started") from exc
        else:
            self._threads.append(thread)

    def set_state(self, state: int) -> None:
        """Send *state* to all processes, and to those that start later: see ``listen``."""
        with self._lock:
            if state == self._state:
                return
            self._state = state
            for process in self._processes:
                with contextlib.suppress(OSError):  # it died; its thread handles that
                    process.send(state)

    def close(self, *, wait: bool) -> None:
        """End the processes; wait for running calls only if *wait*. Calls that no process runs are cancelled."""
        with self._lock:
            self._is_closed = True
        with contextlib.suppress(Empty):
            while (item := self._calls.get_nowait()) is not None:
                item[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        """Run calls in one process after the other until the backend is closed."""
        block_terminal_signals()  # the driver receives them and stops its processes in order
        process: _WorkerProcess | None = None
        while (item := self._calls.get()) is not None:
            future, message = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                process = process or self._start_process()
                process.send(message)
                reply = process.receive()
            except (OSError, EOFError, pickle.UnpicklingError) as exc:
                failure = BrokenExecutor("a worker process died")
                failure.__cause__ = exc
                if self._end(process) == NO_THREAD or isinstance(exc, BlockingIOError):
                    failure.__cause__ = RuntimeError("can't start new thread")
                process = None
                future.set_exception(failure)
            except Exception as exc:  # noqa: BLE001 - what *prepare* raised
                future.set_exception(exc)
            else:
                _complete(future, reply)
        self._end(process)

    def _start_process(self) -> _WorkerProcess:
        process = _WorkerProcess(self._command)
        with self._lock:
            self._processes.add(process)
            if self._state is not None:
                with contextlib.suppress(OSError):
                    process.send(self._state)
        if self._prepare is not None:
            process.send(self._prepare)
            failure = pickle.loads(process.receive())[1]
            if failure is not None:
                self._end(process)
                raise failure
        return process

    def _end(self, process: _WorkerProcess | None) -> int | None:
        """End *process*, and return its exit code; None without a process."""
        if process is None:
            return None
        with self._lock:
            self._processes.discard(process)
        return process.end()


class _WorkerProcess:
    """One process that runs ``serve_calls``. Messages in both directions are pickled.

    Its standard error is discarded, because errors are results of calls and the driver reports them.
    """

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **WORKER_OPTIONS,
        )
        self._lock = threading.Lock()
        try:
            self.send(import_path())
        except OSError:
            self.end()
            raise

    def send(self, message: object) -> None:
        """Send a pickled call, or a state. Raises OSError."""
        assert self._process.stdin is not None
        with self._lock:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def receive(self) -> bytes:
        """Return the next reply. Raises EOFError, UnpicklingError or OSError if the process ended."""
        assert self._process.stdout is not None
        reply: bytes = pickle.load(self._process.stdout)
        return reply

    def end(self) -> int:
        """Make the process end, wait for that, and return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # what was not sent to a dead process
            self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()


def _complete(future: Future[Any], reply: bytes) -> None:
    try:
        result, failure = pickle.loads(reply)
    except Exception as exc:  # noqa: BLE001 - a result of another version can fail in any way
        result, failure = None, exc
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
