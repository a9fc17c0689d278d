"""What this machine knows of the uploads of a source: its checkpoints. Asks no store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from obsup.engine.job.target_text import split_target
from obsup.engine.plan.file_plan import FilePlan, Plan
from obsup.errors import SourceUnreadable
from obsup.local.source.file import changes, stat_source
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.lock import is_held
from obsup.value import Value


class LocalUpload(Value):
    """One upload as its checkpoint tells. ``changes`` is what differs in the source since, in words."""

    path: Path
    checkpoint: Checkpoint
    is_live: bool
    changes: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """How the source is cut."""
        return FilePlan(self.checkpoint.stat.size, self.checkpoint.part_size)

    @property
    def stored(self) -> int:
        """Bytes that the store has confirmed."""
        return sum(one.size for one in self.checkpoint.receipts.values())

    @property
    def missing(self) -> list[int]:
        """The numbers of the parts that are still to be sent."""
        return [n for n in range(1, self.plan.count + 1) if n not in self.checkpoint.receipts]


def find_local_uploads(source: Path, *, target: str | None, checkpoint: Path | None) -> Iterator[LocalUpload]:
    """Yield the uploads of *source*; only those to *target* (``BUCKET/KEY``), or that of one *checkpoint*, if named.

    Raises CheckpointDamaged, and WrongUsage for a target that is none.
    """
    wanted = split_target(target, file_name=source.name)[1:] if target is not None else None
    for path in [checkpoint] if checkpoint is not None else sorted(_places(source.absolute())):
        found = checkpoints.load(path)
        if found is None:
            continue
        at = found.upload.target
        if wanted in (None, (at.bucket, at.key)):
            yield LocalUpload(path, found, is_held(at), tuple(_changes(source, found)))


def _places(source: Path) -> set[Path]:
    """Return where checkpoints of *source* may be: the usual places, and where the registry says."""
    named = {entry.checkpoint for entry in started_uploads.find_open() if entry.source == str(source)}
    return checkpoint_path.find_all(source) | {Path(one) for one in named if one is not None}


def _changes(source: Path, found: Checkpoint) -> list[str]:
    try:
        return changes(found.stat, stat_source(source))
    except SourceUnreadable as exc:
        return [exc.why or exc.what]
