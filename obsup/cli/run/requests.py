"""Turn the parsed options of a command into typed values."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import field
from msgspec.structs import replace

from obsup.cli.arguments import conflicts
from obsup.cli.display.display import DisplayOptions
from obsup.cli.run.metrics import MetricsOptions
from obsup.dialects.registry import vendor_variables
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.executor_spec import check_spec
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_settings import ConnectOptions, resolve_prefix, resolve_target
from obsup.engine.steps.lookup import UploadSelector
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.local.source.expectation import Expectation
from obsup.local.state.checkpoint_path import default_path
from obsup.local.walk.walk import Links
from obsup.model import ObjectOptions, Target
from obsup.options.table import object_values
from obsup.rate import Rate
from obsup.shard import Shard
from obsup.store.http.proxy import check_proxy
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.tls_files import check_tls_files
from obsup.value import Value

# poll(2) cannot wait much longer than ten times as long.
MAX_TIMEOUT_S = 86400.0
# Time between two progress reports.
MIN_INTERVAL_S = 0.1
# Placeholders in a request whose source or target is not known yet.
NO_SOURCE = Path("-")
NO_TARGET = Target("", "", "", "")

_PASSWORD = re.compile(r"(?:\w+://)?[^/@]*:[^/]*@")  # of the user information in a URL


class Limits(Value):
    """What limits a run: a rate, a duration in seconds, a local time of day (``HH:MM``)."""

    rate: Rate | None = None
    max_time_s: float | None = None
    until: str | None = None

    def deadline_s(self, *, now: datetime, monotonic_s: float) -> float | None:
        """Return the earlier of --max-time and --until on the monotonic clock, or None. Raises WrongUsage."""
        ends = []
        if self.max_time_s is not None:
            ends.append(monotonic_s + self.max_time_s)
        if self.until is not None:
            try:
                moment = datetime.strptime(self.until, "%H:%M")
            except ValueError:
                raise WrongUsage(
                    f"--until {self.until!r} is not a valid time of day",
                    "A time of day is written as HH:MM",
                    run_again("use a valid time, for example 06:30", add=("--until", "06:30")),
                ) from None
            end = now.replace(hour=moment.hour, minute=moment.minute, second=0, microsecond=0)
            if end <= now:
                end += timedelta(days=1)
            ends.append(monotonic_s + (end - now).total_seconds())
        return min(ends, default=None)


class CommandOptions(Value):
    """The options of one command, typed. ``request`` lacks its source and target until ``request_for`` sets them."""

    display: DisplayOptions
    as_json: bool = False
    connect: ConnectOptions = field(default_factory=ConnectOptions)
    limits: Limits = field(default_factory=Limits)
    request: UploadRequest = field(default_factory=lambda: UploadRequest(NO_SOURCE, NO_TARGET))
    checkpoint: Path | None = None
    checkpoint_dir: Path | None = None
    upload_id: str | None = None
    expect_size: int | None = None
    expect_md5: str | None = None
    expect_sha256: str | None = None
    metrics_options: MetricsOptions | None = None

    def resolve_target(self, text: str, *, file_name: str | None = None) -> tuple[Target, StoreSettings]:
        """Return the target that *text* names and the settings of its store. Raises WrongUsage, BadConfiguration."""
        self._check_local_mistakes()
        return resolve_target(text, self.connect, file_name=file_name)

    def resolve_prefix(self, text: str) -> tuple[Target, StoreSettings]:
        """Return the target that ``BUCKET[/PREFIX]`` names and its settings. Raises WrongUsage, BadConfiguration."""
        self._check_local_mistakes()
        return resolve_prefix(text, self.connect)

    def _check_local_mistakes(self) -> None:
        """Raise for options that are wrong whatever the store is. Raises WrongUsage, BadConfiguration."""
        network = self.connect.network
        check_timeouts(network)
        check_tls_files(network, os.environ)
        if network.proxy is not None:
            check_proxy(network.proxy)
        check_spec(self.request.executor)

    def select_upload(self, source: Path | None, target: str) -> tuple[UploadSelector, StoreSettings]:
        """Return the upload that SOURCE, TARGET and the options name, and the settings of its store."""
        named, settings = self.resolve_target(target, file_name=source.name if source is not None else None)
        checkpoint = self.checkpoint_for(source, named) if source is not None else self.checkpoint
        return UploadSelector(named, source, self.upload_id, checkpoint), settings

    def request_for(self, source: Path, target: Target) -> UploadRequest:
        """Return the request to upload *source* to *target*. Raises WrongUsage for an invalid digest."""
        return replace(
            self.request,
            source=source,
            target=target,
            checkpoint=self.checkpoint_for(source, target),
            expect=Expectation(self.expect_size, self.expect_md5, self.expect_sha256),
        )

    def checkpoint_for(self, source: Path, target: Target) -> Path | None:
        """Return the checkpoint that --checkpoint or --checkpoint-dir names, or None for the default path."""
        if self.checkpoint is None and self.checkpoint_dir is not None:
            return default_path(source, target, self.checkpoint_dir)
        return self.checkpoint


class BatchOptions(Value):
    """The options that select the files of a batch and say what to do with files that fail."""

    recursive: bool
    links: Links
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    from_list: Path | None
    null: bool
    fail_fast: bool
    fail_if_empty: bool
    failed_list: Path | None
    shard: Shard | None = None

    @property
    def separator(self) -> bytes:
        """What separates the names in lists of files."""
        return b"\0" if self.null else b"\n"


def options_from(values: dict[str, Any], target: str | None = None) -> CommandOptions:
    """Return the parsed options of a command as typed values; an option that the command lacks has its default.

    *target* labels the metrics; without it there are none.
    """
    return CommandOptions(
        display=_display_options(values),
        connect=_connect_options(values) if "endpoint" in values else ConnectOptions(),
        limits=Limits(values.get("limit_rate"), values.get("max_time"), values.get("until")),
        request=_upload_request(values),
        metrics_options=_metrics_options(values, target),
        **_fields_of(CommandOptions, values),
    )


def batch_options_from(values: dict[str, Any]) -> BatchOptions:
    """Return the options of a batch as typed values."""
    return BatchOptions(**_fields_of(BatchOptions, values))


def _fields_of(kind: type[Value], values: dict[str, Any]) -> dict[str, Any]:
    """Return the *values* that have the name of a field of *kind*."""
    return {name: values[name] for name in kind.__struct_fields__ if name in values}


def check_timeouts(connection: ConnectionSettings) -> None:
    """Raise WrongUsage for a timeout that no socket supports."""
    for name, seconds in (
        ("--connect-timeout", connection.connect_timeout_s),
        ("--stall-timeout", connection.stall_timeout_s),
    ):
        if not 0 < seconds <= MAX_TIMEOUT_S:
            raise WrongUsage(
                f"{name} must be more than 0s and at most 1d, not {seconds:.15g}s",
                "A timeout of 0 would end every connection, and sockets do not support very long timeouts",
                run_again("use a valid timeout", add=(name, "60s")),
            )


def _display_options(values: dict[str, Any]) -> DisplayOptions:
    quiet = values["quiet"]
    # A bar would mix with what a step prints.
    progress = values.get("progress") or ("none" if quiet else "lines")
    interval_s = values.get("progress_interval")
    if interval_s is not None and not interval_s >= MIN_INTERVAL_S:
        raise WrongUsage(
            f"--progress-interval must be at least {MIN_INTERVAL_S:g}s, not {interval_s:.15g}s",
            "More output would slow down the upload",
            run_again("use a longer interval", add=("--progress-interval", "1s")),
        )
    return DisplayOptions(progress, interval_s, quiet, values["verbose"], values["log_file"])


def _metrics_options(values: dict[str, Any], target: str | None) -> MetricsOptions | None:
    path = values.get("metrics")
    return None if path is None or target is None else MetricsOptions(path, target, values["profile"] or "")


def _connect_options(values: dict[str, Any]) -> ConnectOptions:
    """Return how to reach the store.

    A command that creates no object ignores the object headers of the environment and the configuration. Raises
    WrongUsage for a password on the command line.
    """
    _refuse_proxy_password(values)
    for_requests = values.get("request_headers", ())
    is_given = conflicts.is_given(values, "request_headers")
    return ConnectOptions(
        **_fields_of(ConnectOptions, values)
        | {
            "config_path": _text(values["config_path"]),
            "customer_key_file": _text(values.get("sse_c_key_file")),
            "copy_source_key_file": _text(values.get("copy_source_sse_c_key_file")),
            "retry_for_s": values.get("retry_for", ConnectOptions().retry_for_s),
            "vendor_variables": vendor_variables(os.environ),
            "headers": values.get("headers", ()) + (() if is_given else for_requests),
            "request_headers": for_requests if is_given else (),
            "network": ConnectionSettings(
                connect_timeout_s=values["connect_timeout"],
                stall_timeout_s=values["stall_timeout"],
                ca_bundle=_text(values["ca_bundle"]),
                client_cert=_text(values["client_cert"]),
                client_key=_text(values["client_key"]),
                verify_tls=not values["no_verify_tls"],
                proxy=values["proxy"],
            ),
        }
    )


def _refuse_proxy_password(values: dict[str, Any]) -> None:
    """Raise WrongUsage if --proxy contains a password: every user of this machine can read command lines."""
    if conflicts.is_given(values, "proxy") and _PASSWORD.match(values["proxy"]):
        raise WrongUsage(
            "--proxy contains a password",
            "Other users of this machine can read the command line",
            NextStep("Leave out --proxy and set HTTPS_PROXY, or OBSUP_PROXY, in the environment"),
        )


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _upload_request(values: dict[str, Any]) -> UploadRequest:
    template: dict[str, Any] = {
        "source": NO_SOURCE,
        "target": NO_TARGET,
        "options": ObjectOptions(**object_values(values)),
        "checkpoint": None,
        "keep_checkpoint": not values.get("no_checkpoint"),
        "use_token": values.get("token", True),
        "encrypted_by_customer": values.get("sse_c_key_file") is not None,
    }
    return UploadRequest(**_fields_of(UploadRequest, values) | template)
