"""Worker backends outside this process: local processes, Dask, MPI.

Whatever is submitted is pickled, so it must not hold a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

# A function that a worker calls, and its argument.
WorkerCall = tuple[Callable[[Any], Any], Any]
# Returns the call, for this share of the rate limit (above 0, at most 1).
MakeCall = Callable[[float], WorkerCall]


class Attempt(Future[Any]):
    """The future of a call. ``worker`` is the address of the worker that runs it, if the backend chooses workers."""

    worker = ""


class WorkerBackend(Protocol):
    """Runs calls in other processes, *size* at once, which may change.

    ``is_local``: they run on this machine, and see the same files.
    ``can_cancel``: the futures distinguish a call that has not started from a running one, and cancel only the former.
    """

    is_local: bool
    can_cancel: bool

    @property
    def size(self) -> int:
        """How many calls run at once now."""

    def submit(self, make_call: MakeCall, *, avoid: Collection[str] = ()) -> Future[Any]:
        """Run a call in a worker, if possible in none of *avoid*. Raises BrokenExecutor if all workers are lost."""

    def has_other(self, workers: Collection[str]) -> bool:
        """Return whether *avoid* can be given these workers, because there are others."""

    def set_aside(self, worker: str, why: str) -> None:
        """Send nothing to *worker* from now on."""

    def close(self, *, wait: bool) -> None:
        """Release the workers; wait for running calls only if *wait*."""


class FixedBackend:
    """Workers whose number does not change, and that cannot be chosen."""

    can_cancel = True

    def __init__(
        self, submit: Callable[..., Future[Any]], size: int, close: Callable[..., None], *, is_local: bool
    ) -> None:
        self.size = size
        self.is_local = is_local
        self._submit = submit
        self._close = close

    def submit(self, make_call: MakeCall, *, avoid: Collection[str] = ()) -> Future[Any]:  # noqa: ARG002 - no choice
        return self._submit(*make_call(1 / self.size))

    def has_other(self, workers: Collection[str]) -> bool:  # noqa: ARG002 - no choice
        return False

    def set_aside(self, worker: str, why: str) -> None:
        """See WorkerBackend. Never called."""

    def close(self, *, wait: bool) -> None:
        self._close(wait=wait)


def mpi_backend() -> FixedBackend:
    """Return the ranks of an MPI job, except the driver's."""
    from mpi4py import MPI
    from mpi4py.futures import MPIPoolExecutor

    executor: Any = MPIPoolExecutor()
    close = partial(executor.shutdown, cancel_futures=True)
    return FixedBackend(executor.submit, MPI.COMM_WORLD.Get_size() - 1, close, is_local=False)
