"""Run the upload command for one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from obsup.cli.report import output
from obsup.cli.run.requests import connecting_from, order_from
from obsup.cli.run.transfer import Running, carry_out
from obsup.engine.job.result import Result
from obsup.engine.job.target_settings import settle_target
from obsup.engine.upload.uploader import Uploader


def run_upload(source: Path, target: str, values: dict[str, Any]) -> int:
    """Upload a file, report, and return the exit code. Raises ObsupError where text is wanted of it."""

    def work(running: Running) -> Result:
        named, settings = settle_target(target, connecting_from(values), file_name=source.name)
        order = order_from(source, named, values)
        return Uploader(
            running.connect(settings), order, tally=running.tally, stop=running.stop, limit=running.limit
        ).run()

    return carry_out(work, values, name=source.name, resume=output.resume_command(sys.argv[1:]))
