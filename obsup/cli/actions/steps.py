"""Run the steps of an upload: init, part, complete, abort."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import TextIO

from msgspec.structs import replace

from obsup.cli.arguments.source_target import is_piped
from obsup.cli.report.fields import response_fields, result_fields, target_fields
from obsup.cli.report.next_command import resume_command
from obsup.cli.run.requests import NO_SOURCE, CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.engine.job.context import UploadContext
from obsup.engine.job.target_text import split_target
from obsup.engine.steps import part as part_steps
from obsup.engine.steps.abort import abort_upload
from obsup.engine.steps.complete import ManualCompletion
from obsup.engine.steps.completion_checks import CompletionChecks
from obsup.engine.steps.copy_part import CopySource, copy_one
from obsup.engine.steps.initiate import initiate
from obsup.engine.steps.lookup import UploadSelector
from obsup.engine.steps.part import PartWindow
from obsup.engine.upload.uploader import Uploader
from obsup.errors import NextStep, SourceUnreadable, WrongUsage, run_again
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import WaitingStream, open_standard_input
from obsup.local.source.stream_parts import read_stream_part
from obsup.text import utf8_name

# 10,000 lines of a part number, a size, an ETag and a time have less than 1 MB.
MAX_LIST_CHARACTERS = 8_000_000


def _open(
    session: Session, source: Path | None, target: str, options: CommandOptions
) -> tuple[UploadSelector, UploadContext]:
    """Return the upload that the command line names, and what the engine needs to work on it."""
    selector, settings = options.select_upload(source, target)
    session.fields |= target_fields(selector.target)
    request = replace(
        options.request,
        source=selector.source or NO_SOURCE,
        target=selector.target,
        checkpoint=selector.checkpoint,
    )
    return selector, session.context(settings, request)


def run_init(source: Path | None, target: str, options: CommandOptions, *, given: Collection[str]) -> int:
    """Initiate an upload, print its upload id, and return the exit code. *given* is as for ``initiate``."""

    def work(session: Session) -> str:
        _, context = _open(session, source, target, options)
        if source is None:
            upload = initiate(context, given=given)
        else:
            uploader = Uploader(context.connection, context.request, tally=session.tally, stop=session.stop)
            checkpoint, plan = uploader.initiate()
            upload = checkpoint.upload
            session.fields |= {"size": plan.size, "partSize": plan.part_size, "parts": plan.count}
        session.add_upload(upload)
        session.print_text(upload.upload_id)
        return "initiated"

    return run_step("init", options, work)


def run_part(
    source: Path,
    target: str,
    options: CommandOptions,
    *,
    part_number: int,
    offset: int | None,
    md5: str | None,
) -> int:
    """Send one part, print its ETag, and return the exit code. *offset* is in bytes, *md5* in hex."""
    piped = is_piped(source)

    def work(session: Session) -> str:
        selector, context = _open(session, None if piped else source, target, options)
        if piped:
            content = _read_part(session, context, part_number)
            sent = part_steps.send_read(context, selector, content, md5=md5)
        else:
            request = options.request
            window = PartWindow(request.parts, request.part_size, offset, request.is_default_split)
            sent = part_steps.send_one(context, selector, part_number, window, md5=md5)
        session.add_upload(sent.upload)
        session.fields |= {
            "partNumber": part_number,
            "etag": sent.receipt.etag,
            "size": sent.receipt.size,
            **response_fields(sent.stored),
        }
        session.print_text(sent.receipt.etag)
        return "stored"

    return run_step("part", options, work, resume=resume_command(sys.argv[1:], is_piped=piped))


def _read_part(session: Session, context: UploadContext, number: int) -> MemoryPart:
    """Return the next --part-size bytes of standard input, or all of it. Raises WrongUsage, SourceUnreadable."""
    limits, size = context.dialect.limits, session.options.request.part_size
    part_steps.check_number(number, limits)
    part_steps.check_size(size or 0, limits)
    stream = open_standard_input(is_open=sys.stdin is not None, on_idle=session.stop.check)
    content = read_stream_part(stream, number, size or limits.max_part + 1, context.digests.digest())
    part_steps.check_size(content.part.size, limits)
    if not content.part.size:
        raise SourceUnreadable(
            "standard input is empty",
            "The command that writes it may have failed",
            run_again("check the command that writes to the pipe"),
        )
    return content


def run_copy(
    source: Path | None,
    target: str,
    options: CommandOptions,
    *,
    part_number: int,
    copy_source: str,
    copy_range: tuple[int, int] | None,
) -> int:
    """Copy one part inside the store, print its ETag, and return the exit code.

    *copy_source* is ``BUCKET/KEY`` or ``BUCKET/KEY?versionId=ID``. *copy_range* is its first and last byte, inclusive.
    """

    def work(session: Session) -> str:
        selector, context = _open(session, source, target, options)
        name, _, version_id = utf8_name(copy_source).partition("?versionId=")
        _, bucket, key = split_target(name, what="copy source")
        copied = CopySource(bucket, key, copy_range, version_id or None)
        upload, stored = copy_one(context, selector, part_number, copied)
        session.add_upload(upload)
        session.fields |= {"partNumber": part_number, "etag": stored.etag, **response_fields(stored)}
        session.print_text(stored.etag)
        return "stored"

    return run_step("part", options, work)


def run_complete(
    source: Path | None,
    target: str,
    options: CommandOptions,
    *,
    etags: Iterable[tuple[int, str]],
    etags_from: TextIO | None,
    is_acl_given: bool,
) -> int:
    """Assemble the parts, print the object's ETag, and return the exit code.

    *etags* and the lines of *etags_from* are the user's own list of parts. *is_acl_given*: the command line has an ACL;
    one of the environment or the configuration file was that of init, unless the store takes it here.
    """
    # --parts and --verify-source are checks here; for the engine they would be options of a new upload.
    without_checks = replace(options, request=replace(options.request, parts=None, verify_source=False))

    def work(session: Session) -> str:
        selector, context = _open(session, source, target, without_checks)
        if not is_acl_given and not context.dialect.acl_on_complete:
            object_options = replace(context.request.options, acl=None)
            context = replace(context, request=replace(context.request, options=object_options))
        checks = CompletionChecks(
            count=options.request.parts,
            size=options.expect_size,
            etags=_parse_etags(etags, _awaited(etags_from, session)),
            verify_source=options.request.verify_source,
        )
        result = ManualCompletion(context, selector, checks).complete()
        seconds = round(session.tally.seconds, 3)
        session.fields |= {**result_fields(result), "command": "complete", "seconds": seconds}
        session.print_text(result.etag)
        return "completed"

    return run_step("complete", options, work)


def run_abort(source: Path | None, target: str, options: CommandOptions) -> int:
    """Abort an upload and return the exit code."""

    def work(session: Session) -> str:
        selector, context = _open(session, source, target, options)
        upload = abort_upload(context, selector)
        if upload is not None:
            session.add_upload(upload)
        return "aborted"

    return run_step("abort", options, work)


def _awaited(file: TextIO | None, session: Session) -> TextIO | None:
    """Return *file*, which may be a pipe, as a file whose reader a signal or the deadline ends."""
    if file is None:
        return None
    stream = WaitingStream(file.fileno(), session.stop.check)
    return TextIOWrapper(BufferedReader(stream), file.encoding, file.errors)


def _lines_of(file: TextIO | None) -> list[str]:
    """Return the lines of the file of --etags-from. Raises WrongUsage if it is not a list."""
    try:
        text = file.read(MAX_LIST_CHARACTERS + 1) if file is not None else ""
        why = f"It has more than {MAX_LIST_CHARACTERS} characters" if len(text) > MAX_LIST_CHARACTERS else ""
    except UnicodeDecodeError as exc:
        why = f"It has bytes that are not valid UTF-8 ({exc.reason})"
    if why:
        raise WrongUsage(
            "the file of --etags-from is not text",
            why,
            NextStep("use a file with a part number and an ETag per line"),
        )
    return text.splitlines()


def _parse_etags(given: Iterable[tuple[int, str]], file: TextIO | None) -> dict[int, str] | None:
    """Return the user's ETags by part number, None without a list. Raises WrongUsage.

    A line has a part number and an ETag, or is what ``obsup parts`` prints: number, size, ETag, time.
    """
    pairs = list(given)
    for number, line in enumerate(_lines_of(file), start=1):
        words = line.replace(":", " ", 1).split() if line.count("\t") < 2 else line.split("\t")
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or not words[0].isdecimal():
            raise WrongUsage(
                f"line {number} of --etags-from is not a valid part: {line.strip()!r}",
                "A line has a part number and an ETag, or is what obsup parts prints",
                NextStep("correct the line"),
            )
        pairs.append((int(words[0]), (words[2] if len(words) > 2 else words[1]).strip('"')))
    if not pairs and file is None:
        return None
    by_number = dict(pairs)
    if len(by_number) < len(pairs):
        raise WrongUsage(
            "--etag or --etags-from name a part twice",
            "Each part has one ETag",
            NextStep("name each part once"),
        )
    return by_number
