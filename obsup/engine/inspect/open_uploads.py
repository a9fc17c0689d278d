"""List the open uploads of a bucket, with what this machine knows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from obsup.errors import UploadGone
from obsup.local.state import started_uploads
from obsup.local.state.lock import is_held
from obsup.model import ListWindow, Target, Upload
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

    *now_s*, called after the store has responded, returns its time: the clock of this computer may be wrong.
    """
    for found in store.list_uploads(prefix.bucket, prefix.key, window):
        upload = Upload(replace(prefix, key=found.key), found.upload_id)
        started = started_uploads.find(upload) if not found.is_prefix else None
        yield ListedUpload(
            upload=started.upload if started is not None else upload,
            initiated=found.initiated,
            is_own=started is not None,
            is_live=not found.is_prefix and is_held(upload.target),
            checkpoint=started.checkpoint if started is not None else None,
            age_s=None if found.initiated_s is None else now_s() - found.initiated_s,
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
