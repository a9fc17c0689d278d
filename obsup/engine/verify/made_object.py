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


def has_made_object(store: ObjectStore, upload: Upload) -> bool:
    """Return whether the object in place was made by *upload*, as far as the store or this machine's records show that.

    An object with the same content, and without a mark, may be an older one.
    """
    done = started_uploads.find_finished(upload.target)
    is_done = done is not None and done.upload.upload_id == upload.upload_id
    size, etag = (done.size, done.etag) if done is not None and is_done else (None, None)
    try:
        found = find_object_of(store, upload, size=size, etag=etag.lower() if etag else None)
    except (Denied, Refused):
        return False
    return found is not None and (found.is_marked or is_done)


def may_have_made_object(store: ObjectStore, upload: Upload, initiated_s: float | None) -> bool:
    """Return whether *upload*, initiated at *initiated_s* (epoch seconds), may have made the object in place.

    False only if the store shows that it did not: the object is missing or older, or has the mark of another upload, or
    another size than the listed parts. ETags are not compared: in a bucket that encrypts they differ.
    """
    try:
        info, is_listed = _find_info(store, upload.target)
        if info is None:
            return False
        mark = mark_of(upload)
        if not is_listed and (is_marked(mark, info) or lacks_mark(mark, info)):
            return is_marked(mark, info)
        modified_s = parse_date(info.last_modified)
        if modified_s is not None and initiated_s is not None and modified_s < initiated_s:
            return False
        parts = list(store.list_parts(upload))
    except UploadGone:
        return False
    except (Denied, Refused):
        return True
    return bool(parts) and sum(one.size for one in parts) == info.size


def _find_info(store: ObjectStore, target: Target) -> tuple[ObjectInfo | None, bool]:
    """Return what HeadObject shows of the object, or else a list, which shows no marks; and whether it is from a list.

    HeadObject of an SSE-C object needs the key.
    """
    try:
        return store.head_object(target), False
    except (Denied, Refused):
        return find_listed(store, target), True
