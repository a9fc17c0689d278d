"""The uploads that obsup started on this machine: one small file per upload in the state directory.

The store lists the uploads of everyone; these files tell which of them are ours. If a file is lost, its upload counts
as foreign, and ``gc`` leaves it alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import field

from obsup.local.files.existing import is_file
from obsup.local.files.own_file import distrust_path
from obsup.local.platform.files import touch
from obsup.local.state.folders import can_use_private_folder, state_folder
from obsup.local.state.lock import target_hash
from obsup.local.state.typed_json import read_record, write_record
from obsup.model import Receipt, Target, Upload
from obsup.value import Value

SUFFIX = ".json"
FINISHED_SUFFIX = ".done.json"
MARK_SUFFIX = ".mark"
COPIES_SUFFIX = ".copies.json"
# How long a finished upload is remembered, so that a second ``complete`` recognises its object.
FINISHED_KEPT_S = 30 * 86400


class StartedUpload(Value):
    """An upload that was started on this machine.

    ``source`` and ``checkpoint`` are absolute paths, or None. ``created`` is seconds since the epoch. ``etag``,
    ``size`` (bytes) and ``parts`` describe the object and are set when the upload is completed; the parts that this
    machine sent have the digests of their bytes. ``options_digest`` identifies the object options that it was initiated
    with, and the customer key; None if they were not recorded.
    ``requested`` are the headers of the object options, and ``completing`` those of Complete.
    """

    upload: Upload
    source: str | None
    checkpoint: str | None
    created: float
    etag: str | None = None
    size: int | None = None
    parts: tuple[Receipt, ...] = ()
    options_digest: str | None = None
    requested: Mapping[str, str] = field(default_factory=dict)
    completing: Mapping[str, str] = field(default_factory=dict)


def folder() -> Path:
    """Return the folder of these files. It may not exist yet."""
    return state_folder() / "uploads"


def add(started: StartedUpload) -> bool:
    """Record that the upload was started here; return whether that was possible.

    On a full disk an empty file can still be created: its name then holds what ``find_own`` compares.
    """
    if _write(_open_path(started.upload), started):
        return True
    try:
        _mark_path(started.upload, started.source, started.options_digest).touch(mode=0o600)
    except OSError:
        return False
    return True


def remove(upload: Upload) -> None:
    """Remove the record of an upload that no longer exists. A file that cannot be removed does no harm."""
    marks = folder().glob(f"{_open_path(upload).stem}.*{MARK_SUFFIX}")
    for path in (_open_path(upload), copies_path(upload), *marks):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def finish(started: StartedUpload, *, time_s: Callable[[], float] = time.time) -> None:
    """Record that the upload is completed, instead of an earlier one of the same object; remove old records."""
    _write(_finished_path(started.upload.target), started)
    remove(started.upload)
    with contextlib.suppress(OSError):
        for path in folder().glob(f"*{FINISHED_SUFFIX}"):
            if time_s() - path.stat().st_mtime > FINISHED_KEPT_S:
                path.unlink(missing_ok=True)


def find(upload: Upload) -> StartedUpload | None:
    """Return the record of an open upload, by its target and upload id."""
    return _read(_open_path(upload))


def touch_checkpoint(upload: Upload) -> None:
    """Update the time of the checkpoint of *upload*, which shows until when this machine sent parts of it."""
    started = find(upload)
    if started is not None and started.checkpoint is not None:
        with contextlib.suppress(OSError):
            touch(started.checkpoint)


def find_own(upload: Upload, source: str, options_digest: str) -> Upload | None:
    """Return the open upload if this machine started it for *source* with these object options, None otherwise."""
    entry = find(upload)
    if entry is not None:
        recorded = (entry.upload.target, entry.source, entry.options_digest)
        return entry.upload if recorded == (upload.target, source, options_digest) else None
    mark = _mark_path(upload, source, options_digest)
    return upload if is_file(mark) and not distrust_path(mark) else None


def find_open() -> Iterator[StartedUpload]:
    """Yield the records of all open uploads, in any order."""
    with contextlib.suppress(OSError):
        for path in folder().glob(f"*{SUFFIX}"):
            is_other = path.name.endswith((FINISHED_SUFFIX, COPIES_SUFFIX))
            started = None if is_other else _read(path)
            if started is not None:
                yield started


def find_finished(target: Target) -> StartedUpload | None:
    """Return the record of the last upload that this machine completed for *target*."""
    return _read(_finished_path(target))


def copies_path(upload: Upload) -> Path:
    """Return the path of the file about the copied parts of an open upload."""
    return _open_path(upload).with_suffix(COPIES_SUFFIX)


def _open_path(upload: Upload) -> Path:
    text = f"{target_hash(upload.target)}\n{upload.upload_id}"
    return folder() / (hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32] + SUFFIX)


def _mark_path(upload: Upload, source: str | None, options_digest: str | None) -> Path:
    text = f"{upload.target.provider}\n{options_digest}\n{source}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return folder() / f"{_open_path(upload).stem}.{digest}{MARK_SUFFIX}"


def _finished_path(target: Target) -> Path:
    return folder() / (target_hash(target)[:32] + FINISHED_SUFFIX)


def _write(path: Path, started: StartedUpload) -> bool:
    try:
        is_usable = can_use_private_folder(path.parent)
        if is_usable:
            write_record(path, started)
    except OSError:
        return False
    return is_usable


def _read(path: Path) -> StartedUpload | None:
    return read_record(path, StartedUpload)
