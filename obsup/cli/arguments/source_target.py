"""The arguments ``[SOURCE] TARGET`` that all steps of an upload share."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments.command import F
from obsup.cli.arguments.completed_words import SOURCE_OR_TARGET

SourceTarget = tuple[Path | None, str]


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
    *sources, target = words
    if len(sources) > 1:
        raise click.UsageError(f"Expected [SOURCE] TARGET, not {len(words)} arguments.", ctx)
    if sources == ["-"]:
        raise click.UsageError("The steps do not accept a stream. Use: obsup upload - TARGET", ctx)
    return (Path(sources[0]) if sources else None), target
