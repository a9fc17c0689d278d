"""Refuse arguments that are swapped, and files that obsup would write to the source, before anything is opened."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click

OUTPUTS = ("log_file", "receipt", "failed_list", "metrics", "checkpoint")


def check_output_files(ctx: click.Context) -> None:
    """Raise UsageError if an option names SOURCE, or a file in a directory that is uploaded, as a file to write."""
    sources = list(_sources(ctx))
    for name in OUTPUTS:
        path = ctx.params.get(name)
        if path is None or (name == "receipt" and ctx.command.name == "verify"):  # verify reads the receipt
            continue
        for source in sources:
            if name == "checkpoint" and source.is_dir():
                continue  # checkpoints and journals inside a directory are recognised and not sent
            if is_in(Path(path), source):
                option = f"--{name.replace('_', '-')}"
                where = "inside" if source.is_dir() else "the same file as"
                raise click.UsageError(
                    f"{option} {path} is {where} SOURCE {source}: obsup would overwrite it. Name another file.",
                    ctx,
                )


def check_order(ctx: click.Context) -> None:
    """Raise UsageError if TARGET is an existing file and SOURCE is not: the two are swapped."""
    *sources, target = _named(ctx)
    if len(sources) != 1 or sources[0] in ("", "-") or ctx.params.get("from_command"):
        return
    if not Path(sources[0]).exists() and Path(target).is_file():
        swapped = shlex.join([target, sources[0]])
        raise click.UsageError(
            f"{sources[0]} does not exist, but TARGET {target} is a file: SOURCE comes first, as in "
            f"{ctx.command_path} {swapped}",
            ctx,
        )


def _named(ctx: click.Context) -> list[str]:
    """Return the sources and the target of the command line as they were given."""
    source, target = ctx.params.get("source_target") or (ctx.params.get("source"), ctx.params.get("target"))
    sources = [*(ctx.params.get("sources") or ()), *([source] if source is not None else [])]
    return [*map(str, sources), str(target or "")]


def _sources(ctx: click.Context) -> Iterator[Path]:
    """Yield the sources on the command line that exist."""
    yield from (Path(one) for one in _named(ctx)[:-1] if one not in ("", "-") and Path(one).exists())


def is_in(path: Path, source: Path) -> bool:
    """Return whether *path* is the file *source*, or lies in the directory *source*."""
    if source.is_dir():
        return path.resolve().is_relative_to(source.resolve())
    return path.exists() and source.is_file() and path.samefile(source)
