"""Worker backends outside this process: local processes, Dask, MPI. Each wraps a ``concurrent.futures.Executor``.

Whatever is submitted is pickled, so it must not hold a secret.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, Protocol, TypeVar

from obsup.engine.job.executor_spec import check_spec
from obsup.errors import NextStep, NotFinished, WrongUsage, run_again

T = TypeVar("T")
A = TypeVar("A")


class WorkerBackend(Protocol):
    """An executor whose workers are other processes; *size* calls run at once.

    ``is_local``: they run on this machine, and see the same files.
    ``can_cancel``: the futures distinguish a call that has not started from a running one, and cancel only the former.
    """

    size: int
    is_local: bool
    can_cancel: bool

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """Run *call* with *argument* in a worker. Raises BrokenExecutor if all workers are lost."""
        ...

    def restart(self) -> None:
        """Start new workers after one died and broke the pool."""
        ...

    def close(self, *, wait: bool) -> None:
        """Release the workers; wait for running calls only if *wait*."""
        ...


class ProcessBackend:
    """Processes on this machine. They are spawned, so that they inherit no lock that a thread holds."""

    is_local = True
    can_cancel = True

    def __init__(self, size: int, *, open_pool: Callable[[int], Executor] | None = None) -> None:
        self.size = size
        self._open_pool = open_pool or _spawn_processes
        self._executor = self._open_pool(size)
        self._broken: list[Executor] = []

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        with safe_import_path():  # the first calls start the processes
            return self._executor.submit(call, argument)

    def restart(self) -> None:
        """See WorkerBackend."""
        # Keep the broken executor until close(). This may run in its own thread, under its lock; shutting it down
        # takes that lock again, and from CPython 3.12 on so does deleting it.
        self._broken.append(self._executor)
        self._executor = self._open_pool(self.size)

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        for executor in (*self._broken, self._executor):
            executor.shutdown(wait=wait, cancel_futures=True)
        self._broken.clear()


def _spawn_processes(size: int) -> Executor:
    with safe_import_path():
        return ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=end_with_parent)


_SAFE_PATH, _SAFE_PATH_OF_WORKER = "PYTHONSAFEPATH", "obsup-worker"
_safe_path_lock = threading.Lock()
_safe_path_users = 0


@contextmanager
def safe_import_path() -> Iterator[None]:
    """Keep Python processes that are started inside from importing from the current directory. Thread-safe.

    A spawned process runs ``python -c``, which would search the current directory before the standard library.
    """
    global _safe_path_users
    if os.environ.get(_SAFE_PATH, _SAFE_PATH_OF_WORKER) != _SAFE_PATH_OF_WORKER:
        yield  # set by the user
        return
    with _safe_path_lock:
        _safe_path_users += 1
        os.environ[_SAFE_PATH] = _SAFE_PATH_OF_WORKER
    try:
        yield
    finally:
        with _safe_path_lock:
            _safe_path_users -= 1
            if not _safe_path_users:
                del os.environ[_SAFE_PATH]


def end_with_parent() -> None:
    """Ignore SIGINT, which the driver handles, and exit when the driver does, even if it is killed."""
    if os.environ.get(_SAFE_PATH) == _SAFE_PATH_OF_WORKER:
        del os.environ[_SAFE_PATH]  # not meant for programs that this process starts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = parent_process()
    if driver is None:
        return

    def watch() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


class DaskBackend:
    """The workers of a Dask cluster. If one dies, the scheduler itself assigns its parts to another."""

    is_local = False
    can_cancel = False

    def __init__(self, address: str, timeout_s: float) -> None:
        from distributed import Client

        try:
            self._client: Any = Client(address, timeout=timeout_s, set_as_default=False)
        except (OSError, ValueError) as exc:
            raise NotFinished(
                f"the Dask scheduler at {address} does not respond",
                str(exc) or type(exc).__name__,
                run_again("check the address, or start the scheduler with: dask scheduler"),
            ) from exc
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self.size = sum(worker["nthreads"] for worker in workers)
        if not self.size:
            self._client.close()
            raise NotFinished(
                f"the Dask scheduler at {address} has no workers",
                "Only workers send parts",
                run_again(f"start them with: dask worker {address}"),
            )
        # pure: Dask treats two calls with equal arguments as one.
        self._executor = self._client.get_executor(pure=False)

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        future: Future[T] = self._executor.submit(call, argument)
        return future

    def restart(self) -> None:
        """Do nothing: the scheduler replaces its workers."""

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        self._executor.shutdown(wait=wait)
        self._client.close()


class MpiBackend:
    """The ranks of an MPI job, except the driver's."""

    is_local = False
    can_cancel = True

    def __init__(self) -> None:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor

        world = MPI.COMM_WORLD
        # Under mpi4py.futures only the first rank runs the driver; the others are workers.
        if world.Get_size() < 2 or world.Get_rank() != 0:
            raise WrongUsage(
                "no MPI workers found",
                "obsup was started without mpi4py.futures, or with a single process",
                NextStep(
                    "start it with: mpiexec -n 5 python3 -m mpi4py.futures -m obsup upload … --executor mpi"
                ),
            )
        self._executor: Any = MPIPoolExecutor()
        self.size = world.Get_size() - 1

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        future: Future[T] = self._executor.submit(call, argument)
        return future

    def restart(self) -> None:
        """Do nothing: an MPI job ends when one of its processes dies."""

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        self._executor.shutdown(wait=wait, cancel_futures=True)


def open_backend(spec: str, jobs: int, *, timeout_s: float) -> WorkerBackend:
    """Return the workers that *spec* names: processes (*jobs* of them), dask:ADDRESS or mpi.

    A Dask scheduler must respond within *timeout_s* seconds. Raises WrongUsage without MPI workers,
    NotFinished if the scheduler does not respond, and as ``check_spec`` does.
    """
    check_spec(spec)
    if spec == "processes":
        return ProcessBackend(jobs)
    return MpiBackend() if spec == "mpi" else DaskBackend(spec.partition(":")[2], timeout_s)
