"""Which version of an object in the store was copied into the parts of an upload: one small file per upload.

Parts that are copied one by one must come from one version of the object. Other machines do not see this file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import field
from msgspec.structs import replace

from obsup.errors import CheckpointUnwritable, run_again
from obsup.local.files.existing import exists
from obsup.local.state.folders import can_use_private_folder
from obsup.local.state.lock import UploadLock
from obsup.local.state.started_uploads import copies_path
from obsup.local.state.typed_json import read_record, write_record
from obsup.model import Upload
from obsup.text import quoted
from obsup.value import Value

# The lock of this file is that of a part with this number, which no part has.
RECORD = 0


class CopiedPart(Value):
    """A copied part: the object (``BUCKET/KEY``) that it was copied from, and the ETag of that.

    The ETag is "" if it changed, or as long as the response is missing: the store may have copied the part.
    """

    number: int
    source: str
    etag: str


class CopiedParts(Value):
    """The copied parts, and the ETag of each source when its first part was copied."""

    pins: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[CopiedPart, ...] = ()

    def without(self, number: int) -> tuple[CopiedPart, ...]:
        """Return the copied parts without part *number*."""
        return tuple(one for one in self.parts if one.number != number)


def begin(upload: Upload, number: int, source: str, etag: str) -> str:
    """Record that part *number* will be copied from *source*, which has *etag*.

    Returns the ETag that *source* had when the first part was copied from it. If it is another, nothing is recorded.
    """
    with _locked(upload) as path:
        found = _read(path)
        if not any(one.source == source and one.etag for one in found.parts):
            found = replace(found, pins={**found.pins, source: etag})
        pinned = found.pins.get(source, etag)
        if pinned == etag:
            _write(path, replace(found, parts=(*found.without(number), CopiedPart(number, source, ""))))
    return pinned


def record(upload: Upload, number: int, source: str, etag: str) -> None:
    """Record that part *number* was copied from *source* with *etag*; an empty one if it changed during the copy."""
    with _locked(upload) as path:
        found = _read(path)
        _write(path, replace(found, parts=(*found.without(number), CopiedPart(number, source, etag))))


def forget(upload: Upload, number: int) -> None:
    """Forget a copied part that was replaced by one that was sent."""
    if not exists(copies_path(upload)):
        return
    with _locked(upload) as path:
        found = _read(path)
        _write(path, replace(found, parts=found.without(number)))


def find_mixed(upload: Upload) -> dict[int, str]:
    """Return the copied parts whose source had changed since the first part was copied: the source by part number."""
    found = _read(copies_path(upload))
    return {one.number: one.source for one in found.parts if one.etag != found.pins.get(one.source)}


@contextlib.contextmanager
def _locked(upload: Upload) -> Iterator[Path]:
    """Hold the lock of the file in a ``with``, and yield its path."""
    with UploadLock(upload.target, part=(upload.upload_id, RECORD), wait=True):
        yield copies_path(upload)


def _read(path: Path) -> CopiedParts:
    return read_record(path, CopiedParts) or CopiedParts()


def _write(path: Path, copied: CopiedParts) -> None:
    """Write the file. Raises CheckpointUnwritable: without it, parts of two versions could make one object."""
    why = "Another user owns the folder, or it cannot be written"
    try:
        if can_use_private_folder(path.parent):
            write_record(path, copied)
            return
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
    raise CheckpointUnwritable(
        f"cannot record in {quoted(path)} which version of the object was copied",
        f"{why}; parts of two versions could make one object",
        run_again("free disk space, or set OBSUP_STATE_DIR to a folder that you can write"),
    )
