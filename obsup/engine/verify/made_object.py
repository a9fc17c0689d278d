"""Did an upload make the object in the store? Decided without the source."""

from __future__ import annotations

from obsup.engine.proof.object_proof import Expected
from obsup.engine.verify.object_probe import FoundObject, ObjectProbe
from obsup.errors import Denied, Refused
from obsup.local.state import started_uploads
from obsup.model import Upload
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
