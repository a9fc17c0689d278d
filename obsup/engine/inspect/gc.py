"""Abort stale uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from obsup.engine.inspect.open_uploads import ListedUpload
from obsup.engine.upload.abort import abort_fully
from obsup.errors import Busy, Denied, ObsupError, Refused
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import CheckpointDamaged
from obsup.local.state.lock import UploadLock
from obsup.model import Upload
from obsup.store.interface import ObjectStore
from obsup.value import Value


class GcDecision(Value):
    """One upload that ``gc`` looked at: ``kept`` says why it stays (young, foreign, live), None that it goes."""

    one: ListedUpload
    kept: str | None


def abort_stale(
    store: ObjectStore,
    found: Iterable[ListedUpload],
    *,
    older_than_s: float,
    foreign: bool,
    dry_run: bool,
    sleep: Callable[[float], bool],
) -> Iterator[GcDecision]:
    """Give up what is older than *older_than_s* and ours, or anybody's with *foreign*; never what is live here.

    With *dry_run* nothing is given up. An upload whose age is not known is young. After one that the store
    refuses to abort the others follow, and then its refusal is raised; any other failure is raised at once.
    """
    refused: list[ObsupError] = []
    for one in found:
        kept = _reason_to_keep(one, older_than_s, foreign=foreign)
        if kept is None and not dry_run:
            try:
                kept = _collect(store, one, sleep)
            except (Denied, Refused) as exc:
                refused.append(exc)
                continue
        yield GcDecision(one, kept)
    if refused:
        raise refused[0]


def _reason_to_keep(one: ListedUpload, older_than_s: float, *, foreign: bool) -> str | None:
    if one.is_live:
        return "live"
    if not one.is_own and not foreign:
        return "foreign"
    return "young" if one.age_s is None or one.age_s <= older_than_s else None


def _collect(store: ObjectStore, one: ListedUpload, sleep: Callable[[float], bool]) -> str | None:
    """Give the upload up, under its lock, with its checkpoint. Return why it stays where somebody began meanwhile."""
    try:
        with UploadLock(one.upload.target):
            abort_fully(store, one.upload, sleep)
            if one.checkpoint is not None:
                _remove_checkpoint(Path(one.checkpoint), one.upload)
    except Busy:
        return "live"
    return None


def _remove_checkpoint(path: Path, upload: Upload) -> None:
    """Remove the checkpoint where it is this upload's; another one, or one that cannot be read, stays."""
    try:
        found = checkpoints.load(path)
    except CheckpointDamaged:
        return
    if found is not None and found.upload.upload_id == upload.upload_id:
        checkpoints.remove(path)
