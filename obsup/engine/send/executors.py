"""Where parts are sent from: the seam is concurrent.futures.Executor.

Threads and the inline executor share this process. Processes, Dask and MPI do not: what goes there must travel.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, Protocol, TypeVar

from obsup.engine.job.executor_spec import check_spec
from obsup.errors import NotFinished, WrongUsage

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")


class InlineExecutor(Executor):
    """Runs each call at once, in the caller's thread: for debuggers and for the smallest machines."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* now and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - a future carries whatever its call raised
            future.set_exception(exc)
        return future


class WorkerBackend(Protocol):
    """An executor whose workers are other processes, here or elsewhere: *size* calls run at once.

    ``can_cancel``: its futures tell a call that nobody has begun from one under way, and only that is cancelled.
    """

    size: int
    can_cancel: bool

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """Have a worker call *call* with *argument*. Raises BrokenExecutor where there are no workers any more."""
        ...

    def renew(self) -> None:
        """Make new workers where all are gone because one died."""
        ...

    def close(self, *, wait: bool) -> None:
        """Let the workers go; where not *wait*, without waiting for what they do."""
        ...


class Processes:
    """Processes on this machine, started afresh so that no lock of ours is copied into them."""

    can_cancel = True

    def __init__(self, size: int) -> None:
        self.size = size
        self._executor = self._start()
        self._broken: list[Executor] = []

    def _start(self) -> Executor:
        # Here, and not above: every upload would wait for what only --executor processes needs.
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        return ProcessPoolExecutor(self.size, mp_context=get_context("spawn"), initializer=end_with_parent)

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        return self._executor.submit(call, argument)

    def renew(self) -> None:
        """See WorkerBackend."""
        # The broken one ends by itself, and its thread may be the one that calls here, under its lock: to shut it down
        # takes that lock, and from CPython 3.12 on so does letting go of it.
        self._broken.append(self._executor)
        self._executor = self._start()

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        for executor in (*self._broken, self._executor):
            executor.shutdown(wait=wait, cancel_futures=True)
        self._broken.clear()


def end_with_parent() -> None:
    """Leave signals from the terminal to the driver, and end when it ends, were it by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        driver = parent

        def watch() -> None:
            driver.join()
            os._exit(1)

        threading.Thread(target=watch, name="watch-parent", daemon=True).start()


class Dask:
    """The workers of a Dask cluster. When one dies, Dask itself gives its parts to another."""

    can_cancel = False

    def __init__(self, address: str, timeout_s: float) -> None:
        from distributed import Client

        try:
            self._client: Any = Client(address, timeout=timeout_s, set_as_default=False)
        except (OSError, ValueError) as exc:
            raise NotFinished(
                f"the Dask scheduler at {address} does not answer",
                str(exc) or type(exc).__name__,
                "start it with: dask scheduler, or check the address",
            ) from exc
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self.size = sum(one["nthreads"] for one in workers)
        if not self.size:
            self._client.close()
            raise NotFinished(
                f"the Dask scheduler at {address} has no workers",
                "nobody would send a part",
                f"start them with: dask worker {address}",
            )
        # pure: two parts with equal arguments would be one task.
        self._executor = self._client.get_executor(pure=False)

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        future: Future[T] = self._executor.submit(call, argument)
        return future

    def renew(self) -> None:
        """Do nothing: the scheduler outlives its workers."""

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        self._executor.shutdown(wait=wait)
        self._client.close()


class Mpi:
    """The ranks of an MPI job other than the driver's."""

    can_cancel = True

    def __init__(self) -> None:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor

        world = MPI.COMM_WORLD
        # Under mpi4py.futures only the first rank gets here: the others are workers.
        if world.Get_size() < 2 or world.Get_rank() != 0:
            raise WrongUsage(
                "there are no MPI workers",
                "obsup was not started under mpi4py.futures, or with one process only",
                "start it as: mpiexec -n 5 python3 -m mpi4py.futures -m obsup upload … --executor mpi",
            )
        self._executor: Any = MPIPoolExecutor()
        self.size = world.Get_size() - 1

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        future: Future[T] = self._executor.submit(call, argument)
        return future

    def renew(self) -> None:
        """Do nothing: an MPI job ends as a whole when one of its processes dies."""

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        self._executor.shutdown(wait=wait, cancel_futures=True)


def open_executor(spec: str, jobs: int) -> Executor:
    """Return the executor in this process that *spec* names (threads, inline), for *jobs* parts at once."""
    return InlineExecutor() if spec == "inline" else ThreadPoolExecutor(jobs, thread_name_prefix="part")


def open_backend(spec: str, jobs: int, *, timeout_s: float) -> WorkerBackend:
    """Return the workers that *spec* names: processes, dask:ADDRESS or mpi. Only processes are as many as *jobs*.

    A scheduler has *timeout_s* seconds to answer.

    Raises WrongUsage where there are none, NotFinished where nobody answers; and as ``check_spec`` does.
    """
    check_spec(spec)
    if spec == "processes":
        return Processes(jobs)
    return Mpi() if spec == "mpi" else Dask(spec.partition(":")[2], timeout_s)
