"""Find folders that a walk reaches through symbolic links, before anything is opened."""

from __future__ import annotations

from collections.abc import Collection

from obsup.local.platform.files import scan, stat_path
from obsup.local.walk.walk import SourceRoot, Walk


def find_reached(walk: Walk, root: SourceRoot, folders: Collection[tuple[int, int]]) -> str | None:
    """Return the path by which *walk* enters one of *folders*, given by device and inode; None if it does not.

    Folders that cannot be read are passed over: the walk reports them.
    """
    if not walk.recursive or walk.links != "follow":
        return None
    waiting, seen = [(root.path, "")], set()
    while waiting:
        path, inner = waiting.pop()
        try:
            found = stat_path(path)
            identity = (found.st_dev, found.st_ino)
            if identity in folders:
                return path
            if identity in seen:
                continue
            seen.add(identity)
            with scan(path) as entries:
                inside = [(one.path, f"{inner}{one.name}") for one in entries if one.is_dir()]
        except OSError:
            continue
        waiting += [(one, f"{name}/") for one, name in inside if walk.selection.may_have_files_in(name)]
    return None
