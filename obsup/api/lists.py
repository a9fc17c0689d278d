"""Ask the store: the parts of an upload, the open uploads of a bucket, and whether an object matches a file."""

from __future__ import annotations

import time
from typing import Unpack

from obsup import events
from obsup.api.call import opened, public
from obsup.api.keywords import File, StepKeywords, StoreKeywords, VerifyKeywords
from obsup.api.steps import select_upload
from obsup.api.values import option_value, path_value
from obsup.engine.inspect.open_uploads import ListedUpload, list_open_uploads
from obsup.engine.inspect.upload_cycle import RequestTimes
from obsup.engine.job.target_settings import resolve_prefix
from obsup.engine.steps.lookup import require_upload
from obsup.engine.verify.comparison import Identical
from obsup.engine.verify.file_check import check_object
from obsup.model import ListWindow, StoredPart


@public(StepKeywords)
def list_parts(
    target: str,
    *,
    upload_id: str | None = None,
    source: File | None = None,
    part_number_marker: int = 0,
    max_parts_listed: int | None = None,
    **more: Unpack[StepKeywords],
) -> list[StoredPart]:
    """Return the stored parts of the upload *upload_id* of *target*, or of that in the checkpoint of *source*.

    All parts with numbers above *part_number_marker*, from all pages, or the first *max_parts_listed* of them.
    Source: OBS SDK for Python, "Listing Uploaded Parts" (listParts).
    """
    path = path_value("source", source) if source is not None else None
    after = option_value("part_number_marker", part_number_marker)
    most = option_value("max_parts_listed", max_parts_listed) if max_parts_listed is not None else None
    with opened(list_parts, target, more, source=path) as context:
        selector = select_upload(context, path, upload_id)
        selected = require_upload(selector)
        with selected.needed(selector):
            return list(context.store.list_parts(selected.upload, after=after, most=most))


@public(StoreKeywords)
def list_uploads(
    prefix: str,
    *,
    delimiter: str = "",
    key_marker: str = "",
    upload_id_marker: str = "",
    max_uploads: int | None = None,
    **more: Unpack[StoreKeywords],
) -> list[ListedUpload]:
    """Return the open uploads of *prefix* (``BUCKET`` or ``BUCKET/PREFIX``), with what this machine knows of them.

    All uploads after the markers, from all pages, or the first *max_uploads* of them. Keys that are equal up to the
    first *delimiter* after the prefix are one entry, whose ``is_prefix`` is true.
    Source: OBS SDK for Python, "Listing Multipart Uploads" (listMultipartUploads).
    """
    texts = {"delimiter": delimiter, "key_marker": key_marker, "upload_id_marker": upload_id_marker}
    most = option_value("max_uploads", max_uploads) if max_uploads is not None else None
    window = ListWindow(**{name: option_value(name, text) for name, text in texts.items()}, most=most)
    times = RequestTimes(time.time)
    observer = option_value("observer", more.get("observer") or events.ignore)
    given = {**more, "observer": events.both(times, observer)}
    with opened(list_uploads, prefix, given, resolve=resolve_prefix) as context:
        target = context.request.target
        return list(list_open_uploads(context.store, target, now_s=times.now_s, window=window))


@public(VerifyKeywords)
def verify_file(source: File, target: str, **more: Unpack[VerifyKeywords]) -> Identical:
    """Check that the object *target* matches the file *source*, and return what matched.

    *parts* or *part_size* is how the object was sent, *receipt* the receipt of the upload; without them the likely part
    sizes are tried. Nothing is downloaded, except with *download* if the store returns nothing to compare with, which
    otherwise raises CannotCompare. Raises DataMismatch if they differ or the object does not exist.
    """
    path = path_value("source", source)
    with opened(verify_file, target, more, source=path) as context:
        is_plan_given = more.get("parts") is not None or more.get("part_size") is not None
        return check_object(context, is_plan_given=is_plan_given)
