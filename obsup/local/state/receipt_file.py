"""The receipt of a finished object: a JSON file with what was sent and what the store confirmed, for ``verify``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import field, to_builtins

from obsup.errors import BadConfiguration, LocalFailure, NextStep
from obsup.local.state.atomic_file import write_atomically
from obsup.local.state.folders import is_special
from obsup.local.state.typed_json import MD5, NotNegative, Positive, decode
from obsup.model import Receipt, Target
from obsup.text import quoted
from obsup.value import Value

FORMAT = 1


class ObjectReceipt(Value):
    """What is known of a finished object. Sizes are bytes, ``completed`` is seconds since the epoch.

    ``part_size`` is that of the first part. ``receipts`` are all parts in order, with the digests computed while they
    were sent. ``request_ids`` are by part number; ``request_id`` is that of the object.
    """

    target: Target
    size: int
    part_size: int
    receipts: tuple[Receipt, ...]
    etag: str
    verified: str
    upload_id: str | None
    version_id: str | None
    request_id: str
    completed: float
    request_ids: Mapping[int, str] = field(default_factory=dict)


class ReceiptPart(Value, rename="camel"):
    """One part as the file has it."""

    number: Positive
    size: NotNegative
    etag: str
    md5: MD5 | None
    crc64: int | None
    request_id: str | None


class ReceiptFile(Value, rename="camel"):
    """The fields of the file."""

    format: int
    provider: str
    endpoint: str
    bucket: str
    key: str
    etag: str
    version_id: str | None
    upload_id: str | None
    request_id: str
    verified: str
    completed: float
    size: NotNegative
    part_size: NotNegative
    parts: tuple[ReceiptPart, ...]


def check_writable(path: Path) -> None:
    """Raise LocalFailure if no receipt can be written at *path*, so that it is known before anything is sent."""
    folder = path.absolute().parent
    if is_special(path):
        return
    if path.is_dir():
        why = "It is a directory"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"The directory {quoted(folder)} is missing or not writable"
    else:
        return
    raise LocalFailure(
        f"the receipt {quoted(path)} cannot be written", why, NextStep("name another file with --receipt")
    )


def save(path: Path, receipt: ObjectReceipt) -> None:
    """Write *receipt* to *path*: atomically, or directly if it is a device or a pipe. Raises LocalFailure."""
    text = json.dumps(to_builtins(_to_file(receipt)), indent=1) + "\n"
    try:
        if is_special(path):
            path.write_text(text)
        else:
            write_atomically(path, text.encode(), is_private=False)
    except OSError as exc:
        raise LocalFailure(
            f"the object is in place, but its receipt {quoted(path)} cannot be written",
            exc.strerror or type(exc).__name__,
            NextStep(
                "nothing is missing in the bucket; for a receipt, free disk space and upload the file again"
            ),
        ) from exc


def load(path: Path) -> ObjectReceipt:
    """Return the receipt at *path*. Raises BadConfiguration if it is missing or invalid."""
    try:
        return _from_file(decode(path.read_bytes(), ReceiptFile))
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
    except ValueError as exc:
        why = f"It is not a receipt of obsup: {exc}"
    raise BadConfiguration(
        f"the receipt {quoted(path)} cannot be read", why, NextStep("check the path given with --receipt")
    )


def _to_file(receipt: ObjectReceipt) -> ReceiptFile:
    target = receipt.target
    return ReceiptFile(
        format=FORMAT,
        provider=target.provider,
        endpoint=target.endpoint,
        bucket=target.bucket,
        key=target.key,
        etag=receipt.etag,
        version_id=receipt.version_id,
        upload_id=receipt.upload_id,
        request_id=receipt.request_id,
        verified=receipt.verified,
        completed=receipt.completed,
        size=receipt.size,
        part_size=receipt.part_size,
        parts=tuple(
            ReceiptPart(
                part.number, part.size, part.etag, part.md5, part.crc64, receipt.request_ids.get(part.number)
            )
            for part in receipt.receipts
        ),
    )


def _from_file(fields: ReceiptFile) -> ObjectReceipt:
    """Raises ValueError."""
    if fields.format != FORMAT:
        raise ValueError(f"its format is {fields.format}, not {FORMAT}")
    numbers = [part.number for part in fields.parts]
    if numbers != list(range(1, len(numbers) + 1)) or sum(part.size for part in fields.parts) != fields.size:
        raise ValueError("its parts do not add up to the object")
    return ObjectReceipt(
        target=Target(fields.provider, fields.endpoint, fields.bucket, fields.key),
        size=fields.size,
        part_size=fields.part_size,
        receipts=tuple(
            Receipt(part.number, part.size, part.etag, part.md5, part.crc64) for part in fields.parts
        ),
        etag=fields.etag,
        verified=fields.verified,
        upload_id=fields.upload_id,
        version_id=fields.version_id,
        request_id=fields.request_id,
        completed=fields.completed,
        request_ids={part.number: part.request_id for part in fields.parts if part.request_id},
    )
