"""Run ``obsup verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup.cli.arguments.source_target import check_no_folder, check_not_piped
from obsup.cli.report import output
from obsup.cli.report.fields import target_fields
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.engine.verify.comparison import Identical
from obsup.engine.verify.file_check import check_object
from obsup.text import quoted

_STREAM = (
    "a stream is verified while it is uploaded and cannot be compared afterwards; the digests of its parts are in the "
    "receipt that upload --receipt writes"
)


def run_verify(source: Path, target: str, options: CommandOptions, *, is_plan_given: bool) -> int:
    """Compare an object with a file and return the exit code.

    *is_plan_given*: the command line sets the part size; a part size from the configuration is only a hint.
    """
    display = options.display

    def work(session: Session) -> str:
        check_not_piped(source, _STREAM)
        check_no_folder(source, target)
        resolved, settings = options.resolve_target(target, file_name=source.name)
        session.fields |= target_fields(resolved)
        context = session.context(settings, replace(options.request, source=source, target=resolved))
        identical = check_object(context, is_plan_given=is_plan_given)
        session.fields |= _fields(identical)
        if display.verbose or (sys.stderr.isatty() and not display.quiet):
            text = f"{resolved} matches {quoted(source)}: {identical.info.size} bytes, verified by {identical.by}"
            output.print_message(text)
        return "identical"

    return run_step("verify", options, work)


def _fields(identical: Identical) -> dict[str, Any]:
    info = identical.info
    return {
        "etag": info.etag,
        "versionId": info.version_id,
        "size": info.size,
        "partSize": identical.part_size,
        "parts": identical.parts,
        "verified": identical.by,
    }
