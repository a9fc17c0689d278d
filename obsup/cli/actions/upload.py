"""Run the upload command for one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from obsup.cli.report import output
from obsup.cli.run.requests import connect_options_from, request_from
from obsup.cli.run.transfer import Running, run_transfer
from obsup.engine.job.result import Result
from obsup.engine.job.target_settings import resolve_target
from obsup.engine.upload.uploader import Uploader


def run_upload(source: Path, target: str, values: dict[str, Any]) -> int:
    """Upload a file, report, and return the exit code. Raises ObsupError where text is wanted of it."""

    def work(running: Running) -> Result:
        named, settings = resolve_target(target, connect_options_from(values), file_name=source.name)
        order = request_from(source, named, values)
        return Uploader(
            running.connect(settings), order, tally=running.tally, stop=running.stop, limit=running.limit
        ).run()

    return run_transfer(work, values, name=source.name, resume=output.resume_command(sys.argv[1:]))
