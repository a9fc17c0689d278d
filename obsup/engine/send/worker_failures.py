"""Failures of remote workers: what they become for the user, and whether another worker may succeed."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError

from obsup import events
from obsup.errors import (
    BadConfiguration,
    Denied,
    LocalFailure,
    NotFinished,
    ObsupError,
    SourceChanged,
    SourceUnreadable,
    Throttled,
    WorkerLost,
    limit_reached,
    run_again,
)

# Caused by the files, credentials, network, memory or installation of one worker: others may have better ones.
WORKER_FAILURES = (SourceChanged, SourceUnreadable, Denied, BadConfiguration, LocalFailure, NotFinished)


def may_be_of_worker(failure: BaseException) -> bool:
    """Return whether another worker may succeed: its files, credentials, network or installation differ."""
    if isinstance(failure, ObsupError):
        return isinstance(failure, WORKER_FAILURES) and not isinstance(failure, (Throttled, WorkerLost))
    return not isinstance(failure, (BrokenExecutor, CancelledError))


def report_throttling(
    failure: BaseException | None, observe: events.Observer, number: int | None = None
) -> None:
    """Report that the store asked a worker, which does not retry, to slow down; *number* is that of the part."""
    if isinstance(failure, Throttled):
        observe(events.Retried(number, 1, failure.what, 0.0, throttled=True))


def as_obsup_error(failure: BaseException, what: str, *, is_local: bool) -> Exception:
    """Return *failure* as an ObsupError, or as a bug. The text of other errors is dropped: it could hold a signed URL.

    *is_local*: the worker is a process of this machine, with the same obsup.
    """
    threads, name = ("--executor", "threads"), type(failure).__name__
    if isinstance(failure, ObsupError):
        return failure
    limit = limit_reached(failure) if is_local else None
    if limit is not None:
        return limit
    if isinstance(failure, (BrokenExecutor, CancelledError)) or name == "KilledWorker":
        step = (
            run_again("send from this process", add=threads)
            if is_local
            else run_again("check the workers' logs")
        )
        return WorkerLost(
            f"all workers that tried to send {what} died, or the scheduler stopped",
            "A worker ends when its host stops, or when it exceeds its memory limit",
            step,
        )
    if is_local and isinstance(failure, ImportError):
        return BadConfiguration(
            f"a worker process of this machine cannot import obsup: {failure}",
            "The installation of obsup is incomplete, or it was changed during the run",
            run_again("install obsup again, or send from this process", add=threads),
        )
    if is_local:
        return RuntimeError(f"{name} in a worker process")
    return (BadConfiguration if isinstance(failure, ImportError) else ObsupError)(
        f"the worker that sent {what} failed: {name}",
        "The worker may have a different version of obsup or Python",
        run_again("install the same obsup on every worker"),
    )
