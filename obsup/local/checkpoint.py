"""The checkpoint: what was meant and what was confirmed, in one JSON file that is always whole.

Written to a temporary file in the same folder, fsynced, renamed, the folder fsynced; mode 0600; a digest over
itself tells a torn or edited file. The store's list of parts is the truth about what exists: a lost record
costs a request, never a part.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from obsup.errors import CheckpointUnwritable, ObsupError
from obsup.local.folders import make_private, state_folder
from obsup.local.lock import FileHold, target_hash
from obsup.model import Receipt, SourceStat, Target, Upload

FORMAT = 1
SUFFIX = ".obsup.json"


class CheckpointDamaged(ObsupError):
    """The file is no checkpoint of this format: torn, empty, foreign, edited or newer."""

    exit_code = 65
    reason = "checkpoint-damaged"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of one upload.

    ``source`` is the absolute path, ``part_size`` bytes, ``receipts`` what the store confirmed by part number,
    ``created`` seconds since the epoch. ``headers_digest`` tells whether the object was asked for with the
    same options; ``source_sha256`` is there with --verify-source. An empty upload id says that initiating was
    begun: the upload, if there is one, is open for this key now and was not among ``open_before``.

    Of a stream, ``source`` is its name (no path), ``stat`` is all zeros, and ``growth`` says that the part size is
    multiplied (by the first number) after every so many parts (the second); None: it stays. ``completing`` are
    the headers that Complete is to carry, so that who completes need not know the object's options.
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
    format: int = FORMAT


def default_path(source: Path, target: Target, folder: Path | None = None) -> Path:
    """Return SOURCE.<8 hex of TARGET>.obsup.json beside the source, or in the state directory where that cannot be.

    *folder* is where checkpoints of many sources are kept together, if asked for.
    """
    name = f"{source.name}.{target_hash(target)[:8]}{SUFFIX}"
    beside = source.absolute().with_name(name)
    if folder is None and (beside.exists() or os.access(beside.parent, os.W_OK | os.X_OK)):
        return beside
    return (folder or _apart()) / f"{_prefix(source)}-{name}"


def find_all(source: Path) -> set[Path]:
    """Return the checkpoints of *source*, to whatever target, that are where ``default_path`` puts them."""
    name = f"{glob.escape(source.name)}.????????{SUFFIX}"
    return {*source.absolute().parent.glob(name), *_apart().glob(f"{_prefix(source)}-{name}")}


def _apart() -> Path:
    return state_folder() / "checkpoints"


def _prefix(source: Path) -> str:
    """Return what tells files of one name in different folders apart."""
    return hashlib.sha256(os.fsencode(source.absolute().parent)).hexdigest()[:8]


def default_stream_path(name: str, target: Target, folder: Path | None = None) -> Path:
    """Return where the checkpoint of the stream that *name* stands for is kept: *folder*, or the state directory."""
    stands_for = hashlib.sha256(name.encode()).hexdigest()[:8]
    return (
        folder or state_folder() / "checkpoints"
    ) / f"stream-{target_hash(target)[:8]}-{stands_for}{SUFFIX}"


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as the bytes of its file."""
    plain: dict[str, Any] = {
        "format": checkpoint.format,
        "source": checkpoint.source,
        "stat": asdict(checkpoint.stat),
        "target": asdict(checkpoint.upload.target),
        "uploadId": checkpoint.upload.upload_id,
        "token": checkpoint.upload.token,
        "partSize": checkpoint.part_size,
        "created": checkpoint.created,
        "headersDigest": checkpoint.headers_digest,
        "sourceSha256": checkpoint.source_sha256,
        "openBefore": list(checkpoint.open_before),
        "growth": checkpoint.growth,
        "completing": dict(checkpoint.completing),
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
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise CheckpointDamaged("it is empty or torn" if not data.strip() else "it is no JSON") from exc
    if not isinstance(plain, dict) or not isinstance(plain.get("format"), int):
        raise CheckpointDamaged("it is not a checkpoint of obsup")
    if plain["format"] > FORMAT:
        raise CheckpointDamaged(f"it was written by a newer obsup (format {plain['format']})")
    if plain.pop("digest", None) != _digest(plain):
        raise CheckpointDamaged("it was changed or damaged (its digest does not fit)")
    try:
        return _from_plain(plain)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise CheckpointDamaged("a field is missing or of the wrong kind") from exc


def _from_plain(plain: dict[str, Any]) -> Checkpoint:
    receipts = [
        Receipt(int(number), int(size), str(etag), md5, crc64)
        for number, size, etag, md5, crc64 in plain["parts"]
    ]
    return Checkpoint(
        source=str(plain["source"]),
        stat=SourceStat(**{name: int(value) for name, value in plain["stat"].items()}),
        upload=Upload(Target(**plain["target"]), str(plain["uploadId"]), plain["token"]),
        part_size=int(plain["partSize"]),
        receipts={one.number: one for one in receipts},
        created=float(plain["created"]),
        headers_digest=str(plain["headersDigest"]),
        source_sha256=plain["sourceSha256"],
        open_before=tuple(str(one) for one in plain["openBefore"]),
        growth=_growth(plain.get("growth")),
        completing={str(name): str(value) for name, value in plain["completing"].items()},
    )


def _growth(plain: Any) -> tuple[int, int] | None:
    if plain is None:
        return None
    factor, every = plain
    return int(factor), int(every)


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load(path: Path) -> Checkpoint | None:
    """Return the checkpoint at *path*, or None where there is none.

    Raises CheckpointDamaged for a file that is no checkpoint or cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise CheckpointDamaged(f"it cannot be read: {exc.strerror}") from exc
    return decode(data)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at *path*, so that at any instant the old or the new one is there, whole.

    Raises CheckpointUnwritable.
    """
    try:
        if path.parent == _apart():
            make_private(path.parent)
        _replace(path, encode(checkpoint))
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


def _replace(path: Path, data: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: Path) -> None:
    """Remove the checkpoint; one that is gone already is no error. Raises CheckpointUnwritable."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise CheckpointUnwritable(
            f"the checkpoint {path} cannot be removed", exc.strerror or "", "remove it by hand"
        ) from exc
