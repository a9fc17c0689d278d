"""What the store shows at the key of an object, and the errors for what it should or should not show."""

from __future__ import annotations

from typing import Protocol

from obsup.dates import parse_date
from obsup.dialects.endpoints import is_vendor_host
from obsup.errors import (
    UNAVAILABLE,
    NextStep,
    NotFinished,
    ObjectExists,
    ObsupError,
    Refusal,
    Refused,
    run_again,
)
from obsup.model import ObjectInfo, Target, Upload
from obsup.store.interface import ObjectStore

# How long before its response a store may date the object, in seconds.
_CREATION_S = 10.0


def find_existing(store: ObjectStore, target: Target) -> ObjectInfo | None:
    """Return the object that --no-overwrite must not replace, or None.

    Raises NotPermitted or Unsupported without HeadObject, unless the host is the vendor's own: that one is known to
    check the condition in the request itself.
    """
    try:
        return store.head_object(target)
    except UNAVAILABLE as exc:
        if is_vendor_host(target.endpoint):
            return None
        raise type(exc)(
            f"cannot check whether {target} exists, as --no-overwrite requires",
            exc.why,
            run_again(f"{to_permit_head(exc)}, or allow overwriting", drop=("--no-overwrite",)),
            exc.refusal,
        ) from exc


def has_customer_key(refused: ObsupError) -> bool:
    """Return whether the request that the store *refused* had a customer key: another one may be the reason."""
    names = refused.refusal.sent_headers if refused.refusal is not None else ()
    return any("-customer-key" in name for name in names)


def to_permit_head(refused: ObsupError) -> str:
    """Return what to do about the HeadObject that the store *refused*."""
    permission = "request the permission for HeadObject"
    return f"check --sse-c-key-file, or {permission}" if has_customer_key(refused) else permission


def find_readable(store: ObjectStore, target: Target) -> ObjectInfo | None:
    """Return the object; None also if it is not encrypted as the request asks for.

    The stores reject HEAD with an SSE-C key of an object without one, and the reverse, with 400. Such an object is
    neither that of the request's upload nor identical with what it asks for. Raises as ``head_object``.
    """
    try:
        return store.head_object(target)
    except Refused as exc:
        if exc.refusal is None or exc.refusal.status != 400:
            raise
        return None


def find_listed(store: ObjectStore, target: Target) -> ObjectInfo | None:
    """Return what ListObjects shows of the object, for credentials without HeadObject: its size, ETag and date.

    None if it is not listed. A list may be older than the object (Swift). Raises as ``ObjectStore.list_objects``.
    """
    marker: str | None = ""
    while marker is not None:
        page = store.list_objects(target.bucket, target.key, marker)
        listed = next((one for one in page.objects if one.key == target.key), None)
        if listed is not None:
            return ObjectInfo(listed.size, listed.etag, {}, last_modified=listed.last_modified)
        keys = [one.key for one in page.objects]
        # In the order of bytes, the key comes before all that begin with it. Storj and SeaweedFS have another order.
        marker = None if keys and keys == sorted(keys) else page.marker
    return None


def object_exists(
    target: Target, upload: Upload | None = None, refusal: Refusal | None = None
) -> ObjectExists:
    """Return the error for an object that exists; *upload* stays open, and *refusal* is the store's response."""
    what = f"the object {target} exists already"
    if upload is None:
        step = run_again("choose another key, or replace the object", drop=("--no-overwrite",))
        return ObjectExists(what, "--no-overwrite does not allow replacing it", step, refusal)
    why = f"--no-overwrite does not allow replacing it; upload {upload.upload_id} keeps its parts"
    return ObjectExists(what, why, NextStep("discard the upload", command=upload.abort_command), refusal)


class Made(Protocol):
    """What the response to the request that made an object says of it."""

    @property
    def etag(self) -> str: ...

    @property
    def version_id(self) -> str | None: ...

    @property
    def date(self) -> str: ...


def is_another(info: ObjectInfo, made: Made) -> bool:
    """Return whether *info* shows another object than the one *made*: still an earlier one, or already a later one.

    An ETag over parts and one over the whole object cannot be compared, and rclone returns both of one object: then an
    object that was last modified long before the response is another one.
    """
    if info.version_id and made.version_id and info.version_id != made.version_id:
        return True
    if not info.etag or not made.etag:
        return False
    if ("-" in info.etag) == ("-" in made.etag):
        return info.etag.lower() != made.etag.lower()
    age_s = _age_s(info, made)
    return age_s is not None and age_s > _CREATION_S


def _age_s(info: ObjectInfo, made: Made) -> float | None:
    """Return how many seconds before the response *made* the object *info* was last modified, None if unknown."""
    modified_s, made_s = parse_date(info.last_modified), parse_date(made.date)
    return made_s - modified_s if modified_s is not None and made_s is not None else None


def is_seen(info: ObjectInfo | None, made: Made) -> bool:
    """Return whether *info* is a response of HeadObject, not of a list, that shows the object *made*."""
    return info is not None and bool(info.headers) and not is_another(info, made)


def find_made_object(
    store: ObjectStore, target: Target, made: Made, unknown: str, step: NextStep
) -> ObjectInfo:
    """Return what HeadObject shows of the object that was just *made*.

    Raises NotFinished if it is not visible, Refused if another one has replaced it; without HeadObject NotPermitted or
    Unsupported: *unknown*, and *step*.
    """
    try:
        info = store.head_object(target)
    except UNAVAILABLE as exc:
        what = f"{target} is stored and verified, but {unknown}: {exc.what}"
        raise type(exc)(what, exc.why, step, exc.refusal) from exc
    if info is None:
        raise not_visible(target)
    if is_another(info, made):
        raise another_object(target, made, info)
    return info


def another_object(target: Target, made: Made, shown: ObjectInfo) -> NotFinished | Refused:
    """Return the error for *shown*, an earlier or a later object than the one *made*."""
    age_s = _age_s(shown, made)
    if age_s is None or age_s > _CREATION_S:
        return not_visible(target, shown)
    name, wrong, right = "ETag", shown.etag, made.etag
    if wrong == right:
        name, wrong, right = "version id", str(shown.version_id), str(made.version_id)
    return Refused(
        f"{target} was stored, but HeadObject shows another object, with {name} {wrong} instead of {right}",
        f"Another program has replaced it, or the store returns two {name}s for one object",
        NextStep(
            "find out which program writes to this key; if none does, leave out what HeadObject must confirm, such as "
            "--strict-options"
        ),
    )


def not_visible(target: Target, shown: ObjectInfo | None = None) -> NotFinished:
    """Return the error for an object that the store reported as made, and in whose place it returns *shown*."""
    other = "no object"
    if shown is not None:
        other = (
            f"an object with ETag {shown.etag}, last modified {shown.last_modified or 'at an unknown time'}"
        )
    return NotFinished(
        f"{target} was stored, but is not visible yet",
        f"The store reported success, but returns {other}",
        run_again(),
    )
