"""Is the object already in the store, ours, and the right one? Every such decision is made here.

- After PutObject or Complete: ``ObjectProbe.confirm``.
- After a response that was lost or is ambiguous: ``ObjectProbe.find``.
- Before sending: ``find_completed`` (an upload that the store no longer knows), ``find_made`` (one that it still
  lists), ``find_identical`` (any object with the content of the source).
- Without the source: ``made_object``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.plan.file_plan import Plan, recorded_plan
from obsup.engine.proof.object_options import OptionComparison
from obsup.engine.proof.object_proof import (
    Expected,
    Verified,
    contradicts,
    expected_object,
    has_known_etag,
    has_own_parts,
    is_composite,
    is_marked,
    verify_object,
    verify_response,
)
from obsup.engine.proof.part_list import check_receipts
from obsup.engine.verify.comparison import BATCHES, CannotCompare, Comparison, Identical
from obsup.engine.verify.existing_object import find_listed, find_readable, not_visible
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
from obsup.local.source.identity import changes
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import ObjectInfo, Receipt, SourceStat, Stored, Target, Upload
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


class FoundObject(Value):
    """An object that is verified. ``is_marked``: upload id or token shows that this very upload made it."""

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
            date=info.last_modified,
        )
        return Finished(stored, self.verified, tuple(receipts), info=info)


class ObjectProbe:
    """Requests one object (HeadObject) and verifies that it is *expected*."""

    def __init__(self, store: ObjectStore, target: Target, expected: Expected) -> None:
        self._store = store
        self._target = target
        self._expected = expected

    def find(self) -> FoundObject | None:
        """Return the object if it exists, is this upload's as far as it can show that, and is the right one.

        Raises NotPermitted or Unsupported without HeadObject, if ListObjects does not decide either.
        """
        try:
            info = self._store.head_object(self._target)
        except UNAVAILABLE as exc:
            return self._find_listed(exc)
        return self.check(info) if info is not None else None

    def _find_listed(self, unavailable: NotPermitted | Unsupported) -> FoundObject | None:
        """Return the object if ListObjects shows its ETag, None if it shows another one or none.

        Raises *unavailable*, with what helps, if the list is forbidden too or the ETag cannot be compared.
        """
        # A list shows neither upload id nor token.
        expected = replace(self._expected, upload_id=None, token=None)
        try:
            info = find_listed(self._store, self._target)
        except UNAVAILABLE:
            info = None
        else:
            is_other = info is None or expected.size not in (None, info.size)
            if is_other or (expected.etag is not None and not expected.needs_token):
                verified = verify_object(expected, info) if info is not None else None
                return FoundObject(info, verified, is_marked=False) if info and verified else None
        raise type(unavailable)(
            f"cannot check whether {self._target} was completed: {unavailable.what}",
            unavailable.why,
            run_again("request the permission for HeadObject, or send it again", add=("--restart",)),
            unavailable.refusal,
        ) from unavailable

    def check(self, info: ObjectInfo) -> FoundObject | None:
        """Return the object that HeadObject returned as *info* if it is the one that ``find`` looks for."""
        verified = verify_object(self._expected, info, ours_only=True)
        return FoundObject(info, verified, is_marked(self._expected, info)) if verified is not None else None

    def find_marked(self) -> FoundObject | None:
        """Return the object only if upload id or token shows that this very upload made it.

        None also if HeadObject is not permitted: such credentials can still complete an upload.
        """
        try:
            info = find_readable(self._store, self._target)
        except UNAVAILABLE:
            return None
        found = self.check(info) if info is not None else None
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
        """Return the object as ListObjects shows it; as the store confirmed it if that is not permitted either."""
        try:
            info = find_listed(self._store, self._target)
        except UNAVAILABLE:
            info = None
        if info is not None:
            return self._confirm_seen(stored, info)
        if contradicts(self._expected, stored.etag, stored.crc64, ours=True):
            raise self._other_object(f"the store returned ETag {stored.etag}")
        return Finished(stored, "parts", note=_NOT_SEEN.format(self._target.endpoint))

    def _confirm_seen(self, stored: Stored, info: ObjectInfo) -> Finished:
        """Return the object of the response *stored*, which the store shows as *info*. Raises DataMismatch."""
        expected, note = self._expected, ""
        verified = verify_object(expected, info)
        if has_own_parts(expected, stored, info):
            verified, note = "parts", _OWN_PARTS.format(self._target.endpoint)
        shown = ((stored.etag, stored.crc64), (info.etag, info.crc64))
        is_contradicted = any(contradicts(expected, etag, crc64, ours=True) for etag, crc64 in shown)
        is_same = info.size == expected.size and has_known_etag(expected, stored, info)
        is_comparable = expected.etag is not None and is_composite(info.etag)
        if verified is None and is_same and not is_comparable and not is_contradicted:
            # The store confirmed that this very request made this object; its digests cannot be compared.
            verified = "size"
        if verified is None or is_contradicted:
            raise self._other_object(f"the store has {info.size} bytes with ETag {info.etag}")
        # Ceph returns an empty ETag for Complete, and the real one for HeadObject.
        return Finished(replace(stored, etag=stored.etag or info.etag), verified, note=note, info=info)

    def _foreign_object(self) -> DataMismatch:
        return DataMismatch(
            f"the object {self._target} does not have the token of this upload, and may have other object options",
            f"The response to Initiate was lost, and upload {self._expected.upload_id}, which was taken for this one, "
            "is that of another client",
            run_again("replace the object by the source with the options of this command"),
        )

    def _other_object(self, found: str) -> DataMismatch:
        etag = f" with ETag {self._expected.etag}" if self._expected.etag else ""
        return DataMismatch(
            f"the object {self._target} is not the source",
            f"Expected {self._expected.size} bytes{etag}, {found}",
            NextStep("check the object; another upload may have replaced it"),
        )


def probe_of(context: UploadContext, upload: Upload, receipts: Sequence[Receipt]) -> ObjectProbe:
    """Return the probe for the object that *upload* makes of *receipts*, which are all parts in order."""
    expected = expected_object(
        receipts, upload, dialect=context.dialect, opaque_etags=context.digests.opaque_etags
    )
    return ObjectProbe(context.store, upload.target, expected)


def find_ours(context: UploadContext, probe: ObjectProbe) -> FoundObject | None:
    """Return what *probe* finds if it is marked or shows the requested options: an older object may have others."""
    found = probe.find()
    if found is None or found.is_marked:
        return found
    return found if compare_with_request(context, found.info) == OptionComparison() else None


def find_made(
    context: UploadContext,
    checkpoint: Checkpoint,
    stat: SourceStat,
    receipts: Mapping[int, Receipt],
    plan: Plan,
) -> Finished | None:
    """Return the object if the previous run completed this upload, although the store still lists it.

    Only a run that had stored all parts can have completed it. Completing it again could destroy the object's parts.
    """
    if not len(checkpoint.receipts) == len(receipts) == plan.count:
        return None
    ordered = check_receipts(receipts, plan)
    found = probe_of(context, checkpoint.upload, ordered).find_marked()
    return _if_current(context, checkpoint, stat, found, ordered)


def find_completed(context: UploadContext, checkpoint: Checkpoint, stat: SourceStat) -> Finished | None:
    """Return the object if this upload, which the store no longer knows, made it and it is the source as it is now.

    The source is hashed if receipts are missing, or if its identity has changed since they were recorded. Then only a
    digest of the object counts: another machine with a copy of the checkpoint may have completed it from another file.
    """
    plan, receipts = recorded_plan(checkpoint), checkpoint.receipts
    if stat.size != checkpoint.stat.size:
        return None
    is_unproven = any(one.is_unproven for one in receipts.values())
    is_hashed = is_unproven or not _is_same_source(context, checkpoint, stat) or len(receipts) != plan.count
    if is_hashed:
        info = context.store.head_object(context.request.target)
        if info is None or info.size != stat.size:
            return None
        receipts = {part.number: _hash(context, stat, plan, part.number) for part in plan.parts()}
    ordered = check_receipts(receipts, plan)
    found = find_ours(context, probe_of(context, checkpoint.upload, ordered))
    if is_hashed and found is not None and not _is_shown_by_digest(found):
        return None
    return _if_current(context, checkpoint, stat, found, ordered)


def find_identical(context: UploadContext, stat: SourceStat, plan: Plan) -> Identical | None:
    """Return the object if it has the content of the source and the requested options already, whoever made it.

    None if that cannot be shown. A note names options that HeadObject does not return; with --strict-options they
    must be shown, too.

    *plan* is how the source would be sent. Only a few plans are tried, because sending can be faster than hashing.
    """
    info = find_readable(context.store, context.request.target)
    if info is None or info.size != stat.size:
        return None
    comparison = Comparison(
        context.request.target,
        context.source,
        context.planned(stat),
        dialect=context.dialect,
        gate=context.read_gate,
        encrypted_by_customer=context.request.encrypted_by_customer,
    )
    options = compare_with_request(context, info)
    if options.differ or (options.unknown and context.request.strict_options):
        return None
    try:
        identical = comparison.by_object(info, hint=plan, max_plans=BATCHES[0] + BATCHES[1])
    except (DataMismatch, CannotCompare):
        return None
    if options.unknown:
        verb = "were" if len(options.unknown) > 1 else "was"
        context.connection.learned.note(
            f"{' and '.join(options.unknown)} {verb} not compared with existing objects: HeadObject does not return "
            f"{'them' if len(options.unknown) > 1 else 'it'}",
            context.observe,
        )
    return identical


def _if_current(
    context: UploadContext,
    checkpoint: Checkpoint,
    stat: SourceStat,
    found: FoundObject | None,
    receipts: Sequence[Receipt],
) -> Finished | None:
    """Return *found* if it is the source as it is now.

    If the source may have changed since *checkpoint*, only a digest shows that; a mark only shows who made the object.
    """
    if found is None:
        return None
    is_current = _is_shown_by_digest(found) or _is_same_source(context, checkpoint, stat)
    return found.finished(receipts) if is_current else None


def _is_shown_by_digest(found: FoundObject) -> bool:
    return found.verified in ("etag", "crc64")


def _is_same_source(context: UploadContext, checkpoint: Checkpoint, stat: SourceStat) -> bool:
    """Return whether the recorded digests still apply to the source."""
    return not changes(checkpoint.stat, stat) and context.source_digests is None


def _hash(context: UploadContext, stat: SourceStat, plan: Plan, number: int) -> Receipt:
    """Return a receipt with the digests of a part as it is now, and without an ETag."""
    part, digest = plan.part(number), PartDigest(md5=True, crc64=context.digests.crc64)
    hash_part(context.source, part, context.planned(stat), digest, context.read_gate)
    return Receipt(number, part.size, "", digest.md5, digest.crc64)
