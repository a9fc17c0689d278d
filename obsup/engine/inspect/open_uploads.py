"""List the open uploads of a bucket, with what this machine knows of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from obsup.dates import iso_date
from obsup.errors import UploadGone
from obsup.local.state import started_uploads
from obsup.local.state.lock import is_held
from obsup.model import ListWindow, OpenUpload, Target, Upload
from obsup.store.interface import WHOLE_LIST, ObjectStore
from obsup.value import Value


class ListedUpload(Value):
    """One open upload.

    ``is_own`` if this machine started it, ``is_live`` if an obsup on this machine is uploading to its target now.
    ``checkpoint`` is its path, ``age_s`` seconds by the store's date; ``parts`` and ``size`` (bytes) are what the store
    has of it. Each is None if it is unknown. ``is_prefix``: see OpenUpload.
    """

    upload: Upload
    initiated: str
    is_own: bool
    is_live: bool
    checkpoint: str | None
    age_s: float | None
    parts: int | None = None
    size: int | None = None
    is_prefix: bool = False


def list_open_uploads(
    store: ObjectStore, prefix: Target, *, now_s: Callable[[], float], window: ListWindow = WHOLE_LIST
) -> Iterator[ListedUpload]:
    """Yield the open uploads in *window* whose keys start with that of *prefix*, in the store's order.

    Some stores list only uploads whose key is the whole prefix (MinIO): those that this machine started follow the
    whole list, if the store lists them by their keys. *now_s*, called after the store has responded, returns its time:
    the clock of this computer may be wrong.
    """
    listed: set[Upload] = set()
    for found in store.list_uploads(prefix.bucket, prefix.key, window):
        one = _describe(found, prefix, now_s)
        listed.add(Upload(one.upload.target, found.upload_id))
        yield one
    if window == WHOLE_LIST:
        for key in sorted({one.target.key for one in _started_below(prefix) if one not in listed}):
            for found in store.list_uploads(prefix.bucket, key):
                one = _describe(found, prefix, now_s)
                if (
                    one.is_own
                    and found.key == key
                    and Upload(one.upload.target, found.upload_id) not in listed
                ):
                    yield one


def _started_below(prefix: Target) -> Iterator[Upload]:
    """Yield the uploads that this machine started, and has not finished, whose keys start with that of *prefix*."""
    for started in started_uploads.find_open():
        target = started.upload.target
        if target == replace(prefix, key=target.key) and target.key.startswith(prefix.key):
            yield Upload(target, started.upload.upload_id)


def _describe(found: OpenUpload, prefix: Target, now_s: Callable[[], float]) -> ListedUpload:
    """Return what is known of *found*. If the store returns no date (SeaweedFS), that of this machine counts.

    Its record is dated by the clock of the store, as far as that was known: no upload may count as older than it is.
    """
    upload = Upload(replace(prefix, key=found.key), found.upload_id)
    started = started_uploads.find(upload) if not found.is_prefix else None
    initiated, age_s = found.initiated, None
    if found.initiated_s is not None:
        age_s = now_s() - found.initiated_s
    elif started is not None:
        initiated = iso_date(started.created)
        age_s = max(0.0, min(time.time(), now_s()) - started.created)
    checkpoint = started.checkpoint if started is not None else None
    return ListedUpload(
        upload=started.upload if started is not None else upload,
        initiated=initiated,
        is_own=started is not None,
        is_live=not found.is_prefix and is_held(upload.target, Path(checkpoint) if checkpoint else None),
        checkpoint=checkpoint,
        age_s=age_s,
        is_prefix=found.is_prefix,
    )


def count_parts(store: ObjectStore, listed: ListedUpload) -> ListedUpload:
    """Return *listed* with the number and size of its parts. Costs one list request per upload."""
    if listed.is_prefix:
        return listed
    try:
        sizes = [part.size for part in store.list_parts(listed.upload)]
    except UploadGone:
        sizes = []
    return replace(listed, parts=len(sizes), size=sum(sizes))
