"""Find folders and files that a walk reaches through links, before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

from obsup.local.platform.files import scan, stat_path
from obsup.local.walk.walk import SourceRoot, Walk

Identity = tuple[int, int]


def find_reached(
    walk: Walk, root: SourceRoot, places: Collection[Identity], *, inodes: Collection[int] = ()
) -> str | None:
    """Return the path by which *walk* reaches one of *places*, given by device and inode; None if it does not.

    They are folders, and files outside *root*: a symbolic link leads to one, or it has another name, and its inode is
    one of *inodes*. Folders that cannot be read are passed over: the walk reports them.
    """
    follow = walk.links == "follow"
    if not walk.recursive or not (follow or inodes):
        return None

    def is_reached(entry: os.DirEntry[str], name: str) -> bool:
        is_link = (follow and entry.is_symlink()) or (bool(inodes) and entry.inode() in inodes)
        return is_link and walk.selection.has_file(name) and identity_of(entry.path) in places

    waiting, seen = [(root.path, "")], set()
    while waiting:
        path, inner = waiting.pop()
        identity = identity_of(path)
        if follow and identity in places:
            return path
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        with suppress(OSError), scan(path) as entries:
            for one in entries:
                name = f"{inner}{one.name}"
                if one.is_dir(follow_symlinks=follow):
                    if walk.selection.may_have_files_in(name):
                        waiting.append((one.path, f"{name}/"))
                elif is_reached(one, name):
                    return one.path
    return None


def identity_of(path: str) -> Identity | None:
    """Return device and inode of what is at *path*, None if there is nothing."""
    with suppress(OSError):
        found = stat_path(path)
        return found.st_dev, found.st_ino
    return None
