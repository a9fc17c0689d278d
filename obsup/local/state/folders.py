"""Where obsup keeps what does not belong beside a source: the user's state directory, and the locks in it."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """Return the user's state directory for obsup; not made yet. ``$OBSUP_STATE_DIR`` names another."""
    named = os.environ.get("OBSUP_STATE_DIR")
    return Path(named) if named else platformdirs.user_state_path("obsup", appauthor=False)


def temporary_folder() -> Path:
    """Return the last resort where not even the home directory can be written: one per user."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        # It tries each place by writing a file, and on a full disk finds none: a lock needs no room.
        folder = os.environ.get("TMPDIR") or "/tmp"
    return Path(folder) / f"obsup-{user}"


def make_private(folder: Path) -> bool:
    """Make *folder*, for its owner alone; return whether it is ours (or root's) and can be written."""
    try:
        demand_private(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def demand_private(folder: Path) -> None:
    """Make *folder*, for its owner alone. Raises OSError where that cannot be, or where it is another user's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid not in (os.getuid(), 0):
        raise PermissionError(errno.EPERM, "its folder is another user's")


def is_special(path: Path) -> bool:
    """Return whether a device, a pipe or a socket is at *path*: a file renamed to it would take its place."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
