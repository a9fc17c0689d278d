"""Giving uploads up: the only way in which parts are ever destroyed. Used by ``abort``, ``gc`` and --restart alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from obsup.engine.recall import Mention, demand, recall
from obsup.engine.survey import Surveyed
from obsup.engine.task import Task
from obsup.errors import Busy, Denied, NotFinished, ObsupError, Refused, UploadGone
from obsup.frozen import frozen
from obsup.local import checkpoint as checkpoints
from obsup.local import registry
from obsup.local.checkpoint import CheckpointDamaged
from obsup.local.lock import UploadLock
from obsup.model import Upload
from obsup.store.store import ObjectStore

# A part under way when its upload is aborted may land afterwards: how often, and how long apart, to look again.
LOOKS = 8
PAUSE_S = 0.5


def abort_fully(store: ObjectStore, upload: Upload, sleep: Callable[[float], bool]) -> None:
    """Abort *upload* until the store lists no part of it, and forget it here. Gone already is success.

    *sleep* waits, and returns True where the work is to stop. Raises NotFinished where parts go on landing.
    Source: Amazon S3, AbortMultipartUpload: parts in progress may succeed, so that it has to be repeated.
    """
    for look in range(LOOKS):
        store.abort(upload)
        try:
            left = list(store.list_parts(upload))
        except UploadGone:
            left = []
        if not left:
            registry.forget(upload)
            return
        if sleep(PAUSE_S * 2**look):
            break
    raise NotFinished(
        f"the upload {upload.upload_id} of {upload.target} is aborted, but {len(left)} parts are still listed",
        "parts that were under way have landed since",
        "stop whoever still sends them, then run the same command again",
    )


def give_up(task: Task, mention: Mention) -> Upload | None:
    """Give up the upload that is meant, and forget it; return it, or None where nothing here tells of one any more.

    Raises WrongUsage where neither a source nor an upload id says which is meant, Busy, NotFinished.
    """
    stop, is_patient = task.stop, task.order.if_running == "wait"
    with UploadLock(mention.target, wait=is_patient, stopped=lambda: stop.reason is not None):
        recalled = recall(mention) if mention.path is not None else demand(mention)
        if recalled is None:
            return None
        abort_fully(task.store, recalled.upload, stop.sleep)
        recalled.forget()
        return recalled.upload


@frozen
class Collected:
    """One upload that ``gc`` looked at: ``kept`` says why it stays (young, foreign, live), None that it goes."""

    one: Surveyed
    kept: str | None


def collect(
    store: ObjectStore,
    found: Iterable[Surveyed],
    *,
    older_than_s: float,
    foreign: bool,
    dry_run: bool,
    sleep: Callable[[float], bool],
) -> Iterator[Collected]:
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
        yield Collected(one, kept)
    if refused:
        raise refused[0]


def _reason_to_keep(one: Surveyed, older_than_s: float, *, foreign: bool) -> str | None:
    if one.is_live:
        return "live"
    if not one.is_own and not foreign:
        return "foreign"
    return "young" if one.age_s is None or one.age_s <= older_than_s else None


def _collect(store: ObjectStore, one: Surveyed, sleep: Callable[[float], bool]) -> str | None:
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
