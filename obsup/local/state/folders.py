"""Folders for state that is not stored next to a source: the user's state directory, or a temporary one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from obsup.local.files.existing import exists
from obsup.local.files.user_folders import user_state_folder
from obsup.local.platform.owners import is_own, is_trusted_owner, user_name
from obsup.local.platform.paths import TEMPORARY_FOLDER


def state_folder() -> Path:
    """Return the user's state directory for obsup, or ``$OBSUP_STATE_DIR``. It may not exist yet.

    It is a temporary folder if the user has no home directory, or one that cannot be written.
    """
    folder = user_state_folder()
    if folder is not None and (os.environ.get("OBSUP_STATE_DIR") or _can_be_written(folder)):
        return folder
    return temporary_folder()


def _can_be_written(folder: Path) -> bool:
    existing = next(one for one in (folder, *folder.parents, Path()) if exists(one))
    return os.access(existing, os.W_OK | os.X_OK)


def temporary_folder() -> Path:
    """Return a temporary folder for this user, for locks if the state directory cannot be written."""
    import tempfile  # with eight modules, only without a state directory that can be written

    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        # gettempdir writes a test file, which fails on a full disk. A lock needs no space.
        folder = os.environ.get("TMPDIR") or TEMPORARY_FOLDER
    return Path(folder) / f"obsup-{user_name()}"


def can_use_private_folder(folder: Path) -> bool:
    """Create *folder* if it is missing; return whether it belongs to this user or to root and can be written."""
    try:
        create_private_folder(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def create_missing_folders(folder: Path) -> None:
    """Create *folder* and its missing parents with mode 0700, whatever the umask. Raises OSError."""
    for one in reversed([one for one in (folder, *folder.parents) if not exists(one)]):
        with contextlib.suppress(FileExistsError):  # another process is faster
            one.mkdir(mode=0o700)
            one.chmod(0o700)


def create_private_folder(folder: Path) -> None:
    """Create *folder* and its missing parents with mode 0700, whatever the umask; repair the mode of an own one.

    Raises OSError, also if the folder or its parent belongs to another user, or is a symbolic link of another user.
    """
    create_missing_folders(folder)
    for one in (folder, folder.parent):
        if not is_trusted_owner(one.stat().st_uid) or not is_trusted_owner(one.lstat().st_uid):
            raise PermissionError(errno.EPERM, "Its folder belongs to another user")
    if folder.stat().st_mode & 0o077 and is_own(folder.stat().st_uid):
        folder.chmod(0o700)


def is_special(path: Path) -> bool:
    """Return whether *path* is a device, a pipe or a socket, which must be written to and not replaced.

    A pipe of another user, and a symbolic link of another user, is not: it is replaced as any other file.
    """
    try:
        mode = path.stat().st_mode
        is_trusted = is_trusted_owner(path.lstat().st_uid) or stat.S_ISCHR(path.lstat().st_mode)
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and is_trusted
