"""The buckets whose store rejected the headers of checksums: one empty file per endpoint and bucket.

A later run does not ask such a store again for some days. Nothing else depends on these files.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from msgspec.structs import replace

from obsup.local.files.own_file import distrust_path
from obsup.local.state.folders import can_use_private_folder, state_folder
from obsup.local.state.lock import target_hash
from obsup.model import Target

# A store that is updated is asked again after this time.
KEPT_S = 7 * 86400


def remember(target: Target) -> None:
    """Remember, from now on, that the store rejects the headers of checksums. Without a state folder, do nothing."""
    path = _path(target)
    with contextlib.suppress(OSError):
        if can_use_private_folder(path.parent):
            path.touch(mode=0o600)


def forget(target: Target) -> None:
    """Forget it: the store has confirmed a checksum."""
    with contextlib.suppress(OSError):
        _path(target).unlink(missing_ok=True)


def is_remembered(target: Target) -> bool:
    """Return whether the store rejected the headers of checksums in the last days."""
    path = _path(target)
    try:
        age_s = time.time() - path.lstat().st_mtime
    except OSError:
        return False
    return 0 <= age_s < KEPT_S and not distrust_path(path)


def _path(target: Target) -> Path:
    return state_folder() / "rejected-checksums" / target_hash(replace(target, key=""))[:32]
