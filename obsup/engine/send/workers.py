"""Worker pools that send parts: local threads, or remote workers. Only this module distinguishes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial

from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS, check_spec
from obsup.engine.job.progress import ProgressTally
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe
from obsup.engine.send.dispatcher import SubmitPart, dispatch
from obsup.engine.send.part import PartToSend, send_part
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.local.processes.executors import open_executor
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt
from obsup.text import without_password
from obsup.value import Value


class Workers(Value):
    """What sends parts, ``size()`` at once now. ``close`` waits for parts in flight only if *wait*."""

    size: Callable[[], int]
    send: SubmitPart
    close: Callable[..., None]


def submit_to(executor: Executor, context: UploadContext) -> SubmitPart:
    """Return the function that submits parts to threads of this process, or sends them in the calling thread."""
    send = partial(send_part, store=context.store, send_options=context.send_options)
    return partial(executor.submit, send)


def open_workers(context: UploadContext) -> Workers:
    """Return the workers that the request asks for. Raises as ``open_remote_workers`` does."""
    request = context.request
    if request.executor in LOCAL_EXECUTORS:
        executor, jobs = open_executor(request.executor, request.max_jobs), request.max_jobs
        close = partial(executor.shutdown, cancel_futures=True)
        return Workers(lambda: jobs, submit_to(executor, context), close)
    from obsup.engine.send.remote_workers import open_remote_workers

    remote = open_remote_workers(context, observe=context.observe)
    return Workers(lambda: remote.size, remote.send, remote.close)


def send_with_workers(
    workers: Workers,
    context: UploadContext,
    tally: ProgressTally,
    parts: Iterator[PartToSend],
    on_receipt: Callable[[Receipt], None],
) -> None:
    """Send all *parts* with *workers*, and close them. See ``SendParts``."""
    try:
        size = workers.size()
        probe = ConcurrencyProbe(most=size) if context.request.probes_jobs else None
        concurrency = ConcurrencyLimit(
            max(1, size), probe=probe, follow=workers.size if probe is None else None
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
