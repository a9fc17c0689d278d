"""A stream seen from the shell: what is piped in, or what a command writes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.cli.report import output
from obsup.cli.run.requests import connect_options_from, request_from
from obsup.cli.run.transfer import Running, run_transfer
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.job.target_settings import resolve_target
from obsup.engine.stream.uploader import StreamUploader
from obsup.errors import ObsupError
from obsup.local.source.command import CommandSource, command_digest
from obsup.local.source.stream import open_standard_input
from obsup.local.state.checkpoint_path import default_stream_path
from obsup.model import Target
from obsup.text import shell_line

PIPED = "-"
# What errors promise of a command that can be run again, and a pipe without a checkpoint cannot keep.
_PROMISE = "; what is stored is not sent again"


def run_piped(target: str, values: dict[str, Any]) -> int:
    """Upload standard input, report, and return the exit code."""
    command = shell_line(output.resume_command(sys.argv[1:]))

    def work(running: Running) -> Result:
        source = open_standard_input(is_open=sys.stdin is not None)
        if sys.stdin.isatty():
            running.tally(events.Noted("reading from the terminal; Ctrl-D on an empty line ends it"))
        named, settings = resolve_target(target, connect_options_from(values))
        order = _order(PIPED, named, values)
        try:
            return StreamUploader(
                running.connect(settings),
                order,
                source,
                name=PIPED,
                tally=running.tally,
                stop=running.stop,
                limit=running.limit,
            ).run()
        except ObsupError as exc:
            exc.next_step = _next_step(exc, command, is_replayed=order.checkpoint is not None)
            raise

    # No command line goes on with a pipe: whoever writes into it has to do so again.
    return run_transfer(work, values, name=_short(target), resume=None)


def run_command(target: str, command: Sequence[str], values: dict[str, Any]) -> int:
    """Upload what *command* writes, report, and return the exit code."""
    producer = CommandSource(command)
    name = f"command:{command_digest(command)}"

    def work(running: Running) -> Result:
        named, settings = resolve_target(target, connect_options_from(values))
        return StreamUploader(
            running.connect(settings),
            _order(name, named, values),
            producer,
            name=name,
            is_repeatable=True,
            tally=running.tally,
            stop=running.stop,
            limit=running.limit,
        ).run()

    resume = output.resume_command(sys.argv[1:])
    return run_transfer(work, values, name=_short(target), resume=resume, hear=producer.signal)


def _order(name: str, target: Target, values: dict[str, Any]) -> UploadRequest:
    """Return the order that the options make, for the stream that *name* stands for."""
    named: Path | None = values["checkpoint"]
    folder: Path | None = values["checkpoint_dir"]
    if named is None and folder is not None:
        named = default_stream_path(name, target, folder)
    return replace(request_from(Path(PIPED), target, values), checkpoint=named)


def _short(target: str) -> str:
    """Return what to call the stream while it runs: the last word of its key."""
    return target.rstrip("/").rpartition("/")[2]


def _next_step(error: ObsupError, command: str, *, is_replayed: bool) -> str:
    """Return what to do after *error*, for a pipe: *command* is its end, the producer is not known here."""
    if not error.retryable:
        return str(error.next_step) if is_replayed else str(error.next_step).replace(_PROMISE, "")
    if is_replayed:
        return f"feed it the same stream again, what is stored is not sent again: … | {command}"
    return (
        f"run the whole pipe again, from its beginning (it could go on with --checkpoint FILE): … | {command}"
    )
