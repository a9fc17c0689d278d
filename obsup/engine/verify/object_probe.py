"""Is the object already in the store, ours, and the right one? Every such decision is made here.

- After PutObject or Complete: ``ObjectProbe.confirm``.
- After a response that was lost or is ambiguous: ``ObjectProbe.find``.
- Before sending: ``earlier_object``.
- Without the source: ``made_object``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.proof.object_options import OptionComparison
from obsup.engine.proof.object_proof import (
    BY_CONTENT,
    Expected,
    Verified,
    contradicts,
    expected_etag,
    expected_object,
    has_known_etag,
    has_other_checksum,
    has_other_crc64,
    has_own_parts,
    is_composite,
    is_marked,
    lacks_mark,
    verify_object,
    verify_response,
)
from obsup.engine.proof.part_list import windows_of
from obsup.engine.verify.comparison import CannotCompare
from obsup.engine.verify.etag_trial import has_opaque_etags
from obsup.engine.verify.existing_object import find_listed, find_readable, not_visible, to_permit_head
from obsup.engine.verify.object_lock import locks_later
from obsup.engine.verify.option_check import compare_with_request
from obsup.errors import (
    UNAVAILABLE,
    DataMismatch,
    NextStep,
    NotPermitted,
    Unsupported,
    run_again,
)
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import hash_part
from obsup.model import ObjectInfo, Part, Receipt, SourceStat, Stored, Target, Upload
from obsup.store.interface import ObjectStore
from obsup.value import Value

_OWN_PARTS = (
    "the store at {} computes ETags over its own parts: objects are verified by the ETags of the parts that were "
    "sent"
)
_NOT_SEEN = (
    "objects at {} are verified only by the responses to the requests that made them: their ETags are not digests, and "
    "neither HeadObject nor ListObjects shows them"
)


_WRONG_CHECKSUM = (
    "objects at {} are verified by their ETags: the store returned a checksum that is not that of the object"
)


class FoundObject(Value):
    """An object that is verified. ``is_marked``: upload id or token shows that this very upload made it.

    Another machine with a copy of the checkpoint may have made it, with the same upload, of another file.
    """

    info: ObjectInfo
    verified: Verified
    is_marked: bool

    def finished(self, receipts: Sequence[Receipt] = ()) -> Finished:
        """Return it as the completed object of an upload with these *receipts*."""
        info = self.info
        stored = Stored(
            200,
            info.etag,
            info.request_id,
            version_id=info.version_id,
            crc64=info.crc64,
            checksum=info.checksum,
            date=info.last_modified,
        )
        return Finished(stored, self.verified, tuple(receipts), info=info)


class ObjectProbe:
    """Requests one object (HeadObject) and verifies that it is *expected*."""

    def __init__(
        self,
        store: ObjectStore,
        target: Target,
        expected: Expected,
        compute_etag: Callable[[], str | None] | None = None,
    ) -> None:
        """*compute_etag* returns the ETag of the source, which it reads once more; None if that cannot be done."""
        self._store = store
        self._target = target
        self._expected = expected
        self._compute_etag = compute_etag

    def find(self, *, by_mark: bool = True) -> FoundObject | None:
        """Return the object if it exists, is this upload's as far as it can show that, and is the right one.

        *by_mark*: that this very upload made it is enough if no digest can be compared. Raises NotPermitted or
        Unsupported without HeadObject, if ListObjects does not decide either.
        """
        try:
            info = self._store.head_object(self._target)
        except UNAVAILABLE as exc:
            return self._find_listed(exc)
        return self.check(info, by_mark=by_mark) if info is not None else None

    def _find_listed(self, unavailable: NotPermitted | Unsupported) -> FoundObject | None:
        """Return the object if ListObjects shows its ETag, None if it shows another one or none.

        Raises *unavailable*, with what helps, if the list is forbidden too or the ETag cannot be compared.
        """
        try:
            info = find_listed(self._store, self._target)
        except UNAVAILABLE:
            info = None
        else:
            if info is not None:
                self._add_etag(info.etag)
            # A list shows neither upload id nor token.
            expected = replace(self._expected, upload_id=None, token=None)
            is_other = info is None or expected.size not in (None, info.size)
            if is_other or (expected.etag is not None and not expected.needs_token):
                verified = verify_object(expected, info) if info is not None else None
                return FoundObject(info, verified, is_marked=False) if info and verified else None
        raise type(unavailable)(
            f"cannot check whether {self._target} was completed: {unavailable.what}",
            unavailable.why,
            run_again(f"{to_permit_head(unavailable)}, or send it again", add=("--restart",)),
            unavailable.refusal,
        ) from unavailable

    def check(self, info: ObjectInfo, *, by_mark: bool = True) -> FoundObject | None:
        """Return the object that HeadObject returned as *info* if it is the one that ``find`` looks for."""
        verified = self._verify(info, ours_only=True)
        # The ETag over those of the parts that were sent shows them, too.
        is_shown = verified in BY_CONTENT or info.etag.lower() == self._expected.composed_etag
        if verified is None or not (is_shown or by_mark):
            return None
        return FoundObject(info, verified, is_marked(self._expected, info))

    def _verify(self, info: ObjectInfo, *, ours_only: bool = False) -> Verified | None:
        """Return what verifies the object; its ETag only if no other digest does, because the source is read again."""
        verified = verify_object(self._expected, info, ours_only=ours_only)
        is_other = ours_only and lacks_mark(self._expected, info)
        if verified in BY_CONTENT or is_other or info.size not in (-1, self._expected.size):
            return verified
        if not self._add_etag(info.etag):
            return verified
        return verify_object(self._expected, info, ours_only=ours_only)

    def _add_etag(self, etag: str) -> bool:
        """Compute the ETag of the source if *etag*, that of the object, can be compared; return whether it was done."""
        if self._compute_etag is None or self._expected.etag is not None or not is_composite(etag):
            return False
        self._expected = replace(self._expected, etag=self._compute_etag())
        self._compute_etag = None
        return True

    def is_contradicted(self, info: ObjectInfo) -> bool:
        """Return whether the object *info*, which is made of the parts of this upload, is not the source."""
        self._add_etag(info.etag)
        return contradicts(self._expected, info.etag, info.crc64, ours=True)

    def find_marked(self, *, by_mark: bool = True) -> FoundObject | None:
        """Return the object only if upload id or token shows that this very upload made it; *by_mark* as for ``find``.

        None also if HeadObject is not permitted: such credentials can still complete an upload.
        """
        try:
            info = find_readable(self._store, self._target)
        except UNAVAILABLE:
            return None
        found = self.check(info, by_mark=by_mark) if info is not None else None
        return found if found is not None and found.is_marked else None

    def confirm(self, stored: Stored) -> Finished:
        """Return the object that the response *stored* reports, verified by the response or by HeadObject.

        Without HeadObject, ListObjects verifies it, or the responses to the requests that made it must suffice. Raises
        DataMismatch if the object is another one, NotFinished if it is not visible yet.
        """
        verified = verify_response(self._expected, stored)
        if verified is not None and not self._expected.needs_token:
            return Finished(stored, verified)
        try:
            info = self._store.head_object(self._target)
        except UNAVAILABLE:
            if self._expected.needs_token:
                raise
            return self._confirm_listed(stored)
        if info is None:
            raise not_visible(self._target)
        if self._expected.lacks_token(info):
            raise self._foreign_object()
        return self._confirm_seen(stored, info)

    def _confirm_listed(self, stored: Stored) -> Finished:
        """Return the object as ListObjects shows it; as the store confirmed it if that is not permitted either.

        Raises NotFinished if the list does not show it, and the response has no digest of it.
        """
        info, is_listed = None, True
        try:
            info = find_listed(self._store, self._target)
        except UNAVAILABLE:
            is_listed = False
        if info is not None:
            return self._confirm_seen(stored, info)
        self._add_etag(stored.etag)
        verified = verify_response(self._expected, stored)
        if verified is not None:
            return Finished(stored, verified)
        is_other = has_other_checksum(self._expected, stored.checksum)
        if is_other or contradicts(self._expected, stored.etag, stored.crc64, ours=True):
            raise self._other_object(f"the store returned ETag {stored.etag}")
        if is_listed:
            raise not_visible(self._target)
        return Finished(stored, "parts", note=_NOT_SEEN.format(self._target.endpoint))

    def _confirm_seen(self, stored: Stored, info: ObjectInfo) -> Finished:
        """Return the object of the response *stored*, which the store shows as *info*.

        Raises DataMismatch if it is another object, CannotCompare if the store returns neither its size nor a digest.
        """
        verified = self._verify(info)
        expected, note = self._expected, ""
        if has_own_parts(expected, stored, info):
            verified, note = "parts", _OWN_PARTS.format(self._target.endpoint)
        shown = (stored, info)
        is_contradicted = any(contradicts(expected, one.etag, None, ours=True) for one in shown)
        has_other = any(
            has_other_checksum(expected, one.checksum) or has_other_crc64(expected, one.crc64)
            for one in shown
        )
        if has_other and verified == "etag":
            note = _WRONG_CHECKSUM.format(self._target.endpoint)
        elif has_other and verified not in BY_CONTENT:
            is_contradicted = True
        is_comparable = expected.etag is not None and is_composite(info.etag)
        is_ours = has_known_etag(expected, stored, info) and not is_comparable and not is_contradicted
        if verified is None and is_ours and info.size < 0:
            raise self._incomparable()
        if verified is None and is_ours and info.size == expected.size:
            # The store confirmed that this very request made this object; its digests cannot be compared.
            verified = "size"
        if verified is None or is_contradicted:
            size = f"{info.size} bytes" if info.size >= 0 else "an object of unknown size"
            raise self._other_object(f"the store has {size} with ETag {info.etag}")
        # Ceph returns an empty ETag for Complete, and the real one for HeadObject.
        shown_checksum = stored.checksum if stored.checksum == expected.checksum else info.checksum
        stored = replace(stored, etag=stored.etag or info.etag, checksum=shown_checksum)
        return Finished(stored, verified, note=note, info=info)

    def _foreign_object(self) -> DataMismatch:
        return DataMismatch(
            f"the object {self._target} does not have the token of this upload, and may have other object options",
            f"The response to Initiate was lost, and upload {self._expected.upload_id}, which was taken for this one, "
            "is that of another client; the next run replaces the object",
            run_again(),
        )

    def _incomparable(self) -> CannotCompare:
        return CannotCompare(
            f"the object {self._target} cannot be compared with the source",
            "The store returns neither the size nor a digest of the object",
            NextStep("download the object with another tool, and compare it with the source"),
        )

    def _other_object(self, found: str) -> DataMismatch:
        etag = f" with ETag {self._expected.etag}" if self._expected.etag else ""
        return DataMismatch(
            f"the object {self._target} is not the source",
            f"Expected {self._expected.size} bytes{etag}, {found}",
            NextStep("check the object; another upload may have replaced it"),
        )


def probe_of(
    context: UploadContext,
    upload: Upload,
    receipts: Sequence[Receipt],
    stat: SourceStat | None = None,
    *,
    crc64: int | None = None,
) -> ObjectProbe:
    """Return the probe for the object that *upload* makes of *receipts*, which are all parts in order.

    *stat* is the identity of the file, which can be read again; None for a stream. *crc64* is that of the source, if it
    is known otherwise.
    """
    opaque = context.digests.opaque_etags

    def compute_etag() -> str | None:
        hashed = [_with_md5(context, part, one, stat) for part, one in windows_of(receipts)] if stat else []
        is_shown = all(one.etag.lower() in ("", one.md5) for one in hashed)
        # Parts may have been damaged at a store that does not check the checksums that it agreed to.
        return expected_etag(hashed, context.dialect) if is_shown or not has_opaque_etags(context) else None

    expected = expected_object(receipts, upload, dialect=context.dialect, opaque_etags=opaque)
    if crc64 is not None:
        expected = replace(expected, crc64=crc64)
    # Without an MD5 of each part, a digest that the store returns was expected to verify the object.
    is_md5_missing = context.digests.md5 and any(one.md5 is None for one in receipts)
    can_compute = stat is not None and is_md5_missing and not opaque
    return ObjectProbe(context.store, upload.target, expected, compute_etag if can_compute else None)


def _with_md5(context: UploadContext, part: Part, receipt: Receipt, stat: SourceStat) -> Receipt:
    """Return *receipt* with the MD5 of the *part*, which is read again unless it has it."""
    if receipt.md5 is not None:
        return receipt
    digest = hash_part(context.source, part, context.planned(stat), PartDigest(md5=True), context.read_gate)
    return replace(receipt, md5=digest.md5)


def find_ours(context: UploadContext, probe: ObjectProbe, *, by_mark: bool) -> FoundObject | None:
    """Return what *probe* finds if it is marked or shows the requested options: an older object may have others.

    *by_mark*: Complete may have been executed here, so that the mark is enough if no digest can be compared.
    """
    found = probe.find(by_mark=by_mark)
    if found is None or found.is_marked:
        return found
    options = compare_with_request(context, found.info, without_lock=locks_later(context))
    return found if options == OptionComparison() else None
