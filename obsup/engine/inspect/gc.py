"""Abort stale uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from obsup.dates import parse_date
from obsup.engine.inspect.open_uploads import ListedUpload
from obsup.engine.upload.abort import abort_fully
from obsup.engine.verify.made_object import has_made_object
from obsup.errors import Busy, Denied, ObsupError, Refused
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import CheckpointDamaged
from obsup.local.state.lock import UploadLock
from obsup.model import Upload
from obsup.store.interface import ObjectStore
from obsup.value import Value

UNKNOWN_AGE = "age-unknown"


class GcDecision(Value):
    """The decision on one open upload: ``kept`` is why it is kept, None if it is aborted.

    That is ``young``, ``age-unknown``, ``foreign``, ``live``, or ``completed``: it made, or may have made, the object
    that is in place.
    """

    listed: ListedUpload
    kept: str | None


def abort_stale(
    store: ObjectStore,
    uploads: Iterable[ListedUpload],
    *,
    older_than_s: float,
    foreign: bool,
    dry_run: bool,
    sleep: Callable[[float], bool],
) -> Iterator[GcDecision]:
    """Abort uploads older than *older_than_s* seconds that this machine started; with *foreign*, those of others too.

    A live upload, and one of unknown age, is kept. *dry_run* aborts nothing. If the store rejects an abort, the
    remaining uploads are processed before its error is raised; any other error is raised at once.
    """
    rejections: list[ObsupError] = []
    for listed in uploads:
        kept = _reason_to_keep(store, listed, older_than_s, foreign=foreign)
        if kept is None and not dry_run:
            try:
                kept = _abort(store, listed, sleep)
            except (Denied, Refused) as exc:
                rejections.append(exc)
                continue
        yield GcDecision(listed, kept)
    if rejections:
        raise rejections[0]


def _reason_to_keep(
    store: ObjectStore, listed: ListedUpload, older_than_s: float, *, foreign: bool
) -> str | None:
    if listed.is_live:
        return "live"
    if not listed.is_own and not foreign:
        return "foreign"
    if listed.age_s is None:
        return UNKNOWN_AGE
    if listed.age_s <= older_than_s:
        return "young"
    # Ceph may still list an upload that made the object in place, and an abort could delete the parts of the object.
    made = has_made_object(store, listed.upload, initiated_s=parse_date(listed.initiated))
    return None if made is False else "completed"


def _abort(store: ObjectStore, listed: ListedUpload, sleep: Callable[[float], bool]) -> str | None:
    """Abort the upload under its lock and remove its checkpoint. Return why it is kept if another obsup resumed it."""
    checkpoint = Path(listed.checkpoint) if listed.checkpoint is not None else None
    try:
        with UploadLock(listed.upload.target, checkpoint=checkpoint):
            abort_fully(store, listed.upload, sleep)
            if checkpoint is not None:
                _remove_checkpoint(checkpoint, listed.upload)
    except Busy:
        return "live"
    return None


def _remove_checkpoint(path: Path, upload: Upload) -> None:
    """Remove the checkpoint if it is that of *upload*. A checkpoint of another upload, or a damaged one, is kept."""
    try:
        found = checkpoints.load(path)
    except CheckpointDamaged:
        return
    if found is not None and found.upload.upload_id == upload.upload_id:
        checkpoints.remove(path)
