"""A transfer seen from the shell: options in, one engine call, progress, signals, and the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from obsup.cli import fitting, report
from obsup.cli.display import open_display, summary
from obsup.cli.signals import stopping_on_signals
from obsup.engine.connect import Connection, StoreSettings, connect
from obsup.engine.order import Order, Result
from obsup.engine.progress import Tally
from obsup.engine.settings import Connecting, settle_target
from obsup.engine.stop import StopSignal
from obsup.engine.uploader import Uploader
from obsup.errors import Busy, ObsupError, WrongUsage
from obsup.frozen import frozen
from obsup.local.checkpoint import default_path
from obsup.local.expectation import Expectation
from obsup.local.rate import RateLimit
from obsup.model import ObjectOptions, Target
from obsup.store.transport import LineSettings

# Ten times as much is the longest that poll(2) can wait.
LONGEST_WAIT_S = 86400.0


def connecting_from(values: dict[str, Any]) -> Connecting:
    """Return how to reach the store, from the options of a command.

    Headers that the environment or the configuration has for objects are nothing to a command that makes none.
    """
    for_requests = tuple(values.get("request_headers") or ())
    is_asked = fitting.is_given(values, "request_headers")
    return Connecting(
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
        line=LineSettings(
            connect_timeout_s=_wait_of("connect-timeout", values),
            stall_timeout_s=_wait_of("stall-timeout", values),
            ca_bundle=str(values["ca_bundle"]) if values["ca_bundle"] else None,
            verify_tls=not values["no_verify_tls"],
            proxy=values["proxy"],
        ),
    )


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


def order_from(source: Path, target: Target, values: dict[str, Any]) -> Order:
    """Return the order that the options of a command make."""
    return Order(
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


@frozen
class Running:
    """A transfer under way: who counts, what may stop it, what holds it back."""

    tally: Tally
    stop: StopSignal
    limit: RateLimit | None

    def connect(self, settings: StoreSettings) -> Connection:
        """Return the store that *settings* describe. Raises Denied, BadConfiguration."""
        return connect(settings, observe=self.tally, sleep=self.stop.sleep)


def run_upload(source: Path, target: str, values: dict[str, Any]) -> int:
    """Upload a file, report, and return the exit code. Raises ObsupError where text is wanted of it."""

    def work(running: Running) -> Result:
        named, settings = settle_target(target, connecting_from(values), file_name=source.name)
        order = order_from(source, named, values)
        return Uploader(
            running.connect(settings), order, tally=running.tally, stop=running.stop, limit=running.limit
        ).run()

    return carry_out(work, values, name=source.name, resume=report.resume_command(sys.argv[1:]))


def carry_out(
    work: Callable[[Running], Result],
    values: dict[str, Any],
    *,
    name: str,
    resume: list[str] | None,
    hear: Callable[[int], None] | None = None,
) -> int:
    """Do *work* on a transfer called *name* with progress, signals and report; return the exit code.

    *resume* is the command line that goes on with it, in words, None where none can. *hear* is told of signals.
    """
    stop = StopSignal(deadline_s=deadline_s(values, now=datetime.now(), monotonic_s=time.monotonic()))
    limit = RateLimit(values["limit_rate"], check=stop.cut) if values["limit_rate"] else None
    tally: Tally | None = None
    try:
        with open_display(values, name, stop=stop) as display, stopping_on_signals(stop, hear):
            tally = Tally(display.progress, display.observe)
            result = work(Running(tally, stop, limit))
    except Busy as exc:
        if values["if_running"] == "skip":
            return 0
        return _failed(exc, values, resume, tally)
    except ObsupError as exc:
        return _failed(exc, values, resume, tally)
    if values["as_json"]:
        report.answer_json(result_fields(result))
    elif not values["quiet"]:
        display.finished(summary(result))
    return 0


def _failed(error: ObsupError, values: dict[str, Any], resume: list[str] | None, tally: Tally | None) -> int:
    stored = (tally.resumed_parts + tally.sent_parts, tally.parts) if tally is not None else (0, None)
    report.say(report.error_lines(error, resume=resume, stored=stored))
    if values["as_json"]:
        fields = report.failure_fields(error, command="upload", resume=resume)
        if tally is not None:
            fields |= {
                "parts": tally.parts,
                "sentParts": tally.sent_parts,
                "sentBytes": tally.sent_bytes,
                "seconds": round(tally.seconds, 3),
            }
        report.answer_failure(fields)
    return error.exit_code


def result_fields(result: Result) -> dict[str, Any]:
    """Return the documented keys of a finished upload for ``--json``."""
    return {
        "command": "upload",
        "status": "completed",
        "provider": result.target.provider,
        "bucket": result.target.bucket,
        "key": result.target.key,
        "uploadId": result.upload_id,
        "etag": result.etag,
        "versionId": result.version_id,
        "location": result.location,
        "size": result.size,
        "partSize": result.part_size,
        "parts": result.parts,
        "sentParts": result.sent_parts,
        "sentBytes": result.sent_bytes,
        "seconds": round(result.seconds, 3),
        "verified": result.verified,
        "requestId": result.request_id,
    }
