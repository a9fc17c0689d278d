"""Retention and legal hold of an object: read them, and set them after the upload.

Sources: Amazon S3, "PutObjectRetention", "PutObjectLegalHold"; OBS, "Configuring WORM Retention for an Object".
"""

from __future__ import annotations

from dataclasses import replace

from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.objects import find_object
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import lock_date, lock_mode, no_object_lock
from obsup.sandbox.storage.disk import StoredObject
from obsup.sandbox.wire.response import Response, document, iso_date
from obsup.sandbox.wire.xml import local_name, malformed_xml, parse_xml

_MAX_DOCUMENT = 4096


def retention(call: Call) -> Response:
    """Return the retention of an object. Raises Refused (404 NoSuchObjectLockConfiguration) without one."""
    attributes = _find(call).attributes
    if not attributes.lock_mode:
        raise _not_locked()
    children = [("Mode", attributes.lock_mode), ("RetainUntilDate", iso_date(attributes.lock_until))]
    return document("Retention", children, call.vendor)


def set_retention(call: Call) -> Response:
    """Set the retention of an object, or extend it.

    Raises Refused: 400 for an invalid mode or date, 403 AccessDenied (OBS: 400) if it would become weaker.
    """
    fields = _fields(call, "Retention")
    mode = lock_mode(fields.get("Mode", ""), call.vendor)
    until = lock_date(fields.get("RetainUntilDate", ""), call.vendor, now=call.now, is_header=False)
    with call.disk.lock:
        stored = _find(call)
        kept = stored.attributes
        is_weaker = until < kept.lock_until or (kept.lock_mode == "COMPLIANCE" and mode != "COMPLIANCE")
        may_bypass = kept.lock_mode == "GOVERNANCE" and (
            call.request.header("x-amz-bypass-governance-retention").lower() == "true"
        )
        if kept.lock_mode and kept.lock_until > call.now and is_weaker and not may_bypass:
            if call.vendor.name == "obs":
                raise Refused(400, "InvalidRequest", "The retention can be extended, not shortened.")
            raise Refused(403, "AccessDenied", "Access Denied because object protected by object lock.")
        _store(call, stored, lock_mode=mode, lock_until=until)
    return Response()


def legal_hold(call: Call) -> Response:
    """Return the legal hold of an object. Raises Refused (404 NoSuchObjectLockConfiguration) without one."""
    if not _find(call).attributes.legal_hold:
        raise _not_locked()
    return document("LegalHold", [("Status", "ON")], call.vendor)


def set_legal_hold(call: Call) -> Response:
    """Set or remove the legal hold of an object."""
    status = _fields(call, "LegalHold").get("Status")
    if status not in ("ON", "OFF") or call.vendor.name != "s3":
        raise malformed_xml()
    with call.disk.lock:
        _store(call, _find(call), legal_hold=status == "ON")
    return Response()


def _find(call: Call) -> StoredObject:
    if "object-lock" not in call.faults:
        raise no_object_lock()
    return find_object(call, call.bucket, call.key)


def _fields(call: Call, root: str) -> dict[str, str]:
    if call.is_oss:
        raise Refused(501, "NotImplemented", "OSS has no retention of single objects.")
    element = parse_xml(call.read_document(_MAX_DOCUMENT), root)
    return {local_name(child): (child.text or "").strip() for child in element}


def _store(call: Call, stored: StoredObject, **lock: str | float | bool) -> None:
    call.disk.update(replace(stored, attributes=replace(stored.attributes, **lock)))  # type: ignore[arg-type]


def _not_locked() -> Refused:
    message = "The specified object does not have a ObjectLock configuration"
    return Refused(404, "NoSuchObjectLockConfiguration", message)
