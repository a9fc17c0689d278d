"""Refuse files that obsup would write to the source itself, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

# Checkpoints and journals inside a directory are recognised and not sent.
OUTPUTS = ("log_file", "receipt", "failed_list", "metrics")


def check_output_files(ctx: click.Context) -> None:
    """Raise UsageError if an option names SOURCE, or a file in a directory that is uploaded, as a file to write."""
    sources = list(_sources(ctx))
    for name in OUTPUTS:
        path = ctx.params.get(name)
        if path is None or (name == "receipt" and ctx.command.name == "verify"):  # verify reads the receipt
            continue
        for source in sources:
            if _is_in(Path(path), source):
                option = f"--{name.replace('_', '-')}"
                where = "inside" if source.is_dir() else "the same file as"
                raise click.UsageError(
                    f"{option} {path} is {where} SOURCE {source}: obsup would overwrite it. Name another file.",
                    ctx,
                )


def _sources(ctx: click.Context) -> Iterator[Path]:
    """Yield the sources on the command line that exist."""
    steps = ctx.params.get("source_target") or (None, "")
    named = (*(ctx.params.get("sources") or ()), ctx.params.get("source"), steps[0])
    yield from (Path(one) for one in named if one not in (None, "", "-") and Path(one).exists())


def _is_in(path: Path, source: Path) -> bool:
    """Return whether *path* is the file *source*, or lies in the directory *source*."""
    if source.is_dir():
        return path.resolve().is_relative_to(source.resolve())
    return path.exists() and source.is_file() and path.samefile(source)
