"""Going on with what was begun.

The store's list is the truth about what exists, the checkpoint about what was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from obsup.engine.plan import Plan
from obsup.engine.worker import Proving, confirms
from obsup.errors import SourceChanged, WrongUsage
from obsup.local.checkpoint import Checkpoint
from obsup.local.digest import PartDigest
from obsup.local.source import changes, hash_part, quoted
from obsup.model import Receipt, SourceStat, Stored, StoredPart, Target
from obsup.units import exact_size

Gate = Callable[[int], None]


def check_same_order(
    checkpoint: Checkpoint, target: Target, plan: Plan | None, headers_digest: str, *, path: Path
) -> None:
    """Raise WrongUsage where the checkpoint is about another upload than the one that is asked for now.

    *plan* is given where the user asked for a split.
    """
    again = f"use the same options as before, or begin again with --restart ({path})"
    if checkpoint.upload.target != target:
        raise WrongUsage(
            f"the checkpoint {quoted(path)} is about {checkpoint.upload.target}",
            f"at {checkpoint.upload.target.endpoint}, not about {target} at {target.endpoint}",
            "name another file with --checkpoint",
        )
    if plan is not None and plan.size == checkpoint.stat.size and plan.part_size != checkpoint.part_size:
        raise WrongUsage(
            f"the upload that was begun has parts of {exact_size(checkpoint.part_size)}, not of "
            f"{exact_size(plan.part_size)}",
            "the part size of an upload cannot change",
            again,
        )
    if checkpoint.headers_digest != headers_digest:
        raise WrongUsage(
            "the upload was begun with other object options",
            "metadata, storage class, ACL and the like are fixed when an upload is initiated",
            again,
        )


def keep_valid(
    listed: Iterable[StoredPart],
    known: Mapping[int, Receipt],
    plan: Plan,
    *,
    trusted: bool,
    check: Callable[[StoredPart], Receipt | None],
) -> tuple[dict[int, Receipt], list[int]]:
    """Return the receipts of stored parts that need not be sent again, and the numbers of those that differ.

    A stored part counts where it has the plan's size and either its recorded ETag with a *trusted* source, or
    content that *check* finds equal to the file's.
    """
    receipts: dict[int, Receipt] = {}
    differing: list[int] = []
    for stored in listed:
        if not 1 <= stored.number <= plan.count or stored.size != plan.part(stored.number).size:
            continue
        recorded = known.get(stored.number)
        is_recorded = recorded is not None and recorded.etag.lower() == stored.etag.lower()
        if trusted and recorded is not None and is_recorded:
            receipts[stored.number] = recorded
            continue
        receipt = check(stored)
        if receipt is not None:
            receipts[stored.number] = receipt
        elif is_recorded:
            differing.append(stored.number)
    return receipts, differing


def compare_with_file(
    stored: StoredPart, path: Path, plan: Plan, proving: Proving, gate: Gate | None
) -> Receipt | None:
    """Return a receipt for *stored* where its digest is that of the file's part now; None where it is not shown."""
    digest = PartDigest(md5=True, crc64=stored.crc64 is not None)
    hash_part(path, plan.part(stored.number), digest, gate)
    answer = Stored(status=200, etag=stored.etag, crc64=stored.crc64)
    if confirms(answer, digest, proving) is not True:
        return None
    return Receipt(stored.number, stored.size, stored.etag, digest.md5, digest.crc64)


def refuse_changed(path: Path, before: SourceStat, now: SourceStat, differing: list[int]) -> SourceChanged:
    """Return the error for a source that is not what the stored parts were made from."""
    what = ", ".join(changes(before, now)) or "its content"
    parts = f"; parts {_some(differing)} differ from what is stored" if differing else ""
    return SourceChanged(
        f"{quoted(path)} changed since the upload began",
        f"what changed: {what}{parts}; an object must not mix two versions of its source",
        "run with --restart to send the file as it is now",
    )


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"
