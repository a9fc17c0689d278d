"""The receipt of a finished object, as a file: what was sent, what the store said, and how to prove it later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import field

from obsup.errors import BadConfiguration, LocalFailure
from obsup.local.state.atomic_file import write_atomically
from obsup.local.state.folders import is_special
from obsup.model import Receipt, Target
from obsup.text import quoted
from obsup.value import Value

FORMAT = 1


class ObjectReceipt(Value):
    """What is known of one finished object. Sizes are bytes, ``completed`` seconds since the epoch.

    ``part_size`` is that of the first part; ``receipts`` are all parts, in order, each with the digests that were
    computed while it was sent. ``request_ids`` are by part number; the object's own is ``request_id``.
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


def check_writable(path: Path) -> None:
    """Raise LocalFailure where no receipt can be written at *path*: better said before a day of sending."""
    folder = path.absolute().parent
    if is_special(path):
        return
    if path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise LocalFailure(
            f"the receipt {quoted(path)} cannot be written",
            "it is a directory"
            if path.is_dir()
            else f"{quoted(folder)} is missing, or not yours to write to",
            "name another file with --receipt",
        )


def save(path: Path, receipt: ObjectReceipt) -> None:
    """Write *receipt* to *path*, a file whole or not at all; a device or a pipe is written to. Raises LocalFailure."""
    text = json.dumps(_to_plain(receipt), indent=1) + "\n"
    try:
        if is_special(path):
            path.write_text(text)
        else:
            write_atomically(path, text.encode(), is_private=False)
    except OSError as exc:
        raise LocalFailure(
            f"the object is in place, but its receipt {quoted(path)} cannot be written",
            exc.strerror or "",
            "the object needs no more; for a receipt make room and send the file again",
        ) from exc


def load(path: Path) -> ObjectReceipt:
    """Return the receipt at *path*. Raises BadConfiguration where there is none, or it is none."""
    try:
        return _from_plain(json.loads(path.read_bytes()))
    except OSError as exc:
        why = exc.strerror or ""
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        why = "it is no receipt of obsup"
    raise BadConfiguration(f"the receipt {quoted(path)} cannot be read", why, "check --receipt")


def _to_plain(receipt: ObjectReceipt) -> dict[str, Any]:
    target = receipt.target
    return {
        "format": FORMAT,
        "provider": target.provider,
        "endpoint": target.endpoint,
        "bucket": target.bucket,
        "key": target.key,
        "etag": receipt.etag,
        "versionId": receipt.version_id,
        "uploadId": receipt.upload_id,
        "requestId": receipt.request_id,
        "verified": receipt.verified,
        "completed": receipt.completed,
        "size": receipt.size,
        "partSize": receipt.part_size,
        "parts": [
            {
                "number": one.number,
                "size": one.size,
                "etag": one.etag,
                "md5": one.md5,
                "crc64": one.crc64,
                "requestId": receipt.request_ids.get(one.number),
            }
            for one in receipt.receipts
        ],
    }


def _from_plain(plain: dict[str, Any]) -> ObjectReceipt:
    if plain["format"] != FORMAT:
        raise ValueError("another format")
    parts = plain["parts"]
    receipts = tuple(
        Receipt(
            int(one["number"]),
            int(one["size"]),
            str(one["etag"]),
            None if one["md5"] is None else bytes.fromhex(one["md5"]).hex(),
            None if one["crc64"] is None else int(one["crc64"]),
        )
        for one in parts
    )
    size = int(plain["size"])
    whole = [one.number for one in receipts] == list(range(1, len(receipts) + 1))
    if not whole or sum(one.size for one in receipts) != size:
        raise ValueError("its parts are not the object")
    return ObjectReceipt(
        target=Target(*(str(plain[name]) for name in ("provider", "endpoint", "bucket", "key"))),
        size=size,
        part_size=int(plain["partSize"]),
        receipts=receipts,
        etag=str(plain["etag"]),
        verified=str(plain["verified"]),
        upload_id=plain["uploadId"],
        version_id=plain["versionId"],
        request_id=str(plain["requestId"]),
        completed=float(plain["completed"]),
        request_ids={one["number"]: one["requestId"] for one in parts if one["requestId"]},
    )
