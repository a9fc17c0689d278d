"""Whether a path exists, without an error; ``Path.exists`` raises PermissionError before Python 3.14."""

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
