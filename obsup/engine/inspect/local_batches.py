"""Find what the journals of this machine record of the uploads of a directory, without network access."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from obsup import events
from obsup.engine.job.target_text import split_scheme
from obsup.local.state import journal as journals
from obsup.local.state.journal import Journal, JournalDamaged
from obsup.local.state.lock import is_held
from obsup.local.walk.batch_id import batch_id, lock_target, shard_of
from obsup.model import Target
from obsup.value import Value


class LocalBatch(Value):
    """The files of a directory, or of one share of it, that are in place below *target* as its journal records it.

    ``shard`` is ``I/N`` or empty, ``size`` bytes, ``updated_s`` seconds since the epoch.
    """

    path: Path
    target: Target
    shard: str
    files: int
    size: int
    updated_s: float
    is_live: bool


def find_local_batches(
    source: Path,
    *,
    target: str | None,
    folder: Path | None,
    journal: Path | None = None,
    observe: events.Observer,
) -> Iterator[LocalBatch]:
    """Yield the batches of *source* alone, or only those to *target* (``BUCKET/PREFIX/``), one per share.

    *folder* is that of the journals, None for the state directory; *journal* is one that the user named. Raises
    WrongUsage for an invalid target.
    """
    wanted = split_scheme(target)[1].partition("/")[::2] if target is not None else None
    identities = [batch_id([f"{source}{slash}"]) for slash in ("", "/")]
    for path in [journal] if journal is not None else journals.find_all(folder):
        identity = journals.batch_id_of(path) if journal is None else identities[0]
        if identity.partition(".")[0] not in identities:
            continue
        try:
            found = _read(path, identity)
        except (OSError, JournalDamaged) as exc:
            observe(events.Noted(f"cannot read {path}: {exc}"))
            continue
        if wanted in (None, (found.target.bucket, found.target.key)):
            yield found


def _read(path: Path, identity: str) -> LocalBatch:
    target, updated_s = journals.target_of(path), path.stat().st_mtime
    with closing(Journal(path, target, read_only=True)) as journal:
        size = sum(entry.stat.size for entry in journal.entries())
        is_live = is_held(lock_target(target, identity))
        return LocalBatch(path, target, shard_of(identity), journal.known, size, updated_s, is_live)
