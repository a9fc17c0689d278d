"""Where the checkpoints of thousands of small files may be: a look at each that costs little."""

from __future__ import annotations

import glob
import hashlib
import os
from pathlib import Path

from obsup.local.state.folders import state_folder
from obsup.local.state.lock import target_hash
from obsup.model import Target


class CheckpointLookup:
    """Looks for checkpoints where ``default_path`` puts them; *folder* is as for that."""

    def __init__(self, folder: Path | None) -> None:
        self._apart = str(folder or apart())
        self._is_named = folder is not None
        self._prefixes: dict[str, str] = {}

    def has_any(self, path: str, target: Target) -> bool:
        """Return whether there is a checkpoint of the source at the absolute *path* to *target*."""
        folder, _, last = path.rpartition("/")
        name = f"{short(last)}.{target_hash(target)[:8]}{SUFFIX}"
        prefix = self._prefixes.get(folder)
        if prefix is None:
            prefix = hex8(os.fsencode(folder or "/"))
            self._prefixes = {folder: prefix}  # a walk goes folder by folder
        if os.path.lexists(f"{self._apart}/{prefix}-{name}"):
            return True
        return not self._is_named and os.path.lexists(f"{folder}/{name}")


SUFFIX = ".obsup.json"


# Beyond, the name of the checkpoint and of its temporary file might not fit a file system's 255 bytes.
MAX_NAME = 180


def default_path(source: Path, target: Target, folder: Path | None = None) -> Path:
    """Return SOURCE.<8 hex of TARGET>.obsup.json beside the source, or in the state directory where that cannot be.

    One that is there already counts, wherever it is. *folder* is where checkpoints of many sources are kept
    together, if asked for.
    """
    beside = source.absolute().with_name(f"{short(source.name)}.{target_hash(target)[:8]}{SUFFIX}")
    apart = path_apart(source, target, folder)
    if folder is not None:
        return apart
    for place in (beside, apart):
        if os.path.lexists(place):
            return place
    return beside if os.access(beside.parent, os.W_OK | os.X_OK) else apart


def path_apart(source: Path, target: Target, folder: Path | None = None) -> Path:
    """Return the checkpoint's place in *folder*, or in the state directory: what is not beside its source."""
    name = f"{_prefix(source)}-{short(source.name)}.{target_hash(target)[:8]}{SUFFIX}"
    return (folder or apart()) / name


def find_all(source: Path) -> set[Path]:
    """Return the checkpoints of *source*, to whatever target, that are where ``default_path`` puts them."""
    name = f"{glob.escape(short(source.name))}.????????{SUFFIX}"
    return {*source.absolute().parent.glob(name), *apart().glob(f"{_prefix(source)}-{name}")}


def apart() -> Path:
    """Return the folder of checkpoints that cannot be beside their sources; not made yet."""
    return state_folder() / "checkpoints"


def _prefix(source: Path) -> str:
    """Return what tells files of one name in different folders apart."""
    return hex8(os.fsencode(source.absolute().parent))


def short(name: str) -> str:
    """Return *name*, or its beginning and a digest where it is very long."""
    data = os.fsencode(name)
    return name if len(data) <= MAX_NAME else f"{os.fsdecode(data[: MAX_NAME - 9])}~{hex8(data)}"


def hex8(data: bytes) -> str:
    """Return 8 hex digits that stand for *data*."""
    return hashlib.sha256(data).hexdigest()[:8]


def default_stream_path(name: str, target: Target, folder: Path | None = None) -> Path:
    """Return where the checkpoint of the stream that *name* stands for is kept: *folder*, or the state directory."""
    stands_for = hashlib.sha256(name.encode()).hexdigest()[:8]
    return (
        folder or state_folder() / "checkpoints"
    ) / f"stream-{target_hash(target)[:8]}-{stands_for}{SUFFIX}"
