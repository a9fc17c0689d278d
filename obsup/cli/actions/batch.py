"""``obsup upload`` of many files: from options to one engine call, an outcome a file, and a summary."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import click

from obsup.cli.display.batch_meter import BatchMeter
from obsup.cli.display.display import open_display
from obsup.cli.report import output
from obsup.cli.report.batch import BatchReport, FailedList, told
from obsup.cli.report.fields import failure_fields
from obsup.cli.run.requests import connect_options_from, deadline_s, request_from
from obsup.cli.run.signals import stopping_on_signals
from obsup.engine.batch.request import BatchRequest
from obsup.engine.batch.uploader import BatchUploader
from obsup.engine.job.connection import connect
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import resolve_prefix
from obsup.errors import Busy, ObsupError, SourceUnreadable
from obsup.local.source.rate_limit import RateLimit
from obsup.local.state import journal as journals
from obsup.local.walk.file_list import listed
from obsup.local.walk.filters import make_selection
from obsup.local.walk.unique_keys import unique_keys
from obsup.local.walk.walk import Entry, Walk, can_meet, root_of
from obsup.model import Target
from obsup.text import quoted, shell_word

PIPED = "-"
# What is about one object, and would be wrong of several.
_OF_ONE = ("parts", "receipt", "expect_size", "expect_md5", "expect_sha256")


def run_batch(sources: Sequence[str], target: str, values: dict[str, Any]) -> int:
    """Upload many files, report, and return the exit code. Raises UsageError."""
    check_usage(sources, target, values)
    resume = output.resume_command(sys.argv[1:])
    stop = StopSignal(deadline_s=deadline_s(values, now=datetime.now(), monotonic_s=time.monotonic()))
    failed: FailedList | None = None
    try:
        place, settings = resolve_prefix(target, connect_options_from(values))
        failed = FailedList(values["failed_list"], _separator(values)) if values["failed_list"] else None
        reported = BatchReport(place, as_json=values["as_json"], failed=failed, resume=resume)
        with open_display(values, str(place), BatchMeter(), stop=stop) as display, stopping_on_signals(stop):
            batch = BatchUploader(
                connect(settings, observe=display.observe, sleep=stop.sleep),
                order_of(sources, place, values),
                observe=display.observe,
                stop=stop,
                limit=RateLimit(values["limit_rate"], check=stop.cut) if values["limit_rate"] else None,
            )
            summary = batch.run(reported)
    except ObsupError as exc:
        if failed is not None:
            failed.discard()
        return _failed(exc, values, resume)
    code = reported.finish(summary)
    if not code and not values["quiet"] and not values["as_json"]:
        display.finished(told(summary))
    return code


def check_usage(sources: Sequence[str], target: str, values: dict[str, Any]) -> None:
    """Raise UsageError for what cannot be asked of many files."""
    if not target.endswith("/"):
        folder = shell_word(f"{target}/")
        raise click.UsageError(f"Several files go under a TARGET that ends in /: write {folder}")
    if not sources and not values["from_list"]:
        raise click.UsageError("Missing argument 'SOURCE' or 'TARGET'.")
    if PIPED in sources:
        raise click.UsageError(
            "Standard input cannot be one of several SOURCEs. A list from it: --from-list -"
        )
    for name in _OF_ONE:
        if values[name] is not None:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is about one object: upload that file by itself."
            )


def order_of(sources: Sequence[str], place: Target, values: dict[str, Any]) -> BatchRequest:
    """Return the order that the options make. Raises WrongUsage."""
    walk = Walk(values["recursive"], values["links"], make_selection(values["include"], values["exclude"]))
    named, folder = values["checkpoint"], values["checkpoint_dir"]
    stands_for = _stands_for(sources, values["from_list"])
    journal = named or journals.default_path(place, stands_for, folder)
    return BatchRequest(
        entries=lambda: _entries(sources, walk, values),
        place=place,
        each=request_from(Path(), place, {**values, "checkpoint": None, "checkpoint_dir": None}),
        stands_for=stands_for,
        journal=None if values["no_checkpoint"] else journal,
        is_journal_named=named is not None,
        folder=folder,
        fail_fast=values["fail_fast"],
        tells_requests=bool(values["verbose"] or values["log_file"]),
    )


def _stands_for(sources: Sequence[str], list_path: Path | None) -> str:
    """Return 8 hex digits that tell what is uploaded: the same of the same command in the same folder."""
    words = sorted(f"{Path(source).absolute()}{'/' if source.endswith('/') else ''}" for source in sources)
    words.append(f"list {list_path.absolute() if list_path is not None else ''}")
    return hashlib.sha256(os.fsencode("\n".join(words))).hexdigest()[:8]


def _entries(sources: Sequence[str], walk: Walk, values: dict[str, Any]) -> Iterator[Entry]:
    """Return the walk over everything; where two sources could have one key, it is looked at whole beforehand."""
    roots = [root_of(source) for source in sources]

    def walked() -> Iterator[Entry]:
        for root in roots:
            yield from walk.entries(root)
        if values["from_list"] is not None:
            with _open_list(values["from_list"]) as stream:
                yield from listed(walk, stream, _separator(values))

    is_apart = values["from_list"] is None and not can_meet(roots)
    return walked() if is_apart else unique_keys(walked())


def _separator(values: dict[str, Any]) -> bytes:
    return b"\0" if values["null"] else b"\n"


@contextmanager
def _open_list(path: Path) -> Iterator[BinaryIO]:
    """Give the list at *path*; - is standard input. Raises SourceUnreadable."""
    if str(path) == PIPED:
        yield sys.stdin.buffer
        return
    with ExitStack() as held:
        try:
            stream = held.enter_context(path.open("rb"))
        except OSError as exc:
            raise SourceUnreadable(
                f"the list {quoted(path)} cannot be read", exc.strerror or "", "check --from-list"
            ) from exc
        yield stream


def _failed(error: ObsupError, values: dict[str, Any], resume: list[str]) -> int:
    if isinstance(error, Busy) and values["if_running"] == "skip":
        return 0
    output.print_message(output.error_lines(error, resume=resume))
    if values["as_json"]:
        output.print_failure(failure_fields(error, command="upload", resume=resume))
    return error.exit_code
