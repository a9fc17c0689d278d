"""Those who send the parts: threads of this process, or workers elsewhere, told apart nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS, check_spec
from obsup.engine.job.request import MAX_JOBS
from obsup.engine.send.executors import open_executor
from obsup.engine.send.part import PartToSend, send_part
from obsup.engine.send.remote_workers import open_remote_workers
from obsup.errors import WrongUsage
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt

if TYPE_CHECKING:
    pass


class Workers(Protocol):
    """Sends parts, *size* at once."""

    size: int

    def send(self, job: PartToSend) -> Future[Receipt]:
        """Have the part sent; the future gives its receipt."""
        ...

    def close(self, *, wait: bool) -> None:
        """Let the crew go; where not *wait*, without waiting for what is under way."""
        ...


class LocalWorkers:
    """Threads of this process, or its own: they share the store, the rate limit and the stop signal."""

    def __init__(self, executor: Executor, size: int, run: Callable[[PartToSend], Receipt]) -> None:
        self.size = size
        self._executor = executor
        self._run = run

    def send(self, job: PartToSend) -> Future[Receipt]:
        """See Workers."""
        return self._executor.submit(self._run, job)

    def close(self, *, wait: bool) -> None:
        """See Workers."""
        self._executor.shutdown(wait=wait, cancel_futures=True)


def open_workers(task: UploadContext) -> Workers:
    """Return the crew that the order asks for. Raises as ``open_workers`` does."""
    order = task.request
    if order.executor in LOCAL_EXECUTORS:
        run = partial(send_part, store=task.store, send_options=task.send_options)
        most = MAX_JOBS if order.probes_jobs else order.jobs_at_first
        return LocalWorkers(open_executor(order.executor, most), most, run)
    return open_remote_workers(task, observe=task.observe)


def check_workers(task: UploadContext) -> None:
    """Raise what stands against the crew that the order asks for, before anything is sent.

    As ``check_spec`` does; and WrongUsage where a worker elsewhere would need a secret, which must not travel.
    """
    order, settings = task.request, task.connection.settings
    check_spec(order.executor)
    if order.executor in LOCAL_EXECUTORS:
        return
    if settings.line.proxy and urlsplit(settings.line.proxy).password:
        raise WrongUsage(
            f"--proxy holds a password, which --executor {order.executor} would carry to the workers",
            "secrets never travel in a job",
            "leave out --proxy, and set HTTPS_PROXY in the environment of driver and workers",
        )
    if task.limit is not None and not isinstance(task.limit, RateLimit):
        raise WrongUsage(
            f"this limit cannot hold back --executor {order.executor}",
            "only a rate can be shared out among workers in other processes",
            "give a RateLimit",
        )
    if not order.presign:
        return
    if settings.headers:
        raise WrongUsage(
            f"--presign excludes --header {settings.headers[0][0]}",
            "it is said on every request, and a signed URL carries no header",
            "leave out one of the two",
        )
    if order.content_md5 or order.encrypted_by_customer:
        raise WrongUsage(
            f"--presign excludes {'--content-md5' if order.content_md5 else '--sse-c-key-file'}",
            "a URL is signed before the part is read, and carries no key",
            "leave out one of the two",
        )
