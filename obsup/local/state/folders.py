"""Folders for state that is not stored next to a source: the user's state directory, or a temporary one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """Return the user's state directory for obsup, or ``$OBSUP_STATE_DIR``. It may not exist yet."""
    configured = os.environ.get("OBSUP_STATE_DIR")
    return Path(configured) if configured else platformdirs.user_state_path("obsup", appauthor=False)


def temporary_folder() -> Path:
    """Return a temporary folder for this user, for locks if the state directory cannot be written."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        # gettempdir writes a test file, which fails on a full disk. A lock needs no space.
        folder = os.environ.get("TMPDIR") or "/tmp"
    return Path(folder) / f"obsup-{user}"


def can_use_private_folder(folder: Path) -> bool:
    """Create *folder* if it is missing; return whether it belongs to this user or to root and can be written."""
    try:
        create_private_folder(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def create_private_folder(folder: Path) -> None:
    """Create *folder* with mode 0700 if it is missing. Raises OSError, also if it belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid not in (os.getuid(), 0):
        raise PermissionError(errno.EPERM, "Its folder belongs to another user")


def is_special(path: Path) -> bool:
    """Return whether *path* is a device, a pipe or a socket, which must be written to and not replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
