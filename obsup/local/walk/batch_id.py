"""Which batch it is: the same sources, list and share are the same batch, with one journal and one lock."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from obsup.model import Target
from obsup.shard import Shard


def batch_id(sources: Iterable[str], *, from_list: Path | None = None, shard: Shard | None = None) -> str:
    """Return 8 hex digits that identify the sources, and the share: the same for the same command in the same folder.

    Shares do not wait for each other. All shares of a batch have the same digits.
    """
    words = sorted(f"{Path(source).absolute()}{'/' if source.endswith('/') else ''}" for source in sources)
    words.append(f"list {from_list.absolute() if from_list is not None else ''}")
    digits = hashlib.sha256(os.fsencode("\n".join(words))).hexdigest()[:8]
    return digits if shard is None else f"{digits}.{shard.number}-of-{shard.total}"


def shard_of(text: str) -> str:
    """Return the share ``I/N`` in a batch id, or an empty text."""
    return text.partition(".")[2].replace("-of-", "/")


def lock_target(prefix: Target, identity: str) -> Target:
    """Return what a batch locks. Other batches to the same *prefix* may run at the same time."""
    return replace(prefix, key=f"{prefix.key} ({identity})")
