"""``[SOURCE] TARGET``: the two words that every step of an upload has in the same places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from obsup.cli.arguments.completed_words import SOURCE_OR_TARGET

F = TypeVar("F", bound=Callable[..., Any])
SourceTarget = tuple[Path | None, str]


def source_target_argument(function: F) -> F:
    """Give a command the argument ``[SOURCE] TARGET``, as a tuple (path or None, text)."""
    return click.argument(
        "place", nargs=-1, required=True, metavar="[SOURCE] TARGET", type=SOURCE_OR_TARGET, callback=_split
    )(function)


def _split(ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> SourceTarget | None:
    if not words:
        return None  # a TAB, or what Click reports itself
    *sources, target = words
    if len(sources) > 1:
        raise click.UsageError(f"One SOURCE and one TARGET, not {len(words)} words.", ctx)
    if sources == ["-"]:
        raise click.UsageError("A stream cannot be sent step by step; use: obsup upload - TARGET", ctx)
    return (Path(sources[0]) if sources else None), target
