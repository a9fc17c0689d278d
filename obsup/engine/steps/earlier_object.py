"""An object that stands already: whether it is the one that an upload, which the store knows no more, has made."""

from __future__ import annotations

from collections.abc import Sequence

from obsup.engine.job.result import Result
from obsup.engine.proof.object_proof import Expected, composite_etag, looks_like_md5, verify_object
from obsup.engine.steps.lookup import UploadSelector
from obsup.local.state import started_uploads
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import ObjectInfo, Stored, Upload
from obsup.store.interface import ObjectStore


def finished_from_here(selector: UploadSelector) -> StartedUpload | None:
    """Return what is known here of a completed upload that *selector* can mean: by its id, or by its source."""
    done = started_uploads.find_finished(selector.target)
    if done is None:
        return None
    if selector.upload_id is not None:
        return done if selector.upload_id == done.upload.upload_id else None
    is_of_source = selector.source is not None and str(selector.source.absolute()) == done.source
    return done if is_of_source else None


def find_object_of(
    store: ObjectStore, upload: Upload, *, size: int | None, etag: str | None
) -> Result | None:
    """Return the object where it shows that *upload* made it: by upload id or token, or by what it must contain.

    *size* is bytes and *etag* lower-case, each None where it is not known. Proof fails closed.
    """
    info = store.head_object(upload.target)
    if info is None:
        return None
    expected = Expected(info.size if size is None else size, etag, None, upload.upload_id, upload.token)
    verified = verify_object(expected, info, ours_only=True)
    if verified is None:
        return None
    count = _count_of(info.etag)
    return Result.of(
        _stored_of(info),
        target=upload.target,
        upload_id=upload.upload_id,
        verified=verified,
        size=info.size,
        part_size=-(-info.size // count),
        parts=count,
    )


def etag_of_parts(etags: Sequence[str]) -> str | None:
    """Return the ETag that a store makes of these parts' ETags; None where they have another form, or are none."""
    if not etags or not all(looks_like_md5(one) for one in etags):
        return None
    return composite_etag([one.lower() for one in etags])


def _stored_of(info: ObjectInfo) -> Stored:
    return Stored(
        status=200, etag=info.etag, request_id=info.request_id, version_id=info.version_id, crc64=info.crc64
    )


def _count_of(etag: str) -> int:
    """Return the number of parts that an object's ETag tells, 1 where it tells none."""
    told = etag.rpartition("-")[2]
    return int(told) if "-" in etag and told.isascii() and told.isdigit() and int(told) else 1
