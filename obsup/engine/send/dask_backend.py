"""The workers of a Dask cluster: found, checked, given calls one by one, and replaced if they leave.

This module, not Dask, chooses the worker of each call: so it knows which worker failed, no worker with another obsup
gets a call, and the rate limit is divided among the workers that there are.
"""

from __future__ import annotations

import logging
import pickle
import pkgutil
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Collection
from concurrent.futures import BrokenExecutor, CancelledError, Future
from functools import partial
from typing import Any

from obsup import events
from obsup.engine.job.executor_spec import DaskSpec
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.worker_shares import Member, WorkerShares
from obsup.engine.send.backends import Attempt, MakeCall
from obsup.engine.send.remote_task import run_pickled
from obsup.errors import BadConfiguration, NotFinished, ObsupError, WorkerLost, run_again
from obsup.units import counted, format_duration
from obsup.version import __version__

# How often the scheduler is asked for its workers; how often a wait checks for a signal, and when it is reported.
POLL_S, STOP_POLL_S, SILENT_S = 1.0, 0.1, 3.0
# What each worker has to return before it gets a call. Any version of obsup can run it: it is in Python itself.
HELLO = (pkgutil.resolve_name, "obsup.version:__version__")


class DaskBackend:
    """A WorkerBackend. One thread follows the workers that join and leave, and gives them their calls."""

    is_local = False
    can_cancel = False

    def __init__(
        self,
        spec: DaskSpec,
        *,
        connect_s: float,
        lost_s: float,
        stop: StopSignal,
        observe: events.Observer,
        is_limited: bool,
    ) -> None:
        """Connect to the scheduler and wait for workers. Calls without workers fail after *lost_s* seconds.

        Raises NotFinished without scheduler or workers, BadConfiguration if none has this obsup, what *stop* raises.
        """
        self._spec = spec
        self._lost_s = lost_s
        self._observe = observe
        self._client = _connect(spec.address, connect_s)
        self._changed = threading.Condition()
        self._shares = WorkerShares(is_limited=is_limited)
        self._executors: dict[str, Any] = {}
        self._waiting: deque[tuple[Attempt, MakeCall, frozenset[str]]] = deque()
        # Workers that have not answered yet, with their threads; and those that get no calls, with the reason.
        self._joining: dict[str, int] = {}
        self._unfit: dict[str, str] = {}
        self._lost: ObsupError | None = None
        self._is_closed = False
        self._requested: list[Any] = []
        self._thread = threading.Thread(target=self._run, name="dask-workers", daemon=True)
        self._thread.start()
        try:
            self._wait_for_workers(stop)
        except BaseException:
            self.close(wait=False)
            raise

    @property
    def size(self) -> int:
        with self._changed:
            return self._shares.threads

    def submit(self, make_call: MakeCall, *, avoid: Collection[str] = ()) -> Future[Any]:
        attempt = Attempt()
        with self._changed:
            if self._lost is None:
                self._waiting.append((attempt, make_call, frozenset(avoid)))
                self._changed.notify_all()
                return attempt
        attempt.set_exception(self._lost)
        return attempt

    def has_other(self, workers: Collection[str]) -> bool:
        with self._changed:
            return self._shares.has_other(workers)

    def set_aside(self, worker: str, why: str) -> None:
        with self._changed:
            member = self._shares.members.get(worker)
            if member is None or member.is_aside:
                return
            member.is_aside = True
        self._observe(
            events.Noted(f"the Dask worker {worker} gets no more work, because it alone failed: {why}")
        )

    def close(self, *, wait: bool) -> None:  # noqa: ARG002 - the futures of calls are awaited elsewhere
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._client.close(timeout=POLL_S)

    def _wait_for_workers(self, stop: StopSignal) -> None:
        spec, begin_s, is_noted = self._spec, time.monotonic(), False
        self._request_workers()
        while True:
            with self._changed:
                count, is_joining = self._shares.count, bool(self._joining)
                if self._lost is not None:
                    raise self._lost
                if count >= spec.workers:
                    return
                if not count and not is_joining and len(self._unfit) >= spec.workers:
                    raise self._all_unfit()
                self._changed.wait(STOP_POLL_S)
            stop.check()
            waited_s = time.monotonic() - begin_s
            if waited_s >= spec.wait_s:
                break
            if waited_s >= SILENT_S and not is_noted:
                is_noted = True
                wanted = f"{counted(spec.workers, 'worker')} of the Dask scheduler at {spec.address}"
                self._observe(events.Noted(f"waiting up to {format_duration(spec.wait_s)} for {wanted}"))
        if not count:
            raise self._all_unfit() if self._unfit else self._no_workers()
        self._observe(events.Noted(f"starting with {count} of {spec.workers} Dask workers; others may join"))

    def _request_workers(self) -> None:
        """Make a cluster that adapts to its work start workers: it does so only for calls that wait."""
        call, name = HELLO
        self._requested = [self._client.submit(call, name, pure=False) for _ in range(self._spec.workers)]

    def _no_workers(self) -> ObsupError:
        address, wait_s = self._spec.address, self._spec.wait_s
        return NotFinished(
            f"the Dask scheduler at {address} has no workers",
            f"None has answered within {format_duration(wait_s)}, and only workers send parts",
            run_again(
                f"start them with: dask worker {address} (or wait longer, with ,wait=10m after the address)"
            ),
        )

    def _all_unfit(self) -> ObsupError:
        address, why = next(iter(self._unfit.items()))
        return BadConfiguration(
            f"no worker of the Dask scheduler at {self._spec.address} has obsup {__version__}",
            f"The worker {address} {why}",
            run_again(f"install obsup {__version__} on every worker"),
        )

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as exc:  # noqa: BLE001 - otherwise the calls would wait for ever
            self._lose(f"Following its workers failed: {type(exc).__name__}")

    def _follow(self) -> None:
        lost_at_s = poll_at_s = time.monotonic()
        while not self._is_closed and self._lost is None:
            now_s = time.monotonic()
            if now_s >= poll_at_s:
                self._poll()
                poll_at_s = time.monotonic() + POLL_S
            while self._give_call():
                pass
            with self._changed:
                has_workers, is_waiting = bool(self._shares.count), bool(self._waiting)
            if has_workers or not is_waiting:
                lost_at_s = time.monotonic() + self._lost_s
            elif time.monotonic() >= lost_at_s:
                self._lose(
                    f"It has no workers, and none joined within {format_duration(self._lost_s)} (--retry-for)"
                )
            elif not self._requested:
                self._observe(events.Noted("all Dask workers are gone: waiting for others"))
                self._request_workers()
            with self._changed:
                if not self._is_closed and self._lost is None:
                    self._changed.wait(max(0.0, poll_at_s - time.monotonic()))

    def _poll(self) -> None:
        """Find out which workers joined and left."""
        try:
            threads: dict[str, int] = self._client.nthreads()
        except Exception:  # noqa: BLE001 - Dask raises many kinds, and all mean the same
            self._lose("Its scheduler has stopped, or cannot be reached")
            return
        with self._changed:
            gone = self._shares.keep(threads)
            known: tuple[dict[str, Any], ...] = (self._joining, self._unfit, self._executors)
            for one in known:
                for address in one.keys() - threads.keys():
                    del one[address]
            joined = {
                address: count
                for address, count in threads.items()
                if not any(address in one for one in known)
            }
            self._joining |= joined
        for attempt in [attempt for member in gone for attempt in member.calls]:
            _fail(attempt, BrokenExecutor("a worker has left"))
        for address in joined:
            executor = self._client.get_executor(pure=False, workers=[address], allow_other_workers=False)
            executor.submit(*HELLO).add_done_callback(partial(self._accept, address, executor))

    def _accept(self, address: str, executor: Any, hello: Future[str]) -> None:
        """Let the worker take part if its answer *hello* is that of this version."""
        if hello.cancelled():
            return
        why = _unfit_because(hello)
        with self._changed:
            threads = self._joining.pop(address, None)
            if threads is None:
                return
            if why:
                self._unfit[address] = why
            else:
                self._executors[address] = executor
                self._shares.members[address] = Member(address, threads)
                self._requested = []
            self._changed.notify_all()
        if why:
            self._observe(events.Noted(f"the Dask worker {address} gets no work: it {why}"))

    def _give_call(self) -> bool:
        """Give one call that waits to a worker; return False if none waits, or no worker is free."""
        with self._changed:
            for waiting in self._waiting:
                attempt, make_call, avoid = waiting
                if (chosen := self._shares.choose(avoid)) is not None:
                    break
            else:
                return False
            self._waiting.remove(waiting)
            member, share = chosen
            member.calls[attempt] = share
            executor = self._executors[member.address]
        try:
            call, argument = make_call(share)
            attempt.worker = member.address
            running = executor.submit(run_pickled, call, argument)
        except Exception as exc:  # noqa: BLE001 - the thread that waits for the future raises it
            self._finish(member, attempt, exc)
            return True
        running.add_done_callback(partial(self._take_result, member, attempt))
        return True

    def _take_result(self, member: Member, attempt: Attempt, running: Future[Any]) -> None:
        try:
            result = pickle.loads(running.result())
        except CancelledError:
            if self._client.status == "running":
                self._finish(member, attempt, BrokenExecutor("the scheduler cancelled the call"))
            else:
                self._lose("Its scheduler has stopped, or cannot be reached")
        except Exception as exc:  # noqa: BLE001 - the call failed, or its result is that of another obsup
            self._finish(member, attempt, exc)
        else:
            self._finish(member, attempt, None, result)

    def _finish(
        self, member: Member, attempt: Attempt, failure: BaseException | None, result: Any = None
    ) -> None:
        with self._changed:
            is_current = member.calls.pop(attempt, None) is not None
            self._changed.notify_all()
        if not is_current:
            return  # the worker left before
        if failure is not None:
            _fail(attempt, failure)
        else:
            attempt.set_result(result)

    def _lose(self, why: str) -> None:
        """Fail all calls: the cluster is lost."""
        with self._changed:
            if self._is_closed or self._lost is not None:
                return
            self._lost = WorkerLost(
                f"the Dask cluster at {self._spec.address} is lost",
                why,
                run_again("check the logs of the scheduler and of the workers, and start them again"),
            )
            attempts = [attempt for attempt, *_ in self._waiting]
            attempts += [attempt for member in self._shares.keep(()) for attempt in member.calls]
            self._waiting.clear()
            self._changed.notify_all()
        for attempt in attempts:
            _fail(attempt, self._lost)


def _fail(attempt: Attempt, failure: BaseException) -> None:
    if not attempt.done():
        attempt.set_exception(failure)


def _unfit_because(hello: Future[str]) -> str:
    """Return why the worker with this answer cannot take part; an empty text if it can."""
    failure = hello.exception()
    if isinstance(failure, ImportError):
        return "cannot import obsup"
    if failure is not None:
        return f"failed with {type(failure).__name__}"
    version = hello.result()
    return "" if version == __version__ else f"has obsup {version}"


def _connect(address: str, timeout_s: float) -> Any:
    """Return a client of the scheduler. Raises NotFinished if it does not respond, BadConfiguration for TLS."""
    is_first = "distributed" not in sys.modules
    from distributed import Client

    if is_first:  # otherwise the logs of Dask belong to the program that uses it
        _silence_logs()
    try:
        return Client(address, timeout=timeout_s, set_as_default=False)
    except (OSError, ValueError) as exc:
        raise NotFinished(
            f"the Dask scheduler at {address} does not respond",
            str(exc) or type(exc).__name__,
            run_again("check the address, or start the scheduler with: dask scheduler"),
        ) from exc
    except (TypeError, RuntimeError) as exc:
        raise BadConfiguration(
            f"the connection to the Dask scheduler at {address} is not configured",
            str(exc).strip().splitlines()[0].rstrip(".") if str(exc).strip() else type(exc).__name__,
            run_again("set ca-file, cert and key under distributed.comm.tls in the configuration of Dask"),
        ) from exc


def _silence_logs() -> None:
    """Keep tracebacks and warnings of Dask off the terminal: what matters is an error or a note of obsup."""
    warnings.filterwarnings("ignore", module=r"distributed\.")
    for name in ("distributed", "distributed.client", "distributed.core", "tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.NullHandler()], False
