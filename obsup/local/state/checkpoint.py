"""The checkpoint: what was meant and what was confirmed, in one JSON file that is always whole.

Written to a temporary file in the same folder, fsynced, renamed, the folder fsynced; mode 0600; a digest over
itself tells a torn or edited file. The store's list of parts is the truth about what exists: a lost record
costs a request, never a part.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import field, to_builtins
from msgspec.structs import replace

from obsup.errors import CheckpointUnwritable, ObsupError
from obsup.local.state.atomic_file import temporary_prefix, write_atomically
from obsup.local.state.checkpoint_path import apart
from obsup.local.state.folders import demand_private, is_special
from obsup.local.state.json_fields import at_least, of_kind
from obsup.local.state.lock import FileHold
from obsup.model import Receipt, SourceStat, Target, Upload
from obsup.units import MIB
from obsup.value import Value

FORMAT = 1
SET_ASIDE = ".not-obsup"
# 10,000 parts take 1 MB. A larger file is somebody's data, named by mistake.
MAX_SIZE = 64 * MIB


class CheckpointDamaged(ObsupError):
    """The file is no checkpoint of this format: torn, empty, foreign, edited or newer."""

    exit_code = 65
    reason = "checkpoint-damaged"


class CheckpointForeign(CheckpointDamaged):
    """The file is somebody else's, or a newer obsup's: it must not be overwritten."""


class Checkpoint(Value):
    """The state of one upload.

    ``source`` is the absolute path, ``part_size`` bytes, ``receipts`` what the store confirmed by part number,
    ``created`` seconds since the epoch. ``headers_digest`` tells whether the object was asked for with the
    same options; ``source_sha256`` is there with --verify-source. An empty upload id says that initiating was
    begun: the upload, if there is one, is open for this key now and was not among ``open_before``.

    Of a stream, ``source`` is its name (no path), ``stat`` is all zeros, and ``growth`` says that the part size is
    multiplied (by the first number) after every so many parts (the second); None: it stays. ``completing`` are
    the headers that Complete is to carry, so that who completes need not know the object's options. Where the
    bucket wanted larger parts than were asked for, ``enlarged_from`` is the part size that was, in bytes.
    """

    source: str
    stat: SourceStat
    upload: Upload
    part_size: int
    receipts: Mapping[int, Receipt]
    created: float
    headers_digest: str
    source_sha256: str | None = None
    open_before: tuple[str, ...] = ()
    growth: tuple[int, int] | None = None
    completing: Mapping[str, str] = field(default_factory=dict)
    enlarged_from: int | None = None
    format: int = FORMAT


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as the bytes of its file."""
    plain: dict[str, Any] = {
        "format": checkpoint.format,
        "source": checkpoint.source,
        "stat": to_builtins(checkpoint.stat),
        "target": to_builtins(checkpoint.upload.target),
        "uploadId": checkpoint.upload.upload_id,
        "token": checkpoint.upload.token,
        "partSize": checkpoint.part_size,
        "created": checkpoint.created,
        "headersDigest": checkpoint.headers_digest,
        "sourceSha256": checkpoint.source_sha256,
        "openBefore": list(checkpoint.open_before),
        "growth": checkpoint.growth,
        "completing": dict(checkpoint.completing),
        "enlargedFrom": checkpoint.enlarged_from,
        "parts": [
            [one.number, one.size, one.etag, one.md5, one.crc64]
            for one in sorted(checkpoint.receipts.values(), key=lambda receipt: receipt.number)
        ],
    }
    plain["digest"] = _digest(plain)
    # surrogateescape: a file name need not be UTF-8, and must come back as it was.
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes) -> Checkpoint:
    """Return the checkpoint in *data*. Raises CheckpointDamaged, which says what is wrong."""
    if not data.strip(b"\0 \r\n\t"):
        raise CheckpointDamaged("it is empty")
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as exc:
        if data.startswith(b'{"format":'):
            raise CheckpointDamaged("it is torn") from exc
        raise CheckpointForeign("it is not a checkpoint of obsup") from exc
    if not isinstance(plain, dict) or type(plain.get("format")) is not int:
        raise CheckpointForeign("it is not a checkpoint of obsup")
    if plain["format"] > FORMAT:
        raise CheckpointForeign(f"it was written by a newer obsup (format {plain['format']})")
    try:
        if plain.pop("digest", None) != _digest(plain):
            raise CheckpointDamaged("it was changed or damaged (its digest does not fit)")
        return _from_plain(plain)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as exc:
        raise CheckpointDamaged("a field is missing or of the wrong kind") from exc


def _from_plain(plain: dict[str, Any]) -> Checkpoint:
    receipts = [_receipt(*one) for one in plain["parts"]]
    at_least(0, plain["stat"]["size"])
    return Checkpoint(
        source=str(plain["source"]),
        stat=SourceStat(**{name: int(value) for name, value in plain["stat"].items()}),
        upload=Upload(_target(plain["target"]), str(plain["uploadId"]), of_kind(plain["token"], str, None)),
        part_size=at_least(1, plain["partSize"]),
        receipts={one.number: one for one in receipts},
        created=float(plain["created"]),
        headers_digest=str(plain["headersDigest"]),
        source_sha256=of_kind(plain["sourceSha256"], str, None),
        open_before=tuple(str(one) for one in plain["openBefore"]),
        growth=_growth(plain.get("growth")),
        completing={str(name): str(value) for name, value in plain["completing"].items()},
        enlarged_from=of_kind(plain.get("enlargedFrom"), int, None),
    )


def _receipt(number: Any, size: Any, etag: Any, md5: Any, crc64: Any) -> Receipt:
    digest: str | None = of_kind(md5, str, None)
    if digest is not None and len(bytes.fromhex(digest)) != 16:
        raise ValueError("no MD5")
    return Receipt(at_least(1, number), at_least(0, size), str(etag), digest, of_kind(crc64, int, None))


def _target(plain: Mapping[str, Any]) -> Target:
    return Target(**{name: str(value) for name, value in plain.items()})


def _growth(plain: Any) -> tuple[int, int] | None:
    if plain is None:
        return None
    factor, every = plain
    return at_least(1, factor), at_least(1, every)


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load(path: Path) -> Checkpoint | None:
    """Return the checkpoint at *path*, or None where there is none.

    Raises CheckpointDamaged for a file that is no checkpoint or cannot be read.
    """
    if is_special(path):
        return None
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise CheckpointDamaged(f"it cannot be read: {exc.strerror}") from exc
    if len(data) > MAX_SIZE:
        raise CheckpointForeign("it is not a checkpoint of obsup")
    return decode(data)


def set_aside(path: Path) -> Path:
    """Rename the file at *path*, which is not ours to overwrite; return its new name. Raises CheckpointUnwritable."""
    names = (f"{path.name}{SET_ASIDE}{number or ''}" for number in count())
    free = next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))
    try:
        path.rename(free)
    except OSError as exc:
        raise CheckpointUnwritable(
            f"{path} is no checkpoint of this obsup, and cannot be set aside as {free.name}",
            exc.strerror or type(exc).__name__,
            "name another file with --checkpoint",
        ) from exc
    return free


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at *path*, so that at any instant the old or the new one is there, whole.

    Raises CheckpointUnwritable.
    """
    if is_special(path):
        raise CheckpointUnwritable(
            f"the checkpoint {path} cannot be written", "it is a device or a pipe", "use --no-checkpoint"
        )
    try:
        if path.parent == apart():
            demand_private(path.parent)
        write_atomically(path, encode(checkpoint))
    except OSError as exc:
        raise CheckpointUnwritable(
            f"the checkpoint {path} cannot be written",
            exc.strerror or type(exc).__name__,
            "make room or name another place with --checkpoint",
        ) from exc


def record(path: Path, upload: Upload, receipt: Receipt) -> bool:
    """Add *receipt* to the checkpoint at *path*, whoever else adds theirs at the same time.

    The lock is on the checkpoint itself, so that it holds wherever the file is seen. Returns False where the
    checkpoint is gone, or about another upload. Raises CheckpointDamaged, CheckpointUnwritable.
    """
    hold = FileHold(path)
    try:
        hold.wait()
    except FileNotFoundError:
        return False
    except OSError:
        # A file system without locks. A record lost to another process costs a look at the store, never a part.
        hold.free()
    try:
        found = load(path)
        if found is None or found.upload.upload_id != upload.upload_id:
            return False
        save(path, replace(found, receipts={**found.receipts, receipt.number: receipt}))
    finally:
        hold.free()
    return True


def remove(path: Path) -> None:
    """Remove the checkpoint, and what killed processes left beside it. Gone already is no error.

    Raises CheckpointUnwritable.
    """
    try:
        path.unlink(missing_ok=True)
        for left in path.parent.glob(glob.escape(temporary_prefix(path)) + "*"):
            left.unlink(missing_ok=True)
    except OSError as exc:
        raise CheckpointUnwritable(
            f"the checkpoint {path} cannot be removed", exc.strerror or "", "remove it by hand"
        ) from exc
