"""Turn the parsed options of a command into typed values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from msgspec import field
from msgspec.structs import replace

from obsup.cli.arguments import conflicts
from obsup.cli.display.display import DisplayOptions
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.option_values import (
    Limits,
    check_local_mistakes,
    connect_options,
    fields_of,
    upload_request,
)
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_settings import ConnectOptions, resolve_prefix, resolve_target
from obsup.engine.steps.lookup import UploadSelector
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.local.source.expectation import Expectation
from obsup.local.state.checkpoint_path import default_path
from obsup.model import Target
from obsup.text import without_password
from obsup.units import exact_duration
from obsup.value import Value

# Time between two progress reports.
MIN_INTERVAL_S = 0.1
# Placeholders in a request whose source or target is not known yet.
NO_SOURCE = Path("-")
NO_TARGET = Target("", "", "", "")


class MetricsOptions(Value):
    """Where the metrics go, and what labels them: TARGET as it was given, and the profile."""

    path: Path
    target: str
    profile: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The labels of every metric: the key is the prefix of many files."""
        bucket, _, key = self.target.rpartition("://")[2].partition("/")
        return {"bucket": bucket, "key": key, "profile": self.profile}


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
        check_local_mistakes(self.connect.network, self.request.executor)
        return resolve_target(text, self.connect, file_name=file_name)

    def resolve_prefix(self, text: str) -> tuple[Target, StoreSettings]:
        """Return the target that ``BUCKET[/PREFIX]`` names and its settings. Raises WrongUsage, BadConfiguration."""
        check_local_mistakes(self.connect.network, self.request.executor)
        return resolve_prefix(text, self.connect)

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


def options_from(values: dict[str, Any], target: str | None = None) -> CommandOptions:
    """Return the parsed options of a command as typed values; an option that the command lacks has its default.

    *target* labels the metrics; without it there are none.
    """
    return CommandOptions(
        display=_display_options(values),
        connect=_connect_options(values) if "endpoint" in values else ConnectOptions(),
        limits=Limits(values.get("limit_rate"), values.get("max_time"), values.get("until")),
        request=upload_request(
            {**values, "is_default_split": not _is_split_given(values)}, NO_SOURCE, NO_TARGET
        ),
        metrics_options=_metrics_options(values, target),
        **fields_of(CommandOptions, values),
    )


def _is_split_given(values: dict[str, Any]) -> bool:
    """Return whether the command line determines how the source is split."""
    return any(conflicts.is_given(values, name) for name in ("parts", "part_size"))


def _display_options(values: dict[str, Any]) -> DisplayOptions:
    quiet = values["quiet"]
    # A bar would mix with what a step prints. Without a terminal, success is silent.
    unasked = "lines" if sys.stderr.isatty() else "auto"
    progress = values.get("progress") or ("none" if quiet else unasked)
    interval_s = values.get("progress_interval")
    if interval_s is not None and not interval_s >= MIN_INTERVAL_S:
        raise WrongUsage(
            f"--progress-interval must be at least {exact_duration(MIN_INTERVAL_S)}, "
            f"not {exact_duration(interval_s)}",
            "More output would slow down the upload",
            run_again(
                "use a longer interval", add=("--progress-interval", "1s"), option="--progress-interval"
            ),
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
    headers = values.get("headers", ()) + (() if is_given else for_requests)
    return connect_options(
        {**values, "headers": headers, "request_headers": for_requests if is_given else ()}
    )


def _refuse_proxy_password(values: dict[str, Any]) -> None:
    """Raise WrongUsage if --proxy contains a password: every user of this machine can read command lines."""
    if conflicts.is_given(values, "proxy") and without_password(values["proxy"]) != values["proxy"]:
        raise WrongUsage(
            "--proxy contains a password",
            "Other users of this machine can read the command line",
            NextStep("Leave out --proxy and set HTTPS_PROXY, or OBSUP_PROXY, in the environment"),
        )
