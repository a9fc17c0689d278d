"""Paths of checkpoints: next to the source, or in the state directory; and what a walk takes for one."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from pathlib import Path

from obsup.local.files.existing import is_file
from obsup.local.files.own_file import distrust_path
from obsup.local.platform.files import NO_WAIT, open_file
from obsup.local.platform.paths import exact, name_beside
from obsup.local.state.folders import state_folder
from obsup.local.state.lock import target_hash
from obsup.model import Target
from obsup.text import quoted

SUFFIX = ".obsup.json"
# The names of the checkpoint and of its temporary file must fit the 255 bytes that file systems allow.
MAX_NAME_BYTES = 180
HEAD = re.compile(rb'\{\s*"format":\s*[0-9]+,\s*"(target|source)":')
HEAD_BYTES = 64
JOURNAL_HEAD = b'{"journal":"obsup",'


def default_path(source: Path, target: Target, folder: Path | None = None) -> Path:
    """Return SOURCE.<8 hex of TARGET>.obsup.json next to the source, or the path in the state directory.

    The state directory is used if the folder of the source cannot be written, or if a file that is not trusted has the
    name of the checkpoint there. An existing checkpoint at either path takes precedence. *folder* is the folder of all
    checkpoints, if one was asked for.
    """
    fallback = fallback_path(source, target, folder)
    if folder is not None:
        return fallback
    default = _path_next_to(source, target)
    for path in (default, fallback):
        if os.path.lexists(path) and not distrust_path(path):
            return path
    can_create = not os.path.lexists(default) and os.access(default.parent, os.W_OK | os.X_OK)
    return default if can_create else fallback


def describe_ignored(source: Path, target: Target) -> str:
    """Return which file ``default_path`` ignores and why, without a full stop; "" if it ignores none."""
    path = _path_next_to(source, target)
    reason = distrust_path(path)
    return f"{quoted(path)} is ignored: {reason}" if reason else ""


def _path_next_to(source: Path, target: Target) -> Path:
    return _exact(source.absolute().with_name(f"{short_name(source.name)}.{target_hash(target)[:8]}{SUFFIX}"))


def fallback_path(source: Path, target: Target, folder: Path | None = None) -> Path:
    """Return the path of the checkpoint in *folder*, or in the state directory."""
    name = f"{_folder_digest(source)}-{short_name(source.name)}.{target_hash(target)[:8]}{SUFFIX}"
    return _exact((folder or fallback_folder()) / name)


def default_stream_path(name: str, target: Target, folder: Path | None = None) -> Path:
    """Return the path of the checkpoint of the stream *name* in *folder*, or in the state directory."""
    return (folder or fallback_folder()) / (
        f"stream-{target_hash(target)[:8]}-{short_digest(name.encode())}{SUFFIX}"
    )


def find_all(source: Path) -> set[Path]:
    """Return the checkpoints of *source* for all targets, at the paths that ``default_path`` returns."""
    name = f"{glob.escape(short_name(source.name))}.????????{SUFFIX}"
    in_fallback = fallback_folder().glob(f"{_folder_digest(source)}-{name}")
    return {_exact(path) for path in (*_exact(source.absolute()).parent.glob(name), *in_fallback)}


def _exact(path: Path) -> Path:
    return Path(exact(str(path)))


def fallback_folder() -> Path:
    """Return the folder of checkpoints in the state directory. It may not exist yet."""
    return state_folder() / "checkpoints"


def looks_like_checkpoint(path: str) -> bool:
    """Return whether the file at *path* begins as a checkpoint, is empty as after a power failure, or is removed."""
    try:
        head = _read_head(path)
    except FileNotFoundError:
        return not os.path.lexists(path)  # not a symbolic link that leads nowhere
    except OSError:
        return False
    return not head or HEAD.match(head) is not None


def records_progress(path: Path) -> bool:
    """Return whether the file at *path* begins as a checkpoint or as the journal of a batch; pipes are not read."""
    if not is_file(path):
        return False
    try:
        head = _read_head(str(path))
    except OSError:
        return False
    return HEAD.match(head) is not None or head.startswith(JOURNAL_HEAD)


def _read_head(path: str) -> bytes:
    with os.fdopen(open_file(path, os.O_RDONLY | NO_WAIT), "rb") as file:
        return file.read(HEAD_BYTES)


def short_name(name: str) -> str:
    """Return *name*, or its beginning and a digest if it is very long."""
    data = os.fsencode(name := name_beside(name))
    if len(data) <= MAX_NAME_BYTES:
        return name
    return f"{os.fsdecode(data[: MAX_NAME_BYTES - 9])}~{short_digest(data)}"


def short_digest(data: bytes) -> str:
    """Return 8 hex digits of the SHA-256 of *data*."""
    return hashlib.sha256(data).hexdigest()[:8]


def _folder_digest(source: Path) -> str:
    return short_digest(os.fsencode(source.absolute().parent))


class CheckpointLookup:
    """Looks for checkpoints of many files quickly, at the paths that ``default_path`` returns for *folder*."""

    def __init__(self, folder: Path | None) -> None:
        self._fallback = str(folder or fallback_folder())
        self._has_folder = folder is not None
        self._last_folder: tuple[str | None, str, str] = (None, "", "")

    def has_any(self, path: str, target: Target) -> bool:
        """Return whether the source at *path* has a checkpoint for *target*."""
        head, last = os.path.split(path)
        known, folder, digest = self._last_folder
        if known != head:  # a walk lists one folder after the other
            folder = str(Path(head).absolute())
            digest = short_digest(os.fsencode(folder))
            self._last_folder = (head, folder, digest)
        name = f"{short_name(last)}.{target_hash(target)[:8]}{SUFFIX}"
        if os.path.lexists(exact(f"{self._fallback}/{digest}-{name}")):
            return True
        return not self._has_folder and os.path.lexists(exact(f"{folder}/{name}"))
