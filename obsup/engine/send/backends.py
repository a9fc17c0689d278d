"""Worker backends outside this process: local processes, Dask, MPI.

Whatever is submitted is pickled, so it must not hold a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from obsup.engine.job.executor_spec import check_spec
from obsup.errors import NextStep, NotFinished, WrongUsage, run_again
from obsup.local.processes.pool import ProcessPool

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

    def close(self, *, wait: bool) -> None:
        """Release the workers; wait for running calls only if *wait*."""
        ...


class ProcessBackend(ProcessPool):
    """Processes on this machine."""

    is_local = True
    can_cancel = True


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
                    "start it with: mpiexec -n 5 python3 -P -m mpi4py.futures -m obsup upload … --executor mpi"
                ),
            )
        self._executor: Any = MPIPoolExecutor()
        self.size = world.Get_size() - 1

    def submit(self, call: Callable[[A], T], argument: A) -> Future[T]:
        """See WorkerBackend."""
        future: Future[T] = self._executor.submit(call, argument)
        return future

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
