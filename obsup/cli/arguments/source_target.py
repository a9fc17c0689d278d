"""The arguments ``[SOURCE] TARGET`` that all steps of an upload share."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments.command import F
from obsup.cli.arguments.types import SOURCE_OR_TARGET
from obsup.errors import NextStep, SourceUnreadable, run_again
from obsup.text import quoted, utf8_name

STANDARD_INPUT = Path("-")
SourceTarget = tuple[Path | None, str]


def is_piped(source: Path | None) -> bool:
    """Return whether SOURCE is standard input."""
    return source == STANDARD_INPUT


def check_not_piped(source: Path, otherwise: str) -> None:
    """Raise SourceUnreadable for ``-``, unless a file has that name. *otherwise* is what to do for a stream."""
    from obsup.local.files.existing import exists  # help needs no other package

    if is_piped(source) and not exists(source):
        raise SourceUnreadable(
            "- is not a file",
            "It means standard input, which only upload and part read",
            NextStep(f"name a file; {otherwise}"),
        )


def check_no_folder(source: Path, target: str) -> None:
    """Raise SourceUnreadable for a directory if only --recursive is missing: TARGET is written for its files."""
    from obsup.local.files.existing import is_directory

    if target.endswith("/") and is_directory(source):
        raise SourceUnreadable(
            f"{quoted(source)} is a directory",
            "Its files are used only with --recursive",
            run_again("use all files in it", add=("--recursive",)),
        )


def source_target_argument(function: F) -> F:
    """Give a command the argument ``[SOURCE] TARGET``, as a tuple (path or None, text)."""
    return click.argument(
        "source_target",
        nargs=-1,
        required=True,
        metavar="[SOURCE] TARGET",
        type=SOURCE_OR_TARGET,
        callback=_split,
    )(function)


def _split(ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> SourceTarget | None:
    if not words:
        return None  # a completion, or an error that Click reports itself
    *sources, target = (*words[:-1], utf8_name(words[-1]))
    if len(sources) > 1:
        raise click.UsageError(f"Expected [SOURCE] TARGET, not {len(words)} arguments.", ctx)
    if sources == ["-"] and ctx.command.name != "part":
        raise click.UsageError("This step does not accept a stream. Use: obsup upload - TARGET", ctx)
    if not sources:
        return None, target
    path = Path(sources[0])
    is_file_named_so = path == STANDARD_INPUT and sources[0] != "-"  # ./-
    return path.absolute() if is_file_named_so else path, target
