"""``obsup upload``: upload a file, many files or a stream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from obsup.cli.arguments import conflicts, types
from obsup.cli.arguments.command import command
from obsup.text import shell_line, utf8_name

STANDARD_INPUT = "-"


@command("upload")
@click.argument("sources", nargs=-1, metavar="SOURCE…", type=types.SOURCES)
@click.argument("target", type=types.TARGET)
def upload(sources: tuple[str, ...], target: str, *, from_command: bool, dry_run: bool, **values: Any) -> int:
    """Upload SOURCE to TARGET (BUCKET/KEY) and verify the object; resume if an earlier run was interrupted.

    \b
    obsup upload bigfile bucket/key --parts 5
    obsup upload db.dump obs://backups/2026/ --part-size 64M -j 8
    obsup upload -r photos bucket/2026/
    tar -cz /srv | obsup upload - backups/srv.tgz
    obsup upload --from-command backups/shop.dump -- pg_dump -Fc shop

    Run the same command again after a failure: it sends only what is missing.

    Several SOURCEs, and directories with -r, need a TARGET that ends in /. As with rsync, the keys of a directory start
    with its name, and those of a directory with a slash at its end with the names in it. Names are UTF-8 in any locale;
    a file with another name is refused. A journal records the verified files. Files that the store already has with the
    same content are not sent again, unless object options are given. A file that fails does not stop the others; the
    exit code is the first of these that occurred: 143, 130, 129, 70, 78, 77, 73, 74, 69, 65, 66, 2, 76, 1, 75.

    SOURCE - is standard input. A stream needs (jobs + 1) × part size of memory: 54 MiB at first. Its part size doubles
    every 110 parts, so that up to 48.8 TB fit; beyond 256 MiB fewer parts are in flight, at least one. --expect-size or
    --part-size keeps the parts of a long stream small.
    """
    if from_command:
        return _upload_command((*sources, target), values, is_dry_run=dry_run)
    _suggest_from_command(sources)
    from obsup.local.files.existing import exists

    if not sources and not values["from_list"]:
        raise click.UsageError(
            f"Missing argument {'TARGET' if exists(Path(target)) else 'SOURCE or TARGET'}."
        )
    if sources == (STANDARD_INPUT,):
        conflicts.check_stream(values)
    if len(sources) > 1 or values["recursive"] or values["from_list"]:
        return _upload_many(sources, target, values, is_dry_run=dry_run)
    return _upload_one(sources[0], target, values, is_dry_run=dry_run)


def _upload_command(words: tuple[str, ...], values: dict[str, Any], *, is_dry_run: bool) -> int:
    """Upload the output of a command; *words* are TARGET CMD ARG…"""
    from obsup.cli.run.requests import options_from

    given = len(words) - len(_after_dashes())
    if len(words) > given > 1:
        raise click.UsageError(
            f"--from-command takes TARGET -- CMD ARG… without a SOURCE: leave out {words[0]}."
        )
    target, *command = (utf8_name(words[0]), *words[1:])
    if not command:
        raise click.UsageError("--from-command needs: obsup upload --from-command TARGET -- CMD ARG…")
    conflicts.check_stream(values)
    if is_dry_run:
        from obsup.cli.actions.dry_run import run_dry

        return run_dry(None, target, options_from(values))
    from obsup.cli.actions.stream import run_from_command

    return run_from_command(target, command, options_from(values, target))


def _upload_many(sources: tuple[str, ...], target: str, values: dict[str, Any], *, is_dry_run: bool) -> int:
    from obsup.cli.run.batch_options import batch_options_from
    from obsup.cli.run.requests import options_from

    conflicts.check_many(values)
    conflicts.check_files(values)
    if is_dry_run:
        from obsup.cli.actions.batch_dry_run import run_dry_batch

        return run_dry_batch(sources, target, options_from(values), batch_options_from(values))
    from obsup.cli.actions.batch import run_batch

    return run_batch(sources, target, options_from(values, target), batch_options_from(values))


def _upload_one(source: str, target: str, values: dict[str, Any], *, is_dry_run: bool) -> int:
    from obsup.cli.run.requests import options_from

    is_stream = source == STANDARD_INPUT
    if not is_stream:
        conflicts.leave_out_many(values)
        conflicts.check_files(values)
    if is_dry_run:
        from obsup.cli.actions.dry_run import run_dry

        return run_dry(None if is_stream else Path(source), target, options_from(values))
    if is_stream:
        from obsup.cli.actions.stream import run_piped

        return run_piped(target, options_from(values, target))
    from obsup.cli.actions.upload import run_upload

    return run_upload(Path(source), target, options_from(values, target))


def _suggest_from_command(sources: tuple[str, ...]) -> None:
    """Raise UsageError for ``TARGET -- CMD ARG…`` without --from-command."""
    command = _after_dashes()
    if not command or len(command) != len(sources):
        return
    from shutil import which  # with three modules for archives

    from obsup.local.files.existing import exists

    if not exists(Path(sources[0])) and which(command[0]):
        line = shell_line(["obsup", "upload", "--from-command", sources[0], "--", *command])
        raise click.UsageError(f"To upload the output of CMD, add --from-command: {line}")


def _after_dashes() -> list[str]:
    argv = sys.argv[1:]
    return argv[argv.index("--") + 1 :] if "--" in argv else []
