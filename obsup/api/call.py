"""What all functions of the API share: checked keywords, a connected store, deadlines, and errors worded for Python."""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from msgspec.structs import replace

from obsup import events
from obsup.api.values import check_arguments, checked, option_values
from obsup.api.wording import reword, reworded_to
from obsup.engine.job.connection import StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.option_values import (
    Limits,
    check_local_mistakes,
    connect_options,
    files_of_environment,
    upload_request,
)
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.errors import Busy, NextStep, ObsupError, Stopped, WrongUsage
from obsup.local.files.customer_key import KEY_BYTES
from obsup.local.source.expectation import Expectation
from obsup.local.source.rate_limit import RateLimit
from obsup.local.state.checkpoint_path import default_path
from obsup.local.walk.overwritten import find_overwritten
from obsup.model import CustomerKey, ObjectOptions, Target
from obsup.options.table import object_values
from obsup.store.interface import FixedCredentials
from obsup.text import quoted

P = ParamSpec("P")
R = TypeVar("R")
# The source of a request without one; nothing reads it.
NO_SOURCE = Path("-")
Resolve = Callable[[str, ConnectOptions], tuple[Target, StoreSettings]]


def public(keywords: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function public: *keywords*, a TypedDict, are in its signature, and its errors are worded for Python."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> R:
            try:
                check_arguments(given)
                return function(*args, **given)
            except ObsupError as exc:
                reword(exc)
                raise

        call.__signature__ = _signature(function, keywords)  # type: ignore[attr-defined]
        return call

    return decorate


def _signature(function: Callable[..., Any], keywords: type) -> inspect.Signature:
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=getattr(hint, "__forward_arg__", hint),
        )
        for name, hint in keywords.__annotations__.items()
    ]
    return signature.replace(parameters=[*own, *shared])


@contextmanager
def opened(
    function: Callable[..., Any],
    target: str,
    given: Mapping[str, Any],
    *,
    source: Path | None = None,
    reads: Path | None = None,
    resolve: Resolve | None = None,
) -> Iterator[UploadContext]:
    """Open what *function* needs to work on *target*, with the keywords *given* to it. Sends nothing itself.

    *resolve* reads another kind of target. *reads* is the file that is read instead of *source*, if it has a name.
    Raises WrongUsage, BadConfiguration, Denied; if a wait in the block ends early, raises the reason to stop.
    """
    allowed = inspect.signature(function).parameters
    values = option_values(given, function.__name__, allowed)
    checked("target", target, str, text="a text: BUCKET/KEY")
    stop = _stop_signal(values)
    values = _with_headers(values, is_object="content_type" in allowed)
    # The properties of the object: those of *options*, and each keyword on top.
    values["options"] = replace(values.get("options", ObjectOptions()), **object_values(values))
    connecting = _connect_options(values)
    check_local_mistakes(connecting.network, values.get("executor", LOCAL_EXECUTORS[0]))
    if resolve is None:
        name = source.name if source is not None else None
        resolved, settings = resolve_target(target, connecting, file_name=name)
    else:
        resolved, settings = resolve(target, connecting)
    request = _request(values, source, resolved, settings)
    _check_output_files(values, request, source or reads)
    try:
        yield _connected(values, request, settings, stop)
    except (Stopped, Busy):
        stop.check()  # what ended a wait is the cause
        raise


def _connected(
    values: Mapping[str, Any], request: UploadRequest, settings: StoreSettings, stop: StopSignal
) -> UploadContext:
    """Return the context of *request*, with a connected store."""
    rate, credentials = values.get("limit_rate"), values.get("credentials")
    tally = ProgressTally(values.get("progress"), reworded_to(values.get("observer", events.ignore)))
    connection = connect(
        settings,
        observe=tally,
        sleep=stop.sleep,
        credentials=FixedCredentials(credentials) if credentials is not None else None,
        customer_key=_customer_key("sse_c_key", values, settings.customer_key_file),
        copy_source_key=_customer_key("copy_source_sse_c_key", values, settings.copy_source_key_file),
    )
    limit = RateLimit(rate, check=stop.check_in_flight) if rate is not None else None
    return UploadContext(connection, request, tally, stop, limit)


def _stop_signal(values: Mapping[str, Any]) -> StopSignal:
    limits = Limits(None, values.get("max_time"), values.get("until"))
    deadline_s = limits.deadline_s(now=datetime.now(), monotonic_s=time.monotonic())
    stop: StopSignal | None = values.get("stop")
    if stop is not None and deadline_s is not None:
        raise WrongUsage(
            "stop cannot be combined with max_time or until",
            "A StopSignal has its own deadline",
            NextStep("Pass StopSignal(deadline_s=…), or leave out stop"),
        )
    return stop or StopSignal(deadline_s=deadline_s)


def _with_headers(values: dict[str, Any], *, is_object: bool) -> dict[str, Any]:
    """Return *values* by the names of the option table: headers of the object, or of every request."""
    names = (
        {"config": "config_path"} if is_object else {"config": "config_path", "headers": "request_headers"}
    )
    return {names.get(name, name): value for name, value in values.items()}


def _connect_options(values: dict[str, Any]) -> ConnectOptions:
    """Return how to reach the store: what *connecting* says, and each keyword on top."""
    base: ConnectOptions | None = values.get("connecting")
    endpoint = {} if base is not None else {"endpoint": os.environ.get("OBSUP_ENDPOINT")}
    connecting = connect_options(endpoint | values, base)
    return replace(connecting, headers=connecting.headers or values["options"].headers)


def _request(
    values: Mapping[str, Any], source: Path | None, target: Target, settings: StoreSettings
) -> UploadRequest:
    expected = ("expect_size", "expect_md5", "expect_sha256")
    request = upload_request(values, source or NO_SOURCE, target)
    checkpoint, folder = values.get("checkpoint"), values.get("checkpoint_dir")
    if checkpoint is None and folder is not None and source is not None:
        checkpoint = default_path(source, target, folder)
    expect = Expectation(*map(values.get, expected)) if values.keys() & expected else request.expect
    return replace(
        request,
        options=values["options"],
        checkpoint=checkpoint,
        expect=expect,
        encrypted_by_customer="sse_c_key" in values or settings.customer_key_file is not None,
    )


def _check_output_files(values: Mapping[str, Any], request: UploadRequest, source: Path | None) -> None:
    """Raise WrongUsage if a file to write is one that the call reads."""
    outputs = {"checkpoint": request.checkpoint, "receipt": request.receipt}
    read = {keyword: value for keyword, value in values.items() if isinstance(value, Path)}
    written = {name: path for name, path in outputs.items() if path is not None}
    if not written:
        return
    sources = [source] if source is not None else []
    found = find_overwritten(written, read | written, sources, kept=files_of_environment())
    if found is not None:
        what = found.what or f"the file of {found.other or 'source'}"
        raise WrongUsage(
            f"{found.name} {quoted(found.path)} is {what}",
            "It would be overwritten",
            NextStep("Pass another path"),
        )


def _customer_key(name: str, values: Mapping[str, Any], file: str | None) -> CustomerKey | None:
    """Return the SSE-C key *name* that the caller has in memory. Raises WrongUsage."""
    key: bytes | None = values.get(name)
    if key is None:
        return None
    if len(key) not in KEY_BYTES or file is not None:
        raise WrongUsage(
            f"{name} has {len(key)} bytes" if file is None else f"{name} is given twice",
            f"A key has {' or '.join(map(str, KEY_BYTES))} bytes, and cannot be combined with {name}_file",
            NextStep("Pass the key itself, neither in hex nor in Base64"),
        )
    if values.get("executor", LOCAL_EXECUTORS[0]) not in LOCAL_EXECUTORS:
        raise WrongUsage(
            f"executor {values['executor']!r} needs {name}_file",
            "A key in memory is not sent to other processes: each reads its own file",
            NextStep(f"Pass {name}_file"),
        )
    return CustomerKey(key)
