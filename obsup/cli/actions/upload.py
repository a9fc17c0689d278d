"""Run ``obsup upload`` for one file."""

from __future__ import annotations

from pathlib import Path

from obsup.cli.arguments.source_target import check_no_folder
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, report_upload, run_command
from obsup.engine.job.result import Result
from obsup.engine.upload.uploader import Uploader


def run_upload(source: Path, target: str, options: CommandOptions) -> int:
    """Upload a file and return the exit code."""

    def work(session: Session) -> Result:
        check_no_folder(source, target)
        resolved, settings = options.resolve_target(target, file_name=source.name)
        request = options.request_for(source, resolved)
        return Uploader(
            session.connect(settings), request, tally=session.tally, stop=session.stop, limit=session.limit
        ).run()

    return run_command("upload", options, work, report_upload, name=source.name, is_transfer=True)
