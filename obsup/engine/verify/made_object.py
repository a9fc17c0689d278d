"""Did an upload make the object in the store? Decided without the source."""

from __future__ import annotations

from obsup.dates import parse_date
from obsup.engine.proof.object_proof import Expected, is_marked, lacks_mark, mark_of
from obsup.engine.verify.existing_object import find_listed
from obsup.engine.verify.object_probe import FoundObject, ObjectProbe
from obsup.errors import Denied, Refused, UploadGone
from obsup.local.state import started_uploads
from obsup.model import ObjectInfo, Target, Upload
from obsup.store.interface import ObjectStore


def find_object_of(
    store: ObjectStore, upload: Upload, *, size: int | None, etag: str | None
) -> FoundObject | None:
    """Return the object if *upload* made it: shown by its upload id or token, or by the ETag that it must have.

    *size* is bytes and *etag* lower-case; each is None if unknown.
    """
    expected = Expected(size, etag, None, upload.upload_id, upload.token)
    return ObjectProbe(store, upload.target, expected).find()


def has_made_object(
    store: ObjectStore, upload: Upload, *, initiated_s: float | None = None, size: int | None = None
) -> bool | None:
    """Return whether *upload* made the object in place; None if that can be neither shown nor ruled out.

    It did not if the object is missing or older than the upload, has the mark of another upload, or another size than
    the listed parts. ETags are not compared: in a bucket that encrypts they differ. *initiated_s* (epoch seconds, by
    the clock of the store) is looked up if it is None. *size* is that of the source in bytes, None if it is unknown.
    """
    try:
        info, is_listed = _find_info(store, upload.target)
    except (Denied, Refused):
        return _lacks_parts(store, upload, size)
    if info is None:
        return False
    mark = mark_of(upload)
    if _is_recorded(upload, info) or (not is_listed and is_marked(mark, info)):
        return True
    if not is_listed and lacks_mark(mark, info):
        return False
    modified_s, initiated_s = parse_date(info.last_modified), initiated_s or _initiation_of(store, upload)
    # Some dates have no fraction of a second.
    if modified_s is not None and initiated_s is not None and modified_s < int(initiated_s):
        return False
    return _lacks_parts(store, upload, info.size)


def _lacks_parts(store: ObjectStore, upload: Upload, size: int | None) -> bool | None:
    """Return False if the listed parts cannot be those of a completed object of *size* bytes; None if they can."""
    try:
        parts = list(store.list_parts(upload))
    except UploadGone:
        return False
    except (Denied, Refused):
        return None
    return None if parts and size in (None, sum(one.size for one in parts)) else False


def _is_recorded(upload: Upload, info: ObjectInfo) -> bool:
    """Return whether this machine recorded that *upload* made the object *info*."""
    done = started_uploads.find_finished(upload.target)
    if done is None or done.upload.upload_id != upload.upload_id:
        return False
    return done.size == info.size and done.etag == info.etag.lower()


def _initiation_of(store: ObjectStore, upload: Upload) -> float | None:
    """Return when *upload* was initiated, by the clock of the store; None if it does not show that."""
    try:
        listed = store.list_uploads(upload.target.bucket, upload.target.key)
        return next((one.initiated_s for one in listed if one.upload_id == upload.upload_id), None)
    except (Denied, Refused):
        return None


def _find_info(store: ObjectStore, target: Target) -> tuple[ObjectInfo | None, bool]:
    """Return what HeadObject shows of the object, or else a list, which shows no marks; and whether it is from a list.

    HeadObject of an SSE-C object needs the key.
    """
    try:
        return store.head_object(target), False
    except (Denied, Refused):
        return find_listed(store, target), True
