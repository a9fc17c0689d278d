"""Refuse arguments that are swapped, and files to write that are read as well, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from obsup.cli.arguments.types import too_long
from obsup.text import shell_line

OUTPUTS = ("log_file", "receipt", "failed_list", "metrics", "checkpoint")
# How many old files a log keeps, as PATH.1 and so on.
MAX_OLD_LOGS = 5


def check_output_files(ctx: click.Context) -> None:
    """Raise UsageError if an option names a file to write that the command reads, or that another option writes.

    The command reads SOURCE, the files in a directory that is uploaded, and the files of other options.
    """
    # verify reads the receipt
    outputs = [name for name in OUTPUTS if name != "receipt" or ctx.command.name != "verify"]
    # The list is read to its end before it is replaced. The names of other shares would be lost.
    allowed = () if ctx.params.get("shard") else (frozenset({"failed_list", "from_list"}),)
    files = _files_of_options(ctx)
    if files.keys().isdisjoint(outputs):
        return
    from obsup.engine.job.option_values import files_of_environment  # help needs no other package
    from obsup.local.files.existing import is_directory
    from obsup.local.walk.overwritten import find_overwritten
    from obsup.options.table import rows_of

    if "log_file" in files:  # a full log replaces the old ones
        files |= {
            f"old log {one} of --log-file": old_log(files["log_file"], one)
            for one in range(1, MAX_OLD_LOGS + 1)
        }
        outputs += [name for name in files if name.startswith("old log ")]
    sources = list(_sources(ctx))
    found = find_overwritten(outputs, files, sources, kept=files_of_environment(), allowed=allowed)
    if found is None:
        return
    rows = {row.parameter: row.option for _, row in rows_of(ctx.command.name or "")}
    what = found.what or f"the same file as {rows.get(found.other, found.other)}"
    if found.source is not None:
        what = f"{'inside' if is_directory(found.source) else 'the same file as'} SOURCE {found.source}"
    text = f"{rows.get(found.name, found.name)} {found.path} is {what}: obsup would overwrite it. Name another file."
    raise click.UsageError(text, ctx)


def old_log(path: Path, number: int) -> Path:
    """Return the path to which the log at *path* is renamed when *number* newer ones follow."""
    return Path(f"{path}.{number}")


def _files_of_options(ctx: click.Context) -> dict[str, Path]:
    """Return the files that options of the command name, by parameter."""
    from obsup.options.kinds import FILE, TEXT_FILE
    from obsup.options.table import rows_of

    names = [row.parameter for _, row in rows_of(ctx.command.name or "") if row.kind in (FILE, TEXT_FILE)]
    given = {name: ctx.params.get(name) for name in names}
    etags_from = given.get("etags_from")
    if etags_from is not None:
        given["etags_from"] = etags_from.name  # it is open
    return {name: Path(path) for name, path in given.items() if path not in (None, "", "-")}


def check_order(ctx: click.Context) -> None:
    """Raise UsageError for a SOURCE that is too long, and if the two are swapped: TARGET is - or an existing file."""
    *sources, target = _named(ctx)
    fault = next(filter(None, map(too_long, sources)), "")
    if fault:
        raise click.UsageError(fault, ctx)
    if len(sources) == 1 and target == "-" and not ctx.params.get("from_command"):
        raise click.UsageError("TARGET is -, which is standard input: SOURCE comes first", ctx)
    if len(sources) != 1 or sources[0] in ("", "-") or ctx.params.get("from_command"):
        return
    from obsup.local.files.existing import exists, is_file  # help needs no other package

    if not exists(Path(sources[0])) and is_file(Path(target)):
        swapped = shell_line([target, sources[0]])
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
    from obsup.local.files.existing import exists

    yield from (Path(one) for one in _named(ctx)[:-1] if one not in ("", "-") and exists(Path(one)))
