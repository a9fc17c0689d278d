"""Many sources: walked as a stream, so that memory does not grow with the number of files.

A walk names everything that it meets: what is to be sent, what is passed over, and what cannot be sent and why.
"""

from __future__ import annotations

import errno
import os
import re
import stat as stat_module
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from obsup.errors import ObsupError, SourceUnreadable, WrongUsage
from obsup.local.source.file import identity
from obsup.local.state.checkpoint_path import SUFFIX
from obsup.local.walk.filters import EVERYTHING, Selection
from obsup.model import SourceStat
from obsup.text import quoted
from obsup.value import Value

Links = Literal["follow", "skip", "refuse"]

# A folder deeper than this is read whole before its own folders are, so that no walk runs out of descriptors.
OPEN_FOLDERS = 64

_CHECKPOINT = rf".*\.[0-9a-f]{{8}}{re.escape(SUFFIX)}"
# What runs leave beside a source: a checkpoint, and one that is being written, of a short name or of one cut short.
_OWN_STATE = re.compile(rf"{_CHECKPOINT}|\.({_CHECKPOINT}|.{{100}})\.[0-9a-f]{{8}}\.\w{{8}}", re.DOTALL)

_KINDS = (
    (stat_module.S_ISFIFO, "a named pipe"),
    (stat_module.S_ISSOCK, "a socket"),
    (stat_module.S_ISBLK, "a block device"),
    (stat_module.S_ISCHR, "a character device"),
)


class SourceRoot(Value):
    """One SOURCE: its path, and the *name* below the TARGET that it gets; empty for the contents of a folder."""

    path: str
    name: str


class FoundFile(Value):
    """A regular file to be sent. ``name`` is its key below the TARGET's prefix, ``stat`` its identity when met."""

    path: str
    name: str
    stat: SourceStat


class SkippedFile(Value):
    """What is passed over, and in a word what it is."""

    path: str
    name: str
    reason: str


class UnreadableFile(Value):
    """What was to be sent and cannot be, and why."""

    path: str
    name: str
    error: ObsupError


Entry = FoundFile | SkippedFile | UnreadableFile


class Walk(Value):
    """How SOURCEs are walked. Links named as a SOURCE are followed whatever *links* says, as by ``find -H``."""

    recursive: bool = False
    links: Links = "follow"
    selection: Selection = EVERYTHING

    def entries(self, root: SourceRoot) -> Iterator[Entry]:
        """Yield everything below *root*, in the order in which the system tells it."""
        try:
            found = os.stat(root.path)  # noqa: PTH116 - a Path per file is most of the cost of a walk
        except (OSError, ValueError) as exc:
            yield UnreadableFile(root.path, root.name, unreadable(root.path, exc))
            return
        if stat_module.S_ISDIR(found.st_mode):
            if self.recursive:
                yield from _Tree(self, root).entries(found)
            else:
                yield UnreadableFile(root.path, root.name, _is_folder(root.path))
        elif not root.name:
            yield UnreadableFile(root.path, root.name, _is_no_folder(root.path))
        elif self.selection.takes(root.name):
            yield _regular(root.path, root.name, found)


@dataclass(slots=True)
class _Folder:
    """An open folder: the *rest* of its entries, its path within its root, and which folder it is."""

    path: str
    inner: str
    which: tuple[int, int]
    rest: Iterator[os.DirEntry[str]]
    close: Callable[[], None]


class _Tree:
    """One folder and all that is in it, depth first. Folders above are kept open, names are not kept."""

    def __init__(self, walk: Walk, root: SourceRoot) -> None:
        self._walk = walk
        self._root = root
        self._prefix = f"{root.name}/" if root.name else ""
        self._open: list[_Folder] = []

    def entries(self, found: os.stat_result) -> Iterator[Entry]:
        """Yield what is in the tree, whose root is *found*."""
        try:
            yield from self._all(found)
        finally:
            for folder in self._open:
                folder.close()

    def _all(self, found: os.stat_result) -> Iterator[Entry]:
        yield from self._enter(self._root.path, "", found)
        while self._open:
            folder = self._open[-1]
            try:
                entry = next(folder.rest, None)
            except OSError as exc:
                yield UnreadableFile(folder.path, self._name(folder.inner), unreadable(folder.path, exc))
                entry = None
            if entry is None:
                self._open.pop().close()
            else:
                yield from self._look(entry, f"{folder.inner}/{entry.name}" if folder.inner else entry.name)

    def _name(self, inner: str) -> str:
        return f"{self._prefix}{inner}" if inner else self._root.name

    def _look(self, entry: os.DirEntry[str], inner: str) -> Iterator[Entry]:
        """Yield what *entry* is, or go down into it."""
        name, walk = self._prefix + inner, self._walk
        try:
            is_link = entry.is_symlink()
            if is_link and walk.links != "follow":
                yield from self._pass_link(entry, inner)
                return
            is_folder = entry.is_dir()
            if not (walk.selection.enters(inner) if is_folder else walk.selection.takes(inner)):
                return
            found = entry.stat()
        except OSError as exc:
            yield UnreadableFile(entry.path, name, unreadable(entry.path, exc))
            return
        if is_folder:
            yield from self._enter(entry.path, inner, found)
        elif _OWN_STATE.fullmatch(entry.name):
            yield SkippedFile(entry.path, name, "a checkpoint of obsup")
        else:
            yield _regular(entry.path, name, found)

    def _pass_link(self, entry: os.DirEntry[str], inner: str) -> Iterator[Entry]:
        if not self._walk.selection.takes(inner):
            return
        name = self._prefix + inner
        if self._walk.links == "skip":
            yield SkippedFile(entry.path, name, "a symbolic link")
        else:
            yield UnreadableFile(entry.path, name, _is_link(entry.path))

    def _enter(self, path: str, inner: str, found: os.stat_result) -> Iterator[Entry]:
        """Open the folder at *path*: its entries come next."""
        which = (found.st_dev, found.st_ino)
        if any(which == folder.which for folder in self._open):
            yield SkippedFile(path, self._name(inner), "a symbolic link to a folder that it is in")
            return
        try:
            scan = os.scandir(path)
            folder = _Folder(path, inner, which, scan, scan.close)
            self._open.append(folder)
            if len(self._open) > OPEN_FOLDERS:
                folder.rest = iter(list(scan))
        except OSError as exc:
            yield UnreadableFile(path, self._name(inner), unreadable(path, exc))


def root_of(source: str) -> SourceRoot:
    """Return how the SOURCE named on a command line appears below the TARGET, as rsync has it.

    A file and a folder keep their last name; a folder with a slash at its end, and ``.``, are their contents.
    """
    path = source.rstrip("/") or "/"
    last = path.rpartition("/")[2]
    is_contents = source.endswith("/") or last in (".", "..", "")
    return SourceRoot(path, "" if is_contents else last)


def can_meet(roots: list[SourceRoot]) -> bool:
    """Return whether two files below different *roots* can get the same name."""
    names = sorted(f"{root.name}/" if root.name else "" for root in roots)
    # Sorted, whatever lies below a name follows it at once.
    return any(later.startswith(first) for first, later in pairwise(names))


def as_list_entry(path: str, name: str) -> str:
    """Return the entry of a list that stands for this file under this very name, as rsync reads ``/./``."""
    base = path.removesuffix(name).removesuffix("/") if name else path
    if path == name:
        return f"./{name}"
    return f"{base}/./{name}"


def stat_again(path: str, name: str) -> Entry:
    """Return what is at *path* now."""
    try:
        return _regular(path, name, os.stat(path))  # noqa: PTH116 - as in a walk
    except OSError as exc:
        return UnreadableFile(path, name, unreadable(path, exc))


def unreadable(path: str, exc: OSError | ValueError) -> SourceUnreadable:
    """Return the error for what cannot be looked at."""
    code = exc.errno if isinstance(exc, OSError) else errno.EINVAL
    return SourceUnreadable(
        f"cannot read {quoted(Path(path))}",
        os.strerror(code or errno.EIO),
        "check the path and its permissions",
    )


def _regular(path: str, name: str, found: os.stat_result) -> Entry:
    if stat_module.S_ISREG(found.st_mode):
        return FoundFile(path, name, identity(found))
    kind = next((word for is_kind, word in _KINDS if is_kind(found.st_mode)), "no regular file")
    return SkippedFile(path, name, kind)


def _is_folder(path: str) -> WrongUsage:
    return WrongUsage(
        f"{quoted(Path(path))} is a directory",
        "only files are sent unless asked otherwise",
        "add --recursive",
    )


def _is_no_folder(path: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(Path(path))} is not a directory", "", "name it without a slash at its end"
    )


def _is_link(path: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(Path(path))} is a symbolic link",
        "--links refuse takes none",
        "use --links follow or --links skip",
    )
