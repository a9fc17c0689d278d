"""Find files to write that would replace what is read, before anything is opened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from obsup.local.files.existing import exists, is_directory, is_file, real_path
from obsup.local.state.checkpoint_path import records_progress


class Overwritten(NamedTuple):
    """The option ``name`` would write its file over a source, over that of the option ``other``, or over ``what``."""

    name: str
    path: Path
    source: Path | None = None
    other: str = ""
    what: str = ""


def find_overwritten(
    outputs: Collection[str],
    files: Mapping[str, Path],
    sources: Collection[Path],
    *,
    kept: Mapping[str, Path],
    allowed: Collection[frozenset[str]] = (),
) -> Overwritten | None:
    """Return the first conflict of *files*, by option; *outputs* are written, all others are read.

    *kept* are files that no option names, each with its name in messages. The pairs of options in *allowed* may name
    the same file.
    """
    for name in outputs:
        path = files.get(name)
        if path is None:
            continue
        for source in sources:
            if name == "checkpoint" and is_directory(source):
                continue  # checkpoints and journals inside a directory are recognised and not sent
            if is_in(path, source):
                return Overwritten(name, path, source=source)
        for other, file in files.items():
            is_same = _place(path) == _place(file) if other in outputs else is_in(path, file)
            if other != name and is_same and frozenset({name, other}) not in allowed:
                return Overwritten(name, path, other=other)
        what = next((what for what, file in kept.items() if is_in(path, file)), "")
        if not what and name != "checkpoint" and records_progress(path):
            what = "the checkpoint of an upload"
        if what:
            return Overwritten(name, path, what=what)
    return None


def is_in(path: Path, source: Path) -> bool:
    """Return whether *path* is the file *source*, or lies in the directory *source*."""
    if is_directory(source):
        return real_path(path).is_relative_to(real_path(source))
    return exists(path) and is_file(source) and path.samefile(source)


def _place(path: Path) -> Path:
    """Return where a file is written: a link at its end is replaced, not followed."""
    return real_path(path.parent) / path.name
