"""Conditional requests: If-Match and its relatives, for reading, writing, deleting and copying.

Sources: RFC 9110, section 13; Amazon S3, "Conditional requests".
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from obsup.sandbox.operations.call import Call
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.disk import StoredObject
from obsup.sandbox.vendors import AWS4


def is_unchanged(call: Call, stored: StoredObject) -> bool:
    """Return whether a GET or HEAD is answered by 304. Raises Refused (412 PreconditionFailed)."""
    return _check_read(call, stored, prefix="")


def check_copy_source(call: Call, source: StoredObject) -> None:
    """Check the x-…-copy-source-if-… headers. Raises Refused (412 PreconditionFailed)."""
    prefix = call.vendor.header("copy-source-")
    if _check_read(call, source, prefix=prefix):
        raise failed(prefix + "if-none-match")


def check_write(call: Call) -> None:
    """Check the conditions for replacing an object; the caller holds the disk's lock.

    Raises Refused: 403 AccessDenied (a locked object), 412 and 404 (S3), 409 FileAlreadyExists (OSS). S3 supports
    conditions only with Signature V4; V2 ignores the headers, and OBS has no such headers.
    """
    stored = call.disk.find(call.bucket, call.key)
    check_lock(call, stored)
    if "ignore-condition" in call.faults:
        return
    if call.is_oss and call.request.header("x-oss-forbid-overwrite") == "true" and stored is not None:
        raise Refused(
            409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."
        )
    if call.dialect != AWS4 or call.vendor.name != "s3":
        return
    if_match, if_none_match = call.request.header("if-match"), call.request.header("if-none-match")
    if if_none_match and stored is not None and matches(if_none_match, stored.etag):
        raise failed("If-None-Match")
    if if_match and stored is None:
        raise Refused(404, "NoSuchKey", "The specified key does not exist.", details={"Key": call.key})
    if if_match and stored is not None and not matches(if_match, stored.etag):
        raise failed("If-Match")


def check_lock(call: Call, stored: StoredObject | None) -> None:
    """Raise Refused (403 AccessDenied) for an object that is locked: the sandbox keeps no second version."""
    if stored is not None and stored.attributes.is_locked(call.now):
        raise Refused(403, "AccessDenied", "Access Denied because object protected by object lock.")


def check_delete(stored: StoredObject | None, *, etag: str, size: str, modified: str) -> None:
    """Check the conditions for deleting an object, if it exists. Raises Refused (412)."""
    if stored is None:
        return
    if etag and not matches(etag, stored.etag):
        raise failed("If-Match")
    if size and size != str(stored.size):
        raise failed("x-amz-if-match-size")
    if modified and _date(modified) != int(stored.modified):
        raise failed("x-amz-if-match-last-modified-time")


def matches(condition: str, etag: str) -> bool:
    """Return whether a list of ETags, or ``*``, contains *etag*."""
    named = {one.strip().removeprefix("W/").strip('"').lower() for one in unquote(condition).split(",")}
    return "*" in named or etag.lower() in named


def failed(condition: str) -> Refused:
    """Return the error for a condition that does not hold."""
    message = "At least one of the pre-conditions you specified did not hold"
    return Refused(412, "PreconditionFailed", message, details={"Condition": condition})


def _check_read(call: Call, stored: StoredObject, *, prefix: str) -> bool:
    """Return whether the client has this object already. Invalid dates are ignored."""
    request = call.request
    modified = int(stored.modified)
    if if_match := request.header(prefix + "if-match"):
        if not matches(if_match, stored.etag):
            raise failed(prefix + "if-match")
    elif (since := _date(request.header(prefix + "if-unmodified-since"))) is not None and modified > since:
        raise failed(prefix + "if-unmodified-since")
    if if_none_match := request.header(prefix + "if-none-match"):
        return matches(if_none_match, stored.etag)
    since = _date(request.header(prefix + "if-modified-since"))
    return since is not None and modified <= since


def _date(text: str) -> int | None:
    """Return epoch seconds of an HTTP date, or an ISO 8601 date as in XML; None for anything else."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError):
            moment = parse(text)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return None
