"""Run ``obsup upload`` for many files: one engine call, one outcome per file, and a summary."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from io import RawIOBase
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import click
from msgspec.structs import replace

from obsup.cli.display.batch_meter import BatchMeter
from obsup.cli.report.batch import BatchCommand, BatchReport, FailedList, summary_line
from obsup.cli.report.next_command import resume_command
from obsup.cli.run.batch_options import BatchOptions
from obsup.cli.run.requests import NO_SOURCE, CommandOptions
from obsup.cli.run.session import Session, explain_stop, run_command
from obsup.engine.batch.outcome import BatchSummary
from obsup.engine.batch.request import BatchRequest, SharedRequest
from obsup.engine.batch.uploader import BatchUploader, compare_batch
from obsup.engine.job.connection import StoreSettings
from obsup.errors import ObsupError, SourceUnreadable, run_again
from obsup.local.files.existing import exists, is_file
from obsup.local.source.stream import WaitingStream, open_standard_input
from obsup.local.state import journal as journals
from obsup.local.state.lock import lock_files
from obsup.local.walk.batch_id import batch_id
from obsup.local.walk.file_list import listed, read_entries
from obsup.local.walk.filters import make_selection
from obsup.local.walk.overwritten import is_in
from obsup.local.walk.reached_folders import find_reached
from obsup.local.walk.unique_keys import unique_keys
from obsup.local.walk.walk import Entry, SourceRoot, Walk, can_collide, not_empty, root_of
from obsup.model import Target
from obsup.text import quoted, shell_word

PIPED = "-"


def run_batch(
    sources: Sequence[str],
    target: str,
    options: CommandOptions,
    batch: BatchOptions,
    *,
    command: BatchCommand = "upload",
) -> int:
    """Upload many files, or verify them, and return the exit code. Raises UsageError."""
    check_usage(sources, target, options, batch)
    written = _written_files(options, batch)
    piped_list = _check_list(batch, written)
    _check_links(sources, _walk_of(batch), written)

    def work(session: Session) -> tuple[BatchReport, BatchSummary]:
        prefix, settings = options.resolve_prefix(target)
        path, resume = batch.failed_list, resume_command(sys.argv[1:])
        failed_list = FailedList(path, batch.separator, batch.from_list) if path is not None else None
        batch_report = BatchReport(
            prefix, as_json=options.as_json, failed_list=failed_list, resume=resume, command=command
        )
        try:
            # With --failed-list, a list may still arrive as long as parts in flight may.
            on_idle = session.stop.check if failed_list is None else session.stop.check_in_flight
            request = batch_request(sources, prefix, options, batch, piped_list=piped_list, on_idle=on_idle)
            return batch_report, _carry_out(command, session, settings, request, batch_report)
        except ObsupError:
            if failed_list is not None:
                failed_list.discard()
            raise

    def report(session: Session, done: tuple[BatchReport, BatchSummary]) -> int:
        batch_report, summary = done
        code = batch_report.finish(summary)
        if not code and not options.display.quiet and not options.as_json:
            session.display.show_summary(summary_line(summary, command))
        return code

    name = target.partition("://")[2] or target
    return run_command(command, options, work, report, name=name, meter=BatchMeter())


def _carry_out(
    command: BatchCommand,
    session: Session,
    settings: StoreSettings,
    request: BatchRequest,
    report: BatchReport,
) -> BatchSummary:
    observe, stop = session.display.observe, session.stop
    connection = session.connect(settings, observe)
    if command == "verify":
        summary = compare_batch(connection, request, report, observe=observe, stop=stop)
    else:
        summary = BatchUploader(connection, request, observe=observe, stop=stop, limit=session.limit).run(
            report
        )
    if summary.ended_by is not None:
        work = "no file or part was complete" if command == "upload" else "not all files were compared"
        is_short = command == "verify" or not summary.has_progress
        explain_stop(summary.ended_by, session, too_short=f"{work} in that time" if is_short else "")
    return summary


def check_usage(sources: Sequence[str], target: str, options: CommandOptions, batch: BatchOptions) -> None:
    """Raise UsageError for arguments that many files cannot have."""
    if not target.endswith("/"):
        folder = shell_word(f"{target}/")
        raise click.UsageError(f"TARGET must end in / for several files, for example {folder}.")
    if not sources and not batch.from_list:
        raise click.UsageError("Missing argument 'SOURCE' or 'TARGET'.")
    if PIPED in sources:
        raise click.UsageError(
            "Standard input cannot be one of several SOURCEs. To read a list from it, use --from-list -"
        )
    for name, value in (
        ("--parts", options.request.parts),
        ("--receipt", options.request.receipt),
        ("--expect-size", options.expect_size),
        ("--expect-md5", options.expect_md5),
        ("--expect-sha256", options.expect_sha256),
    ):
        if value is not None:
            raise click.UsageError(f"{name} applies to one object: upload that file separately.")


def _written_files(options: CommandOptions, batch: BatchOptions) -> dict[str, Path]:
    """Return the files that the options name to be written, by option."""
    metrics = options.metrics_options
    named = {
        "--log-file": options.display.log_file,
        "--failed-list": batch.failed_list,
        "--metrics": metrics.path if metrics is not None else None,
        "--checkpoint": options.checkpoint,
    }
    return {option: path for option, path in named.items() if path is not None}


def _check_list(batch: BatchOptions, written: Mapping[str, Path]) -> BinaryIO | None:
    """Raise UsageError if the list names a file that an option would write. It must happen before that is opened.

    Return a copy of the list if it was read from standard input, otherwise None.
    """
    existing = {option: path for option, path in written.items() if exists(path)}
    if batch.from_list is None or not existing:
        return None
    with _open_list(batch.from_list) as stream:
        if str(batch.from_list) != PIPED:
            _check_entries(read_entries(stream, batch.separator), existing)
            return None
        copy = cast(BinaryIO, TemporaryFile())  # noqa: SIM115 - closed with the last reference
        shutil.copyfileobj(stream, copy)
    copy.seek(0)
    _check_entries(read_entries(copy, batch.separator), existing)
    copy.seek(0)
    return copy


def _check_entries(entries: Iterable[str], existing: Mapping[str, Path]) -> None:
    identities = {_identity(path): option for option, path in existing.items()}
    for entry in entries:
        try:
            option = identities.get(_identity(entry))
        except (OSError, ValueError):
            continue
        if option is None and os.path.isdir(entry):  # noqa: PTH112 - a list can have a million entries
            option = next((one for one, path in existing.items() if is_in(path, Path(entry))), None)
        if option is not None:
            raise click.UsageError(
                f"{option} {existing[option]} is, or is inside, {entry} of the list: obsup would overwrite it. "
                "Name another file."
            )


def _walk_of(batch: BatchOptions) -> Walk:
    return Walk(batch.recursive, batch.links, make_selection(batch.include, batch.exclude))


def _check_links(sources: Sequence[str], walk: Walk, written: Mapping[str, Path]) -> None:
    """Raise UsageError if a file to write is sent by another name, or lies in a folder that a link leads to."""
    places, inodes = {}, set()
    for option, path in written.items():
        if option == "--checkpoint":  # recognised and not sent
            continue
        with contextlib.suppress(OSError):
            places[_identity(path.parent)] = (f"{option} {path}", "inside")
        if is_file(path):
            found = path.stat()
            places[found.st_dev, found.st_ino] = (f"{option} {path}", "the same file as")
            inodes |= {found.st_ino} if found.st_nlink > 1 else set()
    for source in sources if places else ():
        reached = find_reached(walk, root_of(source), places, inodes=inodes)
        if reached is not None:
            named, relation = places[_identity(reached)]
            raise click.UsageError(
                f"{named} is {relation} {reached}, which is sent: obsup would overwrite it. Name another file."
            )


def _identity(path: str | Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116
    return found.st_dev, found.st_ino


def batch_request(
    sources: Sequence[str],
    prefix: Target,
    options: CommandOptions,
    batch: BatchOptions,
    *,
    piped_list: BinaryIO | None = None,
    on_idle: Callable[[], object] = lambda: None,
) -> BatchRequest:
    """Return the request to upload all files below *prefix*. Raises WrongUsage.

    *piped_list* is what standard input contained if it was read already. *on_idle* is called while a list is awaited.
    """
    walk, shard = _walk_of(batch), batch.shard
    if shard is not None:  # the share of a key is the same on all machines
        walk = replace(walk, is_ours=lambda name: shard.has(prefix.key + name))
    named, folder = options.checkpoint, options.checkpoint_dir
    identity = batch_id(sources, from_list=batch.from_list, shard=shard)
    journal = named or journals.default_path(prefix, identity, folder)
    template = replace(options.request, source=NO_SOURCE, target=prefix)
    written = [*_written_files(options, batch).values(), journal]
    return BatchRequest(
        entries=lambda: _entries(
            sources, _without(walk, [*written, *lock_files()]), batch, piped_list, on_idle
        ),
        shared=SharedRequest(template, prefix, folder),
        batch_id=identity,
        journal=journal if options.request.keep_checkpoint else None,
        is_journal_explicit=named is not None,
        fail_fast=batch.fail_fast,
        lists_unstarted=batch.failed_list is not None,
        reports_requests=options.display.verbose or options.display.log_file is not None,
    )


def _without(walk: Walk, written: Iterable[Path]) -> Walk:
    """Return the walk that does not send the files that exist at the paths *written*."""
    return replace(walk, written=frozenset(_identity(path) for path in written if is_file(path)))


def _entries(
    sources: Sequence[str],
    walk: Walk,
    batch: BatchOptions,
    piped_list: BinaryIO | None,
    on_idle: Callable[[], object],
) -> Iterator[Entry]:
    """Yield all files. If two sources may have the same key, all files are listed before the first is yielded."""
    roots = [root_of(source) for source in sources]
    fail = batch.fail_if_empty

    def walked() -> Iterator[Entry]:
        for root in roots:
            yield from not_empty(walk.entries(root), root, fail=fail)
        if batch.from_list is not None:
            root = SourceRoot(str(batch.from_list), str(batch.from_list))
            with nullcontext(piped_list) if piped_list else _open_list(batch.from_list, on_idle) as stream:
                yield from not_empty(listed(walk, stream, batch.separator), root, fail=fail)

    is_distinct = batch.from_list is None and not can_collide(roots)
    return walked() if is_distinct else unique_keys(walked())


@contextmanager
def _open_list(path: Path, on_idle: Callable[[], object] = lambda: None) -> Iterator[RawIOBase]:
    """Open the list at *path*; ``-`` is standard input. Raises SourceUnreadable, and what *on_idle* raises."""
    if str(path) == PIPED:
        open_standard_input(is_open=sys.stdin is not None)
        yield WaitingStream(0, on_idle)
        return
    try:
        file = path.open("rb", buffering=0)
    except OSError as exc:
        raise SourceUnreadable(
            f"cannot read the list {quoted(path)}",
            exc.strerror or "",
            run_again("check the path of --from-list"),
        ) from exc
    with file:
        yield WaitingStream(file.fileno(), on_idle)
