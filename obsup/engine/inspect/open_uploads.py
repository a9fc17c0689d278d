"""The open uploads of a bucket as the store lists them, joined with what this machine knows of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec.structs import replace

from obsup.errors import UploadGone
from obsup.local.state import started_uploads
from obsup.local.state.lock import is_held
from obsup.model import OpenUpload, Target, Upload
from obsup.store.interface import ObjectStore
from obsup.value import Value


class ListedUpload(Value):
    """One open upload.

    ``is_own``: begun on this machine. ``is_live``: an obsup on this machine works on its target now.
    ``checkpoint`` is its path, ``age_s`` seconds by the store's date, ``parts`` and ``size`` (bytes) what is stored of
    it; each None where it is not known.
    """

    upload: Upload
    initiated: str
    is_own: bool
    is_live: bool
    checkpoint: str | None
    age_s: float | None
    parts: int | None = None
    size: int | None = None


def list_open_uploads(store: ObjectStore, place: Target, *, now_s: float) -> Iterator[ListedUpload]:
    """Yield the open uploads in the bucket of *place* whose keys begin with its key, as the store orders them."""
    for listed in store.list_uploads(place.bucket, place.key):
        upload = Upload(replace(place, key=listed.key), listed.upload_id)
        known = started_uploads.find(upload)
        yield ListedUpload(
            upload=known.upload if known is not None else upload,
            initiated=listed.initiated,
            is_own=known is not None,
            is_live=is_held(upload.target),
            checkpoint=known.checkpoint if known is not None else None,
            age_s=_age_s(listed, now_s),
        )


def count_parts(store: ObjectStore, one: ListedUpload) -> ListedUpload:
    """Return *one* with the number and the bytes of its parts, which costs a list for each upload."""
    try:
        sizes = [part.size for part in store.list_parts(one.upload)]
    except UploadGone:
        sizes = []
    return replace(one, parts=len(sizes), size=sum(sizes))


def _age_s(listed: OpenUpload, now_s: float) -> float | None:
    """Return how long ago the upload was initiated, in seconds; None where the store's date cannot be read."""
    try:
        moment = datetime.fromisoformat(listed.initiated)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return now_s - moment.timestamp()
