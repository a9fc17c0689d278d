"""Find the uploads of a source by its checkpoints, without network access."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from obsup import events
from obsup.engine.job.target_text import split_target
from obsup.engine.plan.file_plan import FilePlan, Plan
from obsup.errors import NextStep, SourceUnreadable
from obsup.local.source.identity import changes, stat_source
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, started_uploads
from obsup.local.state.checkpoint import Checkpoint, CheckpointUntrusted
from obsup.local.state.lock import is_held
from obsup.value import Value


class LocalUpload(Value):
    """One upload as its checkpoint records it. ``changes`` describes what has changed in the source since."""

    path: Path
    checkpoint: Checkpoint
    is_live: bool
    changes: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """How the source is divided into parts."""
        return FilePlan(self.checkpoint.stat.size, self.checkpoint.part_size)

    @property
    def stored(self) -> int:
        """Bytes that the store has confirmed."""
        return sum(receipt.size for receipt in self.checkpoint.receipts.values())

    @property
    def missing(self) -> list[int]:
        """The numbers of the parts that are not stored yet."""
        return [n for n in range(1, self.plan.count + 1) if n not in self.checkpoint.receipts]


def find_local_uploads(
    source: Path, *, target: str | None, checkpoint: Path | None, observe: events.Observer
) -> Iterator[LocalUpload]:
    """Yield the uploads of *source*, or only those to *target* (``BUCKET/KEY``), or only that of *checkpoint*.

    Raises CheckpointDamaged, and WrongUsage for an invalid target.
    """
    bucket_and_key = split_target(target, file_name=source.name)[1:] if target is not None else None
    for path in [checkpoint] if checkpoint is not None else sorted(_checkpoint_paths(source.absolute())):
        try:
            found = checkpoints.load_named(path, NextStep("run obsup upload, which asks the store"))
        except CheckpointUntrusted as exc:
            if path == checkpoint:
                raise
            observe(events.Noted(f"{exc.what}: {exc.why}"))
            continue
        if found is None:
            continue
        found_target = found.upload.target
        if bucket_and_key in (None, (found_target.bucket, found_target.key)):
            yield LocalUpload(path, found, is_held(found_target, path), tuple(_changes(source, found)))


def _checkpoint_paths(source: Path) -> set[Path]:
    """Return the default paths of checkpoints of *source*, and those in the list of started uploads."""
    listed = {one.checkpoint for one in started_uploads.find_open() if one.source == str(source)}
    return checkpoint_path.find_all(source) | {Path(path) for path in listed if path is not None}


def _changes(source: Path, found: Checkpoint) -> list[str]:
    try:
        return changes(found.stat, stat_source(source))
    except SourceUnreadable as exc:
        return [exc.why or exc.what]
