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

    ``shard`` is ``I/N`` or empty, ``size`` bytes, ``updated_s`` seconds since the epoch. ``is_live`` is None if that
    cannot be known: a journal that the user named may be that of any share.
    """

    path: Path
    target: Target
    shard: str
    files: int
    size: int
    updated_s: float
    is_live: bool | None


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
        identity = journals.batch_id_of(path)
        is_known = identity.partition(".")[0] in identities
        if not is_known and journal is None:
            continue
        try:
            found = _read(path, [identity] if is_known else identities, is_known=is_known)
        except (OSError, JournalDamaged) as exc:
            observe(events.Noted(f"cannot read {path}: {exc}"))
            continue
        if wanted in (None, (found.target.bucket, found.target.key)):
            yield found


def _read(path: Path, identities: list[str], *, is_known: bool) -> LocalBatch:
    target, updated_s = journals.target_of(path), path.stat().st_mtime
    with closing(Journal(path, target, read_only=True)) as journal:
        size = sum(entry.stat.size for entry in journal.entries())
        is_live = any(is_held(lock_target(target, one)) for one in identities) or (
            False if is_known else None
        )
        shard = shard_of(identities[0]) if is_known else ""
        return LocalBatch(path, target, shard, journal.known, size, updated_s, is_live)
