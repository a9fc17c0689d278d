"""Turn the options of a command into typed requests."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from obsup.cli.arguments import conflicts
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.steps.lookup import UploadSelector
from obsup.errors import WrongUsage
from obsup.local.source.expectation import Expectation
from obsup.local.state.checkpoint_path import default_path
from obsup.model import ObjectOptions, Target
from obsup.store.http.settings import ConnectionSettings

# Ten times as much is the longest that poll(2) can wait.
LONGEST_WAIT_S = 86400.0


def _wait_of(name: str, values: dict[str, Any]) -> float:
    """Return how many seconds the option *name* has a socket wait. Raises WrongUsage for what no socket can."""
    seconds = float(values[name.replace("-", "_")])
    if not 0 < seconds <= LONGEST_WAIT_S:
        raise WrongUsage(
            f"--{name} cannot be {seconds:g} s",
            "without patience every connection would be cut, and no socket waits for weeks",
            f"give more than 0s and at most 1d, for example: --{name} 60s",
        )
    return seconds


def select_upload(
    source: Path | None, target: str, values: dict[str, Any]
) -> tuple[UploadSelector, StoreSettings]:
    """Return the upload that SOURCE, TARGET and the options name, and the settings of its store."""
    file_name = source.name if source is not None else None
    named, settings = resolve_target(target, connect_options_from(values), file_name=file_name)
    checkpoint = checkpoint_from(source, named, values) if source is not None else values["checkpoint"]
    return UploadSelector(named, source, values.get("upload_id"), checkpoint), settings


def connect_options_from(values: dict[str, Any]) -> ConnectOptions:
    """Return how to reach the store, from the options of a command.

    Headers that the environment or the configuration has for objects are nothing to a command that makes none.
    """
    for_requests = tuple(values.get("request_headers") or ())
    is_asked = conflicts.is_given(values, "request_headers")
    return ConnectOptions(
        endpoint=values["endpoint"],
        provider=values["provider"],
        signature=values["signature"],
        region=values["region"],
        addressing=values["addressing"],
        profile=values["profile"],
        config_path=str(values["config_path"]) if values["config_path"] else None,
        customer_key_file=str(values["sse_c_key_file"]) if values.get("sse_c_key_file") else None,
        retry_for_s=values.get("retry_for", 900.0),
        max_parts=values.get("max_parts"),
        headers=tuple(values.get("headers") or ()) + (() if is_asked else for_requests),
        request_headers=for_requests if is_asked else (),
        line=ConnectionSettings(
            connect_timeout_s=_wait_of("connect-timeout", values),
            stall_timeout_s=_wait_of("stall-timeout", values),
            ca_bundle=str(values["ca_bundle"]) if values["ca_bundle"] else None,
            verify_tls=not values["no_verify_tls"],
            proxy=values["proxy"],
        ),
    )


def object_options_from(values: dict[str, Any]) -> ObjectOptions:
    """Return what the object shall be, from the options of a command."""
    return ObjectOptions(
        content_type=values["content_type"],
        content_encoding=values["content_encoding"],
        content_disposition=values["content_disposition"],
        content_language=values["content_language"],
        cache_control=values["cache_control"],
        expires_header=values["expires_header"],
        metadata=dict(values["metadata"]),
        tags=dict(values["tags"]),
        acl=values["acl"],
        grants=tuple(values["grants"]),
        storage_class=values["storage_class"],
        website_redirect=values["website_redirect"],
        success_redirect=values["success_redirect"],
        expires_days=values["expires_days"],
        sse=values["sse"],
        sse_kms_key_id=values["sse_kms_key_id"],
        no_overwrite=values["no_overwrite"],
        headers=tuple(values["headers"]),
    )


def checkpoint_from(source: Path, target: Target, values: dict[str, Any]) -> Path | None:
    """Return the checkpoint that --checkpoint or --checkpoint-dir names, or None for the usual place."""
    named: Path | None = values["checkpoint"]
    folder: Path | None = values["checkpoint_dir"]
    return default_path(source, target, folder) if named is None and folder is not None else named


def request_from(source: Path, target: Target, values: dict[str, Any]) -> UploadRequest:
    """Return the order that the options of a command make."""
    return UploadRequest(
        source=source,
        target=target,
        options=object_options_from(values),
        parts=values["parts"],
        part_size=values["part_size"],
        jobs=values["jobs"],
        executor=values["executor"],
        presign=values["presign"],
        checkpoint=checkpoint_from(source, target, values),
        keep_checkpoint=not values["no_checkpoint"],
        restart=values["restart"],
        verify_source=values["verify_source"],
        content_md5=values["content_md5"],
        digest=values["digest"],
        on_change=values["on_change"],
        if_running=values["if_running"],
        use_token=values["token"],
        encrypted_by_customer=values["sse_c_key_file"] is not None,
        expect=Expectation(values["expect_size"], values["expect_md5"], values["expect_sha256"]),
        abort_on_failure=values["abort_on_failure"],
        skip_identical=values["skip_identical"],
        receipt=values["receipt"],
    )


def deadline_s(values: dict[str, Any], *, now: datetime, monotonic_s: float) -> float | None:
    """Return the earlier of --max-time and --until on the monotonic scale, or None. Raises WrongUsage."""
    ends = []
    if values["max_time"] is not None:
        ends.append(monotonic_s + values["max_time"])
    if values["until"] is not None:
        try:
            moment = datetime.strptime(values["until"], "%H:%M")
        except ValueError:
            raise WrongUsage(
                f"--until {values['until']!r} is no time of day", "", "write it as HH:MM, for example 06:30"
            ) from None
        end = now.replace(hour=moment.hour, minute=moment.minute, second=0, microsecond=0)
        if end <= now:
            end += timedelta(days=1)
        ends.append(monotonic_s + (end - now).total_seconds())
    return min(ends, default=None)
