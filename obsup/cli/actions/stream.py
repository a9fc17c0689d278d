"""Run ``obsup upload`` for a stream: standard input, or the output of a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.cli.report.next_command import resume_command
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, report_upload, run_command
from obsup.engine.job.result import Result
from obsup.engine.stream.uploader import StreamUploader
from obsup.local.source.command import CommandSource, command_digest
from obsup.local.source.stream import ByteSource, open_standard_input
from obsup.local.state.checkpoint_path import default_stream_path

PIPED = "-"


def run_piped(target: str, options: CommandOptions) -> int:
    """Upload standard input and return the exit code."""

    def work(session: Session) -> Result:
        source = open_standard_input(is_open=sys.stdin is not None)
        if sys.stdin.isatty():
            session.tally(
                events.Noted("reading from the terminal; press Ctrl-D on an empty line to end the input")
            )
        return _upload(session, source, target, name=PIPED, is_repeatable=False)

    keeps_parts = options.checkpoint is not None or options.checkpoint_dir is not None
    resume = resume_command(sys.argv[1:], is_piped=True, keeps_parts=keeps_parts)
    return run_command(
        "upload", options, work, report_upload, name=_last_word(target), resume=resume, is_transfer=True
    )


def run_from_command(target: str, command: Sequence[str], options: CommandOptions) -> int:
    """Upload the output of *command* and return the exit code."""
    source = CommandSource(command)
    name = f"command:{command_digest(command)}"

    def work(session: Session) -> Result:
        return _upload(session, source, target, name=name, is_repeatable=True)

    return run_command(
        "upload",
        options,
        work,
        report_upload,
        name=_last_word(target),
        forward_signal=source.signal,
        is_transfer=True,
    )


def _last_word(target: str) -> str:
    """Return the last word of the key, which names the stream in the progress display."""
    return target.rstrip("/").rpartition("/")[2]


def _upload(session: Session, source: ByteSource, target: str, *, name: str, is_repeatable: bool) -> Result:
    """Upload *source*; *name* identifies the stream in its checkpoint. Raises ObsupError."""
    options = session.options
    resolved, settings = options.resolve_target(target)
    checkpoint = options.checkpoint
    if checkpoint is None and options.checkpoint_dir is not None:
        checkpoint = default_stream_path(name, resolved, options.checkpoint_dir)
    return StreamUploader(
        session.connect(settings),
        replace(options.request_for(Path(PIPED), resolved), checkpoint=checkpoint),
        source,
        name=name,
        is_repeatable=is_repeatable,
        tally=session.tally,
        stop=session.stop,
        limit=session.limit,
    ).run()
