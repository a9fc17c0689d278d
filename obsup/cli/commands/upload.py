"""``obsup upload``: from options to one engine call, and its report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from shutil import which
from typing import Any

import click

from obsup.cli.arguments import completed_words, conflicts, options
from obsup.cli.arguments.command import command
from obsup.cli.arguments.upload_options import many_options, stream_options

PIPED = "-"


@command(short_help="Upload a file, or go on with an upload.")
@click.argument("sources", nargs=-1, metavar="SOURCE…", type=completed_words.SOURCES)
@click.argument("target", type=completed_words.TARGET)
@options.plan_options
@many_options
@stream_options
@options.transfer_options
@options.resume_options
@options.object_options
@options.skip_option
@options.encryption_options
@options.connection_options
@options.output_options
@options.dry_run_option
def upload(sources: tuple[str, ...], target: str, *, from_command: bool, dry_run: bool, **values: Any) -> int:
    """Upload SOURCE to TARGET (BUCKET/KEY), whole and proved, or go on where an earlier run was cut off.

    \b
    obsup upload bigfile bucket/key --parts 5
    obsup upload db.dump obs://backups/2026/ --part-size 64M -j 8
    obsup upload -r photos bucket/2026/
    tar -cz /srv | obsup upload - backups/srv.tgz
    obsup upload --from-command backups/shop.dump -- pg_dump -Fc shop

    The same command run again sends only what is missing.

    Several SOURCEs, and folders with -r, go under a TARGET that ends in /. As with rsync, the keys of a folder begin
    with its name, and of a folder with a slash at its end with what is in it. What is proved is kept in a journal; what
    the store has already with the same content is not sent again, unless object options are given. A file that fails
    does not stop the others; the exit code is then the gravest, in this order: 143, 130, 70, 78, 77, 73, 74, 69, 65,
    66, 2, 76, 1, 75.

    SOURCE - is standard input. A stream takes (jobs + 1) × part size of memory: 54 MiB at first. Its part size
    doubles every 110 parts, so that up to 48.8 TB fit, and beyond 256 MiB fewer parts are in flight, at least one;
    --expect-size or --part-size keeps the parts of a long stream small.
    """
    from obsup.cli.run.requests import batch_options_from, options_from

    conflicts.check_together(values)
    if from_command:
        place, *command = (*sources, target)
        if not command:
            raise click.UsageError("--from-command wants: obsup upload --from-command TARGET -- CMD ARG…")
        conflicts.check_stream(values)
        if dry_run:
            from obsup.cli.actions.dry_run import run_dry

            return run_dry(None, place, options_from(values))
        from obsup.cli.actions.stream import run_command

        return run_command(place, command, options_from(values))
    _hint_at_from_command(sources)
    if sources == (PIPED,):
        conflicts.check_stream(values)
    if len(sources) > 1 or values["recursive"] or values["from_list"]:
        conflicts.check_many(values)
        if dry_run:
            from obsup.cli.actions.batch_dry_run import run_dry_batch

            return run_dry_batch(sources, target, options_from(values), batch_options_from(values))
        from obsup.cli.actions.batch import run_batch

        return run_batch(sources, target, options_from(values), batch_options_from(values))
    source = _only(sources)
    if source != PIPED:
        conflicts.check_one(values)
    if dry_run:
        from obsup.cli.actions.dry_run import run_dry

        return run_dry(None if source == PIPED else Path(source), target, options_from(values))
    if source == PIPED:
        from obsup.cli.actions.stream import run_piped

        return run_piped(target, options_from(values))
    from obsup.cli.actions.upload import run_upload

    return run_upload(Path(source), target, options_from(values))


def _hint_at_from_command(sources: tuple[str, ...]) -> None:
    """Raise UsageError where ``TARGET -- CMD ARG…`` was written without --from-command."""
    argv = sys.argv[1:]
    command = argv[argv.index("--") + 1 :] if "--" in argv else []
    if command and len(command) == len(sources) and not Path(sources[0]).exists() and which(command[0]):
        line = shlex.join(["obsup", "upload", "--from-command", sources[0], "--", *command])
        raise click.UsageError(f"What CMD writes is sent with --from-command: {line}")


def _only(sources: tuple[str, ...]) -> str:
    """Return the one source. Raises UsageError."""
    if not sources:
        raise click.UsageError("Missing argument 'SOURCE' or 'TARGET'.")
    return sources[0]
