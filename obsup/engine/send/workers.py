"""Worker pools that send parts: local threads, or remote workers. Only this module distinguishes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol

from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS, check_spec
from obsup.engine.job.progress import ProgressTally
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe
from obsup.engine.send.dispatcher import dispatch
from obsup.engine.send.part import PartToSend, send_part
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.local.processes.executors import open_executor
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt
from obsup.text import without_password


class Workers(Protocol):
    """Sends parts."""

    @property
    def size(self) -> int:
        """How many parts are sent at once now."""

    def send(self, part: PartToSend) -> Future[Receipt]:
        """Submit the part; the future returns its receipt."""

    def close(self, *, wait: bool) -> None:
        """Release the workers; wait for parts in flight only if *wait*."""


class LocalWorkers:
    """Threads of this process, or the calling thread; they share the store, the rate limit and the stop signal."""

    def __init__(self, executor: Executor, size: int, run: Callable[[PartToSend], Receipt]) -> None:
        self.size = size
        self._executor = executor
        self._run = run

    def send(self, part: PartToSend) -> Future[Receipt]:
        return self._executor.submit(self._run, part)

    def close(self, *, wait: bool) -> None:
        self._executor.shutdown(wait=wait, cancel_futures=True)


def open_workers(context: UploadContext) -> Workers:
    """Return the workers that the request asks for. Raises as ``open_remote_workers`` does."""
    request = context.request
    if request.executor in LOCAL_EXECUTORS:
        run = partial(send_part, store=context.store, send_options=context.send_options)
        return LocalWorkers(open_executor(request.executor, request.max_jobs), request.max_jobs, run)
    from obsup.engine.send.remote_workers import open_remote_workers

    return open_remote_workers(context, observe=context.observe)


def send_with_workers(
    workers: Workers,
    context: UploadContext,
    tally: ProgressTally,
    parts: Iterator[PartToSend],
    on_receipt: Callable[[Receipt], None],
) -> None:
    """Send all *parts* with *workers*, and close them. See ``PartSender.send_parts``."""
    try:
        probe = ConcurrencyProbe(most=workers.size) if context.request.probes_jobs else None
        concurrency = ConcurrencyLimit(
            max(1, workers.size), probe=probe, follow=None if probe is not None else lambda: workers.size
        )
        with tally.observed_by(concurrency):
            dispatch(
                parts,
                workers.send,
                window=lambda: concurrency.window,
                stop=context.stop,
                on_receipt=on_receipt,
            )
    finally:
        workers.close(wait=not context.stop.is_over)


def check_workers(context: UploadContext) -> None:
    """Check, before anything is sent, that the requested executor can send this upload.

    Raises as ``check_spec`` does, and WrongUsage if a remote worker would need a secret: secrets are never sent to it.
    """
    request, settings = context.request, context.connection.settings
    check_spec(request.executor)
    if request.executor in LOCAL_EXECUTORS:
        return
    if settings.network.proxy and without_password(settings.network.proxy) != settings.network.proxy:
        raise WrongUsage(
            f"--proxy with a password cannot be combined with --executor {request.executor}",
            "Secrets are never sent to workers",
            run_again("set HTTPS_PROXY for obsup and for the workers instead of --proxy", drop=("--proxy",)),
        )
    if context.limit is not None and not isinstance(context.limit, RateLimit):
        raise WrongUsage(
            f"--executor {request.executor} does not support this kind of limit",
            "Only a rate can be divided among workers in other processes",
            NextStep("pass a RateLimit"),
        )
    if request.presign:
        _check_presign(context)


def _check_presign(context: UploadContext) -> None:
    """Raise WrongUsage for options that a signed URL cannot carry."""
    request, headers = context.request, context.connection.settings.headers
    if headers:
        raise WrongUsage(
            f"--presign cannot be combined with --header {headers[0][0]}",
            "The header is sent with every request, and a signed URL carries no headers",
            run_again("leave out one of the two", drop=("--header",)),
        )
    if request.content_md5 or request.encrypted_by_customer:
        option = "--content-md5" if request.content_md5 else "--sse-c-key-file"
        raise WrongUsage(
            f"--presign cannot be combined with {option}",
            "The URL is signed before the part is read, and carries no key",
            run_again(
                "leave out one of the two", drop=("--content-md5" if request.content_md5 else "--presign",)
            ),
        )
