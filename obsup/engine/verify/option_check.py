"""After an upload: does the object have the options that were asked for, as far as HeadObject shows them?"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.proof.object_options import OptionComparison, compare_options, lock_headers
from obsup.engine.verify.existing_object import (
    Made,
    another_object,
    find_made_object,
    find_readable,
    is_another,
    is_seen,
)
from obsup.engine.verify.object_lock import confirm_lock
from obsup.errors import UNAVAILABLE, NextStep, Refused, run_again
from obsup.model import ObjectInfo, ObjectOptions, Stored

_NO_OPTIONS = ObjectOptions()


def with_info(context: UploadContext, finished: Finished) -> Finished:
    """Return *finished* with what HeadObject shows, if --strict-options or a requested lock requires that.

    Raises NotFinished if the object is not visible, Refused if it is not locked as requested.
    """
    request, headers = context.request, context.requested_headers
    if lock_headers(context.dialect, headers):
        return replace(finished, info=confirm_lock(context, headers, finished.info, finished.stored))
    is_needed = request.strict_options and request.options != _NO_OPTIONS
    if not is_needed or is_seen(finished.info, finished.stored):
        return finished
    return replace(finished, info=look_up(context, finished.stored))


def look_up(context: UploadContext, made: Made) -> ObjectInfo:
    """Return what HeadObject shows of the object that was just *made*. Raises as ``find_made_object``."""
    step = run_again("leave out --strict-options, or request the permission", drop=("--strict-options",))
    target, unknown = context.request.target, "its options cannot be checked"
    return find_made_object(context.store, target, made, unknown, step)


def compare_with_request(
    context: UploadContext, info: ObjectInfo, *, is_new: bool = False, without_lock: bool = False
) -> OptionComparison:
    """Compare an object that others may have made with the options and the customer key of the request.

    *without_lock*: it is or will be confirmed otherwise that the object is locked.
    """
    requested = context.requested_headers
    if without_lock:
        lock = lock_headers(context.dialect, requested)
        requested = {name: value for name, value in requested.items() if name not in lock}
    key_md5 = context.connection.customer_key_md5
    return compare_options(context.dialect, requested, info, is_new=is_new, customer_key_md5=key_md5)


def check_customer_key(context: UploadContext, made: Made) -> None:
    """Raise Refused if HeadObject does not confirm the customer key of the request: Complete does not send it.

    Raises NotFinished if it does not show the object *made*. Without the permission for HeadObject, that is noted.
    """
    target, key_md5 = context.request.target, context.connection.customer_key_md5
    if not key_md5:
        return
    try:
        info = find_readable(context.store, target)
    except UNAVAILABLE as exc:
        note = f"whether {target} is encrypted with the customer key was not checked: {exc.what}"
        context.note_once(note)
        return
    if info is not None and is_another(info, made):
        raise another_object(target, made, info)
    if info is None or info.headers.get(f"{context.dialect.headers.sse_c}key-md5") != key_md5:
        raise Refused(
            f"the object {target} is complete, but HeadObject does not confirm the customer key (SSE-C)",
            "The upload was initiated, or its parts were sent, without this key",
            NextStep("delete the object if its content is confidential, and upload it again with the key"),
        )


def check_encryption(context: UploadContext, finished: Finished) -> None:
    """Raise Refused if HeadObject does not confirm the encryption of an object whose parts confirmed it.

    Another machine, or an earlier run, may have sent some of them. Raises NotFinished if it shows another object.
    Without the permission for HeadObject, nothing is checked.
    """
    requested, names = context.encryption_of_parts, context.dialect.headers
    if requested is None:
        return
    info = finished.info
    try:
        info = (
            info
            if info is not None and info.headers
            else find_readable(context.store, context.request.target)
        )
    except UNAVAILABLE:
        return
    if info is not None and is_another(info, finished.stored):
        raise another_object(context.request.target, finished.stored, info)
    headers = info.headers if info is not None else {}
    sse, key_id = (headers.get((name or "").lower()) for name in (names.sse, names.sse_kms_key_id))
    if not requested.is_confirmed_by(Stored(200, "", sse_kms=sse, sse_kms_key=key_id)):
        raise Refused(
            f"the object {context.request.target} is complete, but HeadObject does not confirm {requested}",
            "The store, or one of its gateways, ignores the encryption",
            NextStep("delete the object if its content is confidential"),
        )


def check_options(context: UploadContext, finished: Finished) -> None:
    """Check the options of the request as ``check_headers`` does; nothing without a response of HeadObject."""
    if finished.info is not None and finished.info.headers and context.request.options != _NO_OPTIONS:
        check_headers(context, context.requested_headers, finished.info)


def check_headers(context: UploadContext, headers: Mapping[str, str], info: ObjectInfo) -> None:
    """Note once per run each option in *headers* that the object *info*, which was just made, does not have.

    With --strict-options that raises Refused, and a note names what HeadObject does not show.
    """
    request = context.request
    options = compare_options(context.dialect, headers, info, is_new=True)
    if options.differ and request.strict_options:
        raise Refused(
            f"the object {request.target} is complete and verified, but HeadObject does not show "
            f"{' and '.join(options.differ)} as requested",
            "The store dropped what it does not show, or hides it from these credentials; the object stays as it is",
            run_again("to accept such objects, leave out --strict-options", drop=("--strict-options",)),
        )
    for option in options.differ:
        context.note_once(f"the store does not confirm {option}: HeadObject does not show it as requested")
    if request.strict_options:
        for option in options.unknown:
            context.note_once(f"{option} was not compared: HeadObject does not return it")
