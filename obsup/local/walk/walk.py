"""Walk the sources of a batch as a stream, so that memory does not grow with the number of files.

A walk yields everything it finds: files to send, entries that are skipped, and entries that cannot be read, with the
error.
"""

from __future__ import annotations

import os
import re
import stat as stat_module
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from obsup.errors import NextStep, ObsupError, SourceUnreadable, WrongUsage, run_again
from obsup.local.platform.files import is_link, stat_entry, stat_path
from obsup.local.platform.files import scan as scan_folder
from obsup.local.platform.link_free import stat_link_free
from obsup.local.platform.paths import split_source, with_slashes
from obsup.local.source.identity import identity, unreadable
from obsup.local.state.checkpoint_path import SUFFIX, looks_like_checkpoint
from obsup.local.walk.filters import EVERYTHING, Selection
from obsup.model import SourceStat
from obsup.text import quoted, shell_word, utf8_name
from obsup.value import Value

Links = Literal["follow", "skip", "refuse"]

# Deeper folders are read completely before their subfolders, so that the walk does not run out of descriptors.
MAX_OPEN_FOLDERS = 64

_CHECKPOINT = rf".*\.[0-9a-f]{{8}}{re.escape(SUFFIX)}((\.upload)?\.lock)?"
# The files of obsup next to a source: checkpoints, their locks and their temporary files, whose names may be truncated.
_OWN_STATE = re.compile(rf"{_CHECKPOINT}|\.({_CHECKPOINT}|.{{100}})\.[0-9a-f]{{8}}\.\w{{8}}", re.DOTALL)

WRITTEN = "a file that this command writes"
_KINDS = (
    (stat_module.S_ISLNK, "a symbolic link"),
    (stat_module.S_ISFIFO, "a named pipe"),
    (stat_module.S_ISSOCK, "a socket"),
    (stat_module.S_ISBLK, "a block device"),
    (stat_module.S_ISCHR, "a character device"),
)


class SourceRoot(Value):
    """One SOURCE: its path, and its *name* below the TARGET, which is empty for the contents of a folder."""

    path: str
    name: str


class FoundFile(Value):
    """A regular file to send. ``name`` is its key below the prefix of the TARGET, ``stat`` its identity when found.

    The last ``link_free`` names of its path must not be symbolic links when it is read: others may have changed them.
    """

    path: str
    name: str
    stat: SourceStat
    link_free: int = 0


class SkippedFile(Value):
    """An entry that is skipped, and what it is."""

    path: str
    name: str
    reason: str


class UnreadableFile(Value):
    """An entry that should be sent but cannot be read, and the error."""

    path: str
    name: str
    error: ObsupError


Entry = FoundFile | SkippedFile | UnreadableFile

OTHER_SHARE = SkippedFile("", "", "a file of another share")


class Walk(Value):
    """How SOURCEs are walked. A link given as a SOURCE is always followed, like ``find -H``.

    ``written`` are the device and inode of files that the command itself writes: they are not sent. ``is_ours`` returns
    whether the file with a name belongs to the share of this machine; None if every file does.
    """

    recursive: bool = False
    links: Links = "follow"
    selection: Selection = EVERYTHING
    written: frozenset[tuple[int, int]] = frozenset()
    is_ours: Callable[[str], bool] | None = None

    def has(self, name: str) -> bool:
        """Return whether the file *name* belongs to the share of this machine."""
        return self.is_ours is None or self.is_ours(name)

    def entries(self, root: SourceRoot) -> Iterator[Entry]:
        """Yield everything below *root*, in the order of the file system; OTHER_SHARE for files of other shares.

        A folder that cannot be read is an error in every share: it may have files of each.
        """
        if not self.recursive and root.name and not self.has(root.name):
            yield OTHER_SHARE
            return
        try:
            found = stat_path(root.path)
        except (OSError, ValueError) as exc:
            yield UnreadableFile(root.path, root.name, unreadable(root.path, exc))
            return
        if stat_module.S_ISDIR(found.st_mode):
            if self.recursive:
                yield from _Tree(self, root).entries(found)
            else:
                yield UnreadableFile(root.path, root.name, _is_folder(root.path))
        elif not root.name:
            yield UnreadableFile(root.path, root.name, _is_not_folder(root.path))
        elif not self.has(root.name):
            yield OTHER_SHARE
        elif self.selection.has_file(root.name):
            entry = self.entry(root.path, root.name, found)
            yield _named_but_special(entry) if isinstance(entry, SkippedFile) else entry

    def entry(self, path: str, name: str, found: os.stat_result, link_free: int = 0) -> Entry:
        """Return the entry of a file with the status *found* that is not a folder."""
        if self.written and (found.st_dev, found.st_ino) in self.written:
            return SkippedFile(path, name, WRITTEN)
        return _regular(path, name, found, link_free)


@dataclass(slots=True)
class _Folder:
    """An open folder: the *rest* of its entries, its path in its root, its identity, and whether a link led to it."""

    path: str
    inner: str
    identity: tuple[int, int]
    rest: Iterator[os.DirEntry[str]]
    close: Callable[[], None]
    is_linked: bool


class _Tree:
    """A folder and everything in it, depth first. Parent folders stay open; names are not stored."""

    def __init__(self, walk: Walk, root: SourceRoot) -> None:
        self._walk = walk
        self._root = root
        self._prefix = f"{root.name}/" if root.name else ""
        self._open: list[_Folder] = []

    def entries(self, found: os.stat_result) -> Iterator[Entry]:
        """Yield everything in the tree; *found* is the status of its root."""
        try:
            yield from self._all(found)
        finally:
            for folder in self._open:
                folder.close()

    def _all(self, found: os.stat_result) -> Iterator[Entry]:
        yield from self._enter(self._root.path, "", found, False)
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
                yield from self._visit(entry, _joined(folder.inner, entry.name))

    def _name(self, inner: str) -> str:
        return f"{self._prefix}{inner}" if inner else self._root.name

    def _visit(self, entry: os.DirEntry[str], inner: str) -> Iterator[Entry]:
        """Yield *entry*, or open it if it is a folder."""
        name, walk = self._prefix + inner, self._walk
        try:
            follows = walk.links == "follow"
            if not follows and is_link(entry):
                yield from self._visit_link(entry, inner)
                return
            is_folder = entry.is_dir(follow_symlinks=follows)
            if not (walk.selection.may_have_files_in(inner) if is_folder else walk.selection.has_file(inner)):
                return
            # Before stat, which costs a request on network file systems.
            if not is_folder and not walk.has(name):
                yield OTHER_SHARE
                return
            if not is_folder and _OWN_STATE.fullmatch(entry.name) and looks_like_checkpoint(entry.path):
                yield SkippedFile(entry.path, name, "a checkpoint of obsup")
                return
            found = stat_entry(entry, follow=follows)
        except OSError as exc:
            yield UnreadableFile(entry.path, name, unreadable(entry.path, exc))
            return
        if is_folder:
            yield from self._enter(entry.path, inner, found, self._open[-1].is_linked or is_link(entry))
        else:
            yield walk.entry(entry.path, name, found, 0 if follows else 1 + inner.count("/"))

    def _visit_link(self, entry: os.DirEntry[str], inner: str) -> Iterator[Entry]:
        if not self._walk.selection.has_file(inner):
            return
        name = self._prefix + inner
        if self._walk.links == "refuse":
            yield UnreadableFile(entry.path, name, _is_link(entry.path))
        else:
            yield SkippedFile(entry.path, name, "a symbolic link") if self._walk.has(name) else OTHER_SHARE

    def _enter(self, path: str, inner: str, found: os.stat_result, is_linked: bool) -> Iterator[Entry]:
        """Open the folder at *path*; its entries are yielded next. *is_linked*: it was reached through a link."""
        device_inode = (found.st_dev, found.st_ino)
        if any(device_inode == folder.identity for folder in self._open):
            if is_linked:
                yield SkippedFile(path, self._name(inner), "a symbolic link to a parent folder")
            else:  # a mount, or a file server that numbers the files of several file systems alike
                error = unreadable(path, "It has the device and inode number of a parent folder")
                yield UnreadableFile(path, self._name(inner), error)
            return
        try:
            scan = scan_folder(path)
            folder = _Folder(path, inner, device_inode, scan, scan.close, is_linked)
            self._open.append(folder)
            if len(self._open) > MAX_OPEN_FOLDERS:
                folder.rest = iter(list(scan))
        except OSError as exc:
            yield UnreadableFile(path, self._name(inner), unreadable(path, exc))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{utf8_name(name)}" if folder else utf8_name(name)


def root_of(source: str) -> SourceRoot:
    """Return how a SOURCE of the command line appears below the TARGET, as for rsync.

    A file and a folder keep their last name; a folder with a trailing slash, and ``.``, stand for their contents.
    """
    path, last = split_source(source)
    return SourceRoot(path, utf8_name(last))


def can_collide(roots: list[SourceRoot]) -> bool:
    """Return whether two files below different *roots* can have the same name."""
    names = sorted(f"{root.name}/" if root.name else "" for root in roots)
    # In sorted order, a name that begins with another one follows it directly.
    return any(later.startswith(first) for first, later in pairwise(names))


def not_empty(entries: Iterator[Entry], root: SourceRoot, *, fail: bool) -> Iterator[Entry]:
    """Yield *entries* except those of other shares; if *root* has none of any, yield that, as an error if *fail*."""
    is_empty = True
    for entry in entries:
        is_empty = False
        if entry is not OTHER_SHARE:
            yield entry
    name = root.name or root.path
    if is_empty and fail:
        step = run_again(
            "check SOURCE, --include and --exclude, or let it be empty", drop=("--fail-if-empty",)
        )
        what = f"{quoted(Path(root.path))} has no files to send"
        yield UnreadableFile(
            root.path, name, SourceUnreadable(what, "It is an error with --fail-if-empty", step)
        )
    elif is_empty:
        yield SkippedFile(root.path, name, "no files to send")


def as_list_entry(path: str, name: str) -> bytes:
    """Return the entry of a --from-list for this file with this name, with ``/./`` as for rsync."""
    path_bytes, name_bytes = os.fsencode(with_slashes(path)), name.encode("utf-8", "surrogateescape")
    if path_bytes == name_bytes:
        return b"./" + name_bytes
    base = path_bytes.removesuffix(name_bytes).removesuffix(b"/") if name else path_bytes
    return base + b"/./" + name_bytes


def stat_again(path: str, name: str, link_free: int) -> Entry:
    """Return the current entry at *path*, which was a file: it must not be skipped."""
    try:
        entry = _regular(path, name, stat_link_free(path, link_free), link_free)
    except OSError as exc:
        return UnreadableFile(path, name, unreadable(path, exc))
    return _named_but_special(entry) if isinstance(entry, SkippedFile) else entry


def _regular(path: str, name: str, found: os.stat_result, link_free: int) -> Entry:
    if stat_module.S_ISREG(found.st_mode):
        return FoundFile(path, name, identity(found), link_free)
    kind = next((word for is_kind, word in _KINDS if is_kind(found.st_mode)), "not a regular file")
    return SkippedFile(path, name, kind)


def _named_but_special(entry: SkippedFile) -> UnreadableFile:
    """Return the error for a special file that the user names; only a walk may skip it."""
    if entry.reason == WRITTEN:
        what = f"{quoted(Path(entry.path))} is {entry.reason}"
        step = NextStep("name another file with --log-file, --failed-list, --metrics or --checkpoint")
        return UnreadableFile(entry.path, entry.name, WrongUsage(what, "It changes while it is sent", step))
    error = SourceUnreadable(
        f"{quoted(Path(entry.path))} is {entry.reason}",
        "With several sources, only regular files can be sent",
        NextStep(f"send it alone: obsup upload - BUCKET/KEY < {shell_word(entry.path)}"),
    )
    return UnreadableFile(entry.path, entry.name, error)


def _is_folder(path: str) -> WrongUsage:
    return WrongUsage(
        f"{quoted(Path(path))} is a directory",
        "Directories are sent only with --recursive",
        run_again("send all files in it", add=("--recursive",)),
    )


def _is_not_folder(path: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(Path(path))} is not a directory", "", NextStep("give it without the trailing slash")
    )


def _is_link(path: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(Path(path))} is a symbolic link",
        "--links refuse accepts no symbolic links",
        run_again("skip symbolic links, or use --links follow", add=("--links", "skip")),
    )
