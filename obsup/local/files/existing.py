"""Paths that may not exist, without an error: ``Path.exists`` and ``Path.resolve`` raise some in older versions."""

from __future__ import annotations

import os
from pathlib import Path


def exists(path: Path) -> bool:
    """Return whether *path* is known to exist; False if its directory may not be searched."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Return whether *path* is known to be a regular file."""
    return os.path.isfile(path)  # noqa: PTH113


def is_directory(path: Path) -> bool:
    """Return whether *path* is known to be a directory."""
    return os.path.isdir(path)  # noqa: PTH112


def real_path(path: Path) -> Path:
    """Return *path* without symbolic links; a link that leads to itself stays."""
    return Path(os.path.realpath(path))
