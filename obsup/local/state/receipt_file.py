"""The receipt of a finished object: a JSON file with what was sent and what the store confirmed, for ``verify``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import convert, field, to_builtins

from obsup.errors import BadConfiguration, LocalFailure, NextStep
from obsup.local.files.content import read_content
from obsup.local.files.existing import is_directory
from obsup.local.state.atomic_file import write_atomically, writing_advice
from obsup.local.state.folders import is_special
from obsup.local.state.typed_json import parse
from obsup.model import Checksum, ObjectLock, Receipt, Target
from obsup.text import quoted
from obsup.units import MIB
from obsup.value import Value

FORMAT = 1
# The receipt of 10,000 parts has 3 MB.
MAX_BYTES = 64 * MIB


class ObjectReceipt(Value, rename="camel"):
    """What is known of a finished object. Sizes are bytes, ``completed`` is seconds since the epoch.

    ``part_size`` is that of the first part. ``receipts`` are all parts in order, with the digests computed while they
    were sent. ``request_ids`` are by part number; ``request_id`` is that of the object. ``checksum`` is what verified
    the object, if that is a checksum.
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
    lock: ObjectLock | None = None
    checksum: Checksum | None = None


def check_writable(path: Path) -> None:
    """Raise LocalFailure if no receipt can be written at *path*, so that it is known before anything is sent."""
    folder = path.absolute().parent
    if is_special(path):
        return
    if is_directory(path):
        why = "It is a directory"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"The directory {quoted(folder)} is missing or not writable"
    else:
        return
    raise LocalFailure(
        f"the receipt {quoted(path)} cannot be written", why, NextStep("name another file with --receipt")
    )


def save(path: Path, receipt: ObjectReceipt) -> None:
    """Write *receipt* to *path*, as ``write_atomically``. Raises LocalFailure."""
    text = json.dumps(_to_fields(receipt), indent=1) + "\n"
    try:
        write_atomically(path, text.encode())
    except OSError as exc:
        raise LocalFailure(
            f"the object is in place, but its receipt {quoted(path)} cannot be written",
            exc.strerror or type(exc).__name__,
            NextStep(
                f"nothing is missing in the bucket; for a receipt, {writing_advice(exc)} and upload the file again"
            ),
        ) from exc


def load(path: Path) -> ObjectReceipt:
    """Return the receipt at *path*. Raises BadConfiguration if it is missing or invalid."""
    try:
        content = read_content(path, MAX_BYTES, allow_pipe=True)
        reason = content.distrust(path)
        if not reason:
            return _from_fields(parse(content.data))
        why = f"Another user can have written it: {reason}"
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        why = f"It is not a receipt of obsup: {exc}"
    raise BadConfiguration(
        f"the receipt {quoted(path)} cannot be read", why, NextStep("check the path given with --receipt")
    )


def _to_fields(receipt: ObjectReceipt) -> dict[str, Any]:
    """Return the fields of the file: those of the target are at the top level, and each part has its request id."""
    fields: dict[str, Any] = to_builtins(receipt)
    request_ids = receipt.request_ids
    parts = [part | {"requestId": request_ids.get(part["number"])} for part in fields.pop("receipts")]
    del fields["requestIds"]
    return {"format": FORMAT, **fields.pop("target"), **fields, "parts": parts}


def _from_fields(fields: dict[str, Any]) -> ObjectReceipt:
    """Raises ValueError, LookupError, TypeError."""
    if fields["format"] != FORMAT:
        raise ValueError(f"its format is {fields['format']}, not {FORMAT}")
    parts = fields["parts"]
    request_ids = {part["number"]: part["requestId"] for part in parts if part["requestId"]}
    receipt = convert(
        fields | {"target": fields, "receipts": parts, "requestIds": request_ids}, ObjectReceipt
    )
    numbers = [part.number for part in receipt.receipts]
    sizes = [part.size for part in receipt.receipts]
    if numbers != list(range(1, len(numbers) + 1)) or sum(sizes) != receipt.size:
        raise ValueError("its parts do not add up to the object")
    return receipt
