"""The uploads that obsup began on this machine: one small file each in the state folder.

The store lists everybody's uploads; this tells which of them are ours. It is a memory, not a truth: where it is
lost an upload counts as somebody else's, which ``gc`` leaves alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from obsup.local.state.atomic_file import write_atomically
from obsup.local.state.folders import make_private, state_folder
from obsup.local.state.json_fields import of_kind
from obsup.local.state.lock import target_hash
from obsup.model import Target, Upload
from obsup.value import Value

SUFFIX = ".json"
DONE = ".done"
# How long it is known here which upload made an object, so that a second ``complete`` can tell.
KEPT_S = 30 * 86400


class StartedUpload(Value):
    """One upload that was begun here.

    ``source`` and ``checkpoint`` are absolute paths, None where it was begun without. ``created`` is seconds
    since the epoch. ``etag`` and ``size`` (bytes) are the object's, once the upload is completed.
    """

    upload: Upload
    source: str | None
    checkpoint: str | None
    created: float
    etag: str | None = None
    size: int | None = None


def folder() -> Path:
    """Return the folder of the registry; not made yet."""
    return state_folder() / "uploads"


def remember(entry: StartedUpload) -> bool:
    """Write down that the upload was begun here; return whether that could be done."""
    return _write(_open_path(entry.upload), entry)


def forget(upload: Upload) -> None:
    """Forget an upload that is no more. What cannot be removed does no harm: the store lists it no longer."""
    with contextlib.suppress(OSError):
        _open_path(upload).unlink(missing_ok=True)


def finish(entry: StartedUpload, *, time_s: Callable[[], float] = time.time) -> None:
    """Write down that the upload made its object, in place of what was there of that object; forget older ones."""
    _write(_done_path(entry.upload.target), entry)
    forget(entry.upload)
    with contextlib.suppress(OSError):
        for path in folder().glob(f"*{DONE}{SUFFIX}"):
            if time_s() - path.stat().st_mtime > KEPT_S:
                path.unlink(missing_ok=True)


def find(upload: Upload) -> StartedUpload | None:
    """Return what is known of an open upload, by its target and upload id."""
    return _read(_open_path(upload))


def entries() -> Iterator[StartedUpload]:
    """Yield what is known of every open upload, in no order."""
    with contextlib.suppress(OSError):
        for path in folder().glob(f"*{SUFFIX}"):
            entry = _read(path) if not path.name.endswith(DONE + SUFFIX) else None
            if entry is not None:
                yield entry


def find_finished(target: Target) -> StartedUpload | None:
    """Return what is known of the upload that last made this object from here."""
    return _read(_done_path(target))


def _open_path(upload: Upload) -> Path:
    text = f"{target_hash(upload.target)}\n{upload.upload_id}"
    return folder() / (hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32] + SUFFIX)


def _done_path(target: Target) -> Path:
    return folder() / (target_hash(target)[:32] + DONE + SUFFIX)


def _write(path: Path, entry: StartedUpload) -> bool:
    if not make_private(path.parent):
        return False
    try:
        write_atomically(path, json.dumps(to_builtins(entry)).encode())
    except OSError:
        return False
    return True


def _read(path: Path) -> StartedUpload | None:
    """Return the entry at *path*; None where there is none, or none that can be read."""
    try:
        return _from_plain(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _from_plain(plain: dict[str, Any]) -> StartedUpload:
    """Raises KeyError, TypeError, AttributeError."""
    upload = plain["upload"]
    target = Target(**{name: of_kind(value, str) for name, value in upload["target"].items()})
    return StartedUpload(
        Upload(target, of_kind(upload["upload_id"], str), of_kind(upload["token"], str, None)),
        source=of_kind(plain["source"], str, None),
        checkpoint=of_kind(plain["checkpoint"], str, None),
        created=of_kind(plain["created"], float, int),
        etag=of_kind(plain.get("etag"), str, None),
        size=of_kind(plain.get("size"), int, None),
    )
