"""Where the checkpoints of thousands of small files may be: a look at each that costs little."""

from __future__ import annotations

import os
from pathlib import Path

from obsup.local.checkpoint import SUFFIX, apart, hex8, short
from obsup.local.lock import target_hash
from obsup.model import Target


class Places:
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
