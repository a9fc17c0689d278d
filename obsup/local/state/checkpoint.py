"""The checkpoint of an upload: a JSON file with what was planned and what the store confirmed.

The file is replaced atomically, has mode 0600 and ends with a digest of its content. The store's list of parts is the
truth about what exists: a lost record costs a request, never a part. The fields are documented in
obsup-checkpoint(7).
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import field
from msgspec.structs import replace

from obsup.errors import CheckpointUnwritable, NextStep, ObsupError, run_again
from obsup.local.files.file_lock import lock_file
from obsup.local.files.own_file import UntrustedFile, read_own
from obsup.local.platform.files import remove as remove_file
from obsup.local.state.atomic_file import AtomicFile, temporary_prefix, writing_advice
from obsup.local.state.checkpoint_path import HEAD, HEAD_BYTES, SUFFIX, fallback_folder
from obsup.local.state.folders import create_private_folder, is_special
from obsup.local.state.typed_json import parse
from obsup.model import Checksum, Receipt, SourceStat, Upload
from obsup.text import quoted
from obsup.units import MIB
from obsup.value import MD5Hex, NotNegative, Positive, Value

FORMAT = 2
SET_ASIDE_SUFFIX = ".not-obsup"
OTHER_PLACE = "name another file with --checkpoint, or another directory with --checkpoint-dir"
# A checkpoint of 10,000 parts has less than 2 MB. A larger file is not a checkpoint, but named by mistake.
MAX_FILE_BYTES = 64 * MIB
_GROWTH_FIELDS = ("factor", "everyParts")
_DIGEST_FIELD = b'  "digest": "'
_SIGN = re.compile(rb'"(format|uploadId|partNumber)":')


class CheckpointDamaged(ObsupError, exit_code=65, reason="checkpoint-damaged"):
    """The file is not a valid checkpoint: empty, incomplete, edited or damaged."""


class CheckpointForeign(CheckpointDamaged):
    """The file belongs to another program or to a newer obsup, so it must not be overwritten."""


class CheckpointUntrusted(CheckpointForeign):
    """Another user can have written the file, so nothing in it is used."""


class NotCheckpoint(CheckpointForeign, exit_code=2, reason="usage"):
    """Nothing in the file or in its name is of a checkpoint: --checkpoint names a file of the user by mistake."""


class Checkpoint(Value, rename="camel", omit_defaults=True):
    """The state of one upload. Sizes are bytes.

    ``source`` is the absolute path, ``receipts`` are the parts that the store confirmed, by part number, ``created``
    is seconds since the epoch. ``headers_digest`` identifies the object options. ``source_sha256`` is set by
    --verify-source. An empty upload id means that the response to the initiation is unknown: if it succeeded, the
    upload is open for this key now and is not one of ``open_before``.

    For a stream, ``source`` is a name and not a path, and ``stat`` is all zeros. ``growth`` is (factor, every): the
    part size is multiplied by *factor* after every *every* parts; None if it is constant. ``completing`` are the
    headers that Complete must send, ``requested`` those of the options that the object must have (None if an earlier
    version initiated the upload). ``enlarged_from`` is the part size asked for, if the bucket required larger parts.
    ``is_complete_sent``: Complete was sent for these parts, so that this upload may have made the object of them.
    """

    source: str
    stat: SourceStat
    upload: Upload
    part_size: Positive
    receipts: Mapping[int, Receipt]
    created: float
    headers_digest: str
    source_sha256: str | None = None
    open_before: tuple[str, ...] = ()
    growth: tuple[Positive, Positive] | None = None
    completing: Mapping[str, str] = field(default_factory=dict)
    enlarged_from: Positive | None = None
    requested: Mapping[str, str] | None = None
    is_complete_sent: bool = False


class PartRecord(Value, rename="camel", omit_defaults=True, kw_only=True):
    """One part as the file has it."""

    part_number: Positive
    offset: NotNegative | None = None
    part_size: NotNegative
    etag: str
    md5: MD5Hex | None = None
    crc64: int | None = None
    is_unproven: bool = False
    checksum: Checksum | None = None

    def receipt(self) -> Receipt:
        """Return the part as a receipt. Raises ValueError."""
        if self.crc64 is not None and not 0 <= self.crc64 < 1 << 64:
            raise ValueError(f"the crc64 of part {self.part_number} does not have 64 bits")
        known = (self.md5, self.crc64, self.is_unproven, self.checksum)
        return Receipt(self.part_number, self.part_size, self.etag, *known)


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as the bytes of its file: indented JSON, with one part per line."""
    fields: dict[str, Any] = msgspec.to_builtins(replace(checkpoint, receipts={}))
    del fields["receipts"]
    upload = fields.pop("upload")
    head = {"format": FORMAT, "target": upload["target"], "uploadId": upload["upload_id"]}
    if checkpoint.upload.token is not None:
        head["token"] = checkpoint.upload.token
    if checkpoint.upload.is_found:
        head["isFound"] = True
    if checkpoint.upload.checksum is not None:
        head["checksum"] = upload["checksum"]
    if checkpoint.growth is not None:
        fields["growth"] = dict(zip(_GROWTH_FIELDS, checkpoint.growth, strict=True))
    # ensure_ascii escapes the lone surrogates of a source whose name is not UTF-8.
    text = json.dumps(head | fields, indent=2, ensure_ascii=True).removesuffix("\n}").encode()
    encoder = msgspec.json.Encoder()
    parts = b",\n    ".join(map(encoder.encode, _part_records(checkpoint)))
    return _sealed(b'%s,\n  "parts": [\n    %s\n  ],\n' % (text, parts))


def _part_records(checkpoint: Checkpoint) -> Iterator[PartRecord]:
    """Yield the parts by number. The offset is left out if the part size grows and an earlier part is missing."""
    size_before = 0
    ordered = sorted(checkpoint.receipts.items())
    for position, (number, receipt) in enumerate(ordered, 1):
        offset = (number - 1) * checkpoint.part_size if checkpoint.growth is None else None
        if offset is None and position == number:
            offset = size_before
        size_before += receipt.size
        yield PartRecord(
            part_number=number,
            offset=offset,
            part_size=receipt.size,
            etag=receipt.etag,
            md5=receipt.md5,
            is_unproven=receipt.is_unproven,
            crc64=receipt.crc64,
            checksum=receipt.checksum,
        )


def _sealed(text: bytes) -> bytes:
    """Return a file that begins with *text* and ends with the digest of *text*."""
    return b'%s%s%s"\n}\n' % (text, _DIGEST_FIELD, hashlib.sha256(text).hexdigest().encode())


def decode(data: bytes) -> Checkpoint:
    """Return the checkpoint in *data*, of this format or an older one. Raises CheckpointDamaged with the cause."""
    plain = _plain(data)
    if plain["format"] > FORMAT:
        raise CheckpointForeign(f"it was written by a newer obsup (format {plain['format']})")
    try:
        if plain["format"] == 1:
            plain = _upgraded(plain)
        elif data != _sealed(data.rpartition(_DIGEST_FIELD)[0]):
            raise CheckpointDamaged("it was edited or damaged: its digest differs")
        return _from_fields(plain)
    except ValueError as exc:
        raise CheckpointDamaged(f"a field is missing or invalid: {exc}") from exc
    except (LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise CheckpointDamaged("a field is missing or invalid") from exc


def _plain(data: bytes) -> dict[str, Any]:
    """Return the fields in *data*, with a number of the format. Raises CheckpointDamaged."""
    is_large = len(data) > MAX_FILE_BYTES
    if not is_large and not data.strip(b"\0 \r\n\t"):
        raise CheckpointDamaged("it is empty")
    try:
        plain = None if is_large else parse(data)
    except ValueError as exc:
        is_begun = HEAD.match(data) if len(data) > HEAD_BYTES else re.match(rb'\{\s*"format":', data)
        if is_begun:
            raise CheckpointDamaged("it is incomplete or damaged") from exc
        plain = None
    if not isinstance(plain, dict) or type(plain.get("format")) is not int or "target" not in plain:
        raise CheckpointForeign("it is not a checkpoint of obsup")
    return plain


def _upgraded(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a file of format 1, which had lists instead of objects, under the names of this format.

    Raises CheckpointDamaged, and for missing or invalid fields ValueError, LookupError, TypeError or AttributeError.
    """
    digest = plain.pop("digest", None)
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    if digest != hashlib.sha256(canonical).hexdigest():
        raise CheckpointDamaged("it was edited or damaged: its digest differs")
    stat, growth = plain["stat"], plain.get("growth")
    names = ("partNumber", "partSize", "etag", "md5", "crc64")
    return plain | {
        "stat": stat | {"mtimeNs": stat["mtime_ns"], "ctimeNs": stat["ctime_ns"]},
        "growth": growth and dict(zip(_GROWTH_FIELDS, growth, strict=True)),
        "parts": [dict(zip(names, part, strict=True)) for part in plain["parts"]],
    }


def _from_fields(fields: dict[str, Any]) -> Checkpoint:
    """Raises ValueError, LookupError, TypeError, AttributeError."""
    parts = msgspec.convert(fields["parts"], list[PartRecord])
    growth = fields.get("growth")
    upload = {
        "target": fields["target"],
        "upload_id": fields["uploadId"],
        "token": fields.get("token"),
        "is_found": fields.get("isFound", False),
        "checksum": fields.get("checksum"),
    }
    return msgspec.convert(
        fields
        | {
            "upload": upload,
            "growth": growth and [growth[name] for name in _GROWTH_FIELDS],
            "receipts": {part.part_number: part.receipt() for part in parts},
        },
        Checkpoint,
    )


def load(path: Path) -> Checkpoint | None:
    """Return the checkpoint at *path*, or None if it does not exist. Raises CheckpointDamaged if it is unusable."""
    if is_special(path):
        return None
    try:
        data = read_own(path, MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UntrustedFile as exc:
        raise CheckpointUntrusted(str(exc)) from exc
    except OSError as exc:
        raise CheckpointDamaged(f"it cannot be read: {exc.strerror}") from exc
    try:
        return decode(data)
    except CheckpointForeign as exc:
        if path.name.endswith(SUFFIX) or _SIGN.search(data):
            raise
        raise NotCheckpoint(
            f"{quoted(path)} is not a checkpoint",
            "Nothing in it was written by obsup",
            NextStep("name another file with --checkpoint"),
        ) from exc


def load_named(path: Path, otherwise: NextStep) -> Checkpoint | None:
    """Return the checkpoint at *path*, or None if it does not exist. Raises CheckpointDamaged with what to do then."""
    try:
        return load(path)
    except NotCheckpoint:
        raise
    except CheckpointDamaged as exc:
        what, why = f"cannot use the checkpoint {quoted(path)}", exc.what[:1].upper() + exc.what[1:]
        raise type(exc)(what, why, otherwise) from exc


def set_aside(path: Path, what: str, suffix: str = SET_ASIDE_SUFFIX) -> Path:
    """Rename the file at *path* to a free name with *suffix*, and return that path; *what* is the error with the file.

    Raises CheckpointUnwritable.
    """
    names = (f"{path.name}{suffix}{number or ''}" for number in count())
    free = next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))
    try:
        path.rename(free)
    except OSError as exc:
        raise CheckpointUnwritable(
            what,
            f"It cannot be renamed to {quoted(free.name)} either: {exc.strerror or type(exc).__name__}",
            NextStep(OTHER_PLACE),
        ) from exc
    return free


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at *path* atomically. Raises CheckpointUnwritable."""
    if is_special(path):
        raise CheckpointUnwritable(
            f"the checkpoint {quoted(path)} cannot be written",
            "It is a device or a pipe",
            run_again(add=("--no-checkpoint",), drop=("--checkpoint",)),
        )
    try:
        if path.parent == fallback_folder():
            create_private_folder(path.parent)
        with AtomicFile(path) as file:
            file.write(encode(checkpoint))
            reason = file.distrust()
            if reason:
                # NFS with root_squash, for example, or a mounted disk without owners.
                raise PermissionError(
                    errno.EPERM, f"In the new file, {reason}, so a later run could not trust it"
                )
    except OSError as exc:
        raise CheckpointUnwritable(
            f"the checkpoint {quoted(path)} cannot be written",
            exc.strerror or type(exc).__name__,
            run_again(f"{writing_advice(exc)} or {OTHER_PLACE}"),
        ) from exc


def record(path: Path, upload: Upload, *added: Receipt, is_complete_sent: bool = False) -> bool:
    """Change the checkpoint at *path*: add receipts, and set the flag. Safe while other processes do the same.

    The lock is on the checkpoint itself, so it also works on a shared disk. On a file system without locks, a record
    that another process overwrites costs a request, never a part. Returns False if the checkpoint is gone or
    belongs to another upload. Raises CheckpointDamaged, CheckpointUnwritable.
    """
    try:
        with lock_file(str(path)):
            found = load(path)
            if found is None or found.upload.upload_id != upload.upload_id:
                return False
            receipts = {**found.receipts, **{one.number: one for one in added}}
            save(path, replace(found, receipts=receipts, is_complete_sent=is_complete_sent))
    except FileNotFoundError:
        return False
    return True


def remove(path: Path) -> None:
    """Remove the checkpoint, if it exists, and what killed processes left. Raises CheckpointUnwritable."""
    if is_special(path):
        return  # --checkpoint /dev/null
    try:
        for own in (path, *path.parent.glob(glob.escape(temporary_prefix(path)) + "*")):
            remove_file(str(own))
    except OSError as exc:
        raise CheckpointUnwritable(
            f"the checkpoint {quoted(path)} cannot be removed",
            exc.strerror or type(exc).__name__,
            NextStep("remove it by hand"),
        ) from exc
