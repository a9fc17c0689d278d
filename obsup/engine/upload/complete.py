"""The end of an upload, exactly once: guard, Complete, proof. When in doubt it asks the store, and keeps everything."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.plan.file_plan import Plan
from obsup.engine.proof.object_proof import (
    Expected,
    contradicts,
    expected_etag,
    is_marked,
    verify_object,
    verify_response,
)
from obsup.engine.proof.part_proof import DigestChoice
from obsup.errors import DataMismatch, Denied, NetworkError, NotFinished, ObsupError, StoreError, UploadGone
from obsup.local.source.digest import combine_crc64
from obsup.model import ObjectInfo, Receipt, Stored, Upload
from obsup.store.answers.failure_rule import Action
from obsup.store.answers.failure_table import classify
from obsup.store.interface import ObjectStore
from obsup.store.retrying import Attempts


class PartsRejected(Exception):
    """Complete found the store's parts unfit: they are to be listed again, and what does not fit sent again.

    ``are_too_small``: the bucket wants larger ones.
    """

    def __init__(self, failure: StoreError | NetworkError, *, are_too_small: bool = False) -> None:
        super().__init__(failure)
        self.failure = failure
        self.are_too_small = are_too_small


def check_complete(receipts: Mapping[int, Receipt], plan: Plan) -> list[Receipt]:
    """Return the receipts in order where they are the whole source, contiguous from part 1. Raises DataMismatch."""
    missing = [number for number in range(1, plan.count + 1) if number not in receipts]
    if missing:
        raise DataMismatch(
            f"part{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing[:20]))} missing",
            "an object without them would not be the source",
            "run the same command again; it sends what is missing",
        )
    ordered = [receipts[number] for number in range(1, plan.count + 1)]
    wrong = [one.number for one in ordered if one.size != plan.part(one.number).size]
    if wrong or sum(one.size for one in ordered) != plan.size:
        raise DataMismatch(
            f"parts {', '.join(map(str, wrong[:20]))} have the wrong size",
            "together the parts must be as large as the source",
            "run with --restart to begin again",
        )
    return ordered


def expected_object(
    receipts: list[Receipt], plan: Plan, upload: Upload, *, dialect: Dialect, digests: DigestChoice
) -> Expected:
    """Return what the finished object must show.

    Where a store encrypts, were it only because the bucket says so, the ETags of parts are no MD5s, and the
    object's says nothing about our bytes.
    """
    is_opaque = digests.opaque_etags or any(
        one.md5 is not None and one.md5 != one.etag.lower() for one in receipts
    )
    crc64 = receipts[0].crc64
    for receipt in receipts[1:]:
        if crc64 is None or receipt.crc64 is None:
            crc64 = None
            break
        crc64 = combine_crc64(crc64, receipt.crc64, receipt.size)
    return Expected(
        size=plan.size,
        etag=None if is_opaque else expected_etag(receipts, dialect),
        crc64=crc64,
        upload_id=upload.upload_id,
        token=upload.token,
    )


class Completer:
    """Completes one upload and proves the object."""

    def __init__(
        self,
        store: ObjectStore,
        upload: Upload,
        expected: Expected,
        attempts: Attempts,
        *,
        observe: events.Observer = events.ignore,
    ) -> None:
        self._observe = observe
        self._store = store
        self._upload = upload
        self._expected = expected
        self._attempts = attempts

    def complete(
        self, parts: list[tuple[int, str]], headers: Mapping[str, str], *, looks_first: bool = False
    ) -> Finished:
        """Assemble the parts, and return once the object is proved.

        *looks_first*: an earlier run may have done so, though the store knows the upload still.
        A failure whose meaning is open (no answer, 5xx, <Error> in a 200, an upload that is gone) is settled by
        looking at the object. Raises PartsRejected where parts are to be sent again, UploadGone where the upload is
        no more and the object is not ours, DataMismatch where the object is not the source.
        """
        doing = f"completing {self._upload.target}"
        made = self.look_if_made() if looks_first else None
        if made is not None:
            self.tell_of_remains()
            return made

        def once() -> Finished:
            try:
                answer = self._store.complete(self._upload, parts, headers)
            except (StoreError, NetworkError) as exc:
                return self._settle(exc)
            return self._prove(answer)

        return self._attempts.run(once, doing=doing)

    def _settle(self, failure: StoreError | NetworkError) -> Finished:
        """Return the proved object where the failure hid a success; raise what is to follow where it did not."""
        rule = classify(failure)
        if rule.action in (Action.RELOAD_CREDENTIALS, Action.SET_CLOCK):
            raise failure
        try:
            info = self._store.head_object(self._upload.target)
        except Denied:
            # Who may not look can still complete; only where the upload is gone, a look alone would tell.
            if rule.error is UploadGone:
                raise
            raise failure from None
        found = self._recognise(info)
        if info is not None and found is not None and is_marked(self._expected, info):
            self.tell_of_remains()
            return found
        if found is not None and self._gone() is not None:
            return found
        if rule.action in (Action.REPAIR, Action.ENLARGE):
            raise PartsRejected(failure, are_too_small=rule.action is Action.ENLARGE) from failure
        if rule.action is Action.RETRY and isinstance(failure, StoreError):
            # Ceph answers 500 to Complete of an upload that it does not know, however often it is asked.
            found = self._look_if_gone()
            if found is not None:
                return found
        raise failure

    def _look_if_gone(self) -> Finished | None:
        """Return the object where the upload is no more and made it after all; None where the upload is there.

        Raises UploadGone where there is neither.
        """
        try:
            gone = self._gone()
        except Denied:
            return None
        if gone is None:
            return None
        found = self.look()
        if found is None:
            raise gone
        return found

    def _gone(self) -> UploadGone | None:
        """Return the store's word that the upload is no more: an object with the same content may be an older one."""
        try:
            list(self._store.list_parts(self._upload))
        except UploadGone as exc:
            return exc
        return None

    def tell_of_remains(self) -> None:
        """Say where the store lists the upload still: Ceph does, where its gateway died between object and list.

        It is not completed again, nor aborted: its parts are the object's, and a store in doubt might take them away.
        """
        try:
            gone = self._gone()
        except ObsupError:
            return
        if gone is None:
            self._observe(
                events.Noted(
                    f"the object is in place, but the store still lists upload {self._upload.upload_id}, which made "
                    "it; do not abort it: its parts may be the object's own"
                )
            )

    def look(self) -> Finished | None:
        """Return the object where it is there and proved to be this upload's, or None."""
        return self._recognise(self._store.head_object(self._upload.target))

    def look_if_made(self) -> Finished | None:
        """Return the object where an earlier run completed this upload, which the store knows still; or None.

        Only upload id or token tell that. To complete it again might take the object's parts away.
        """
        try:
            info = self._store.head_object(self._upload.target)
        except Denied:  # who may not look can still complete
            return None
        if info is None or not is_marked(self._expected, info):
            return None
        return self._recognise(info)

    def _recognise(self, info: ObjectInfo | None) -> Finished | None:
        verified = verify_object(self._expected, info, ours_only=True) if info is not None else None
        if info is None or verified is None:
            return None
        stored = Stored(
            status=200,
            etag=info.etag,
            request_id=info.request_id,
            version_id=info.version_id,
            crc64=info.crc64,
        )
        return Finished(stored, verified)

    def _prove(self, answer: Stored) -> Finished:
        """Return the object that *answer* announces, proved by the answer or by a look. Raises DataMismatch."""
        verified = verify_response(self._expected, answer)
        if verified is not None:
            return Finished(answer, verified)
        info = self._store.head_object(self._upload.target)
        if info is None:
            raise NotFinished(
                f"{self._upload.target} was completed, but is not to be seen yet",
                "the store answered success and shows no object",
                "run the same command again; it looks again",
            )
        verified = verify_object(self._expected, info)
        shown = ((answer.etag, answer.crc64), (info.etag, info.crc64))
        denied = any(contradicts(self._expected, etag, crc64, ours=True) for etag, crc64 in shown)
        if (
            verified is None
            and not denied
            and info.size == self._expected.size
            and self._is_answered(answer, info.etag)
        ):
            # The store said that this very request made this object; its digests mean nothing to us.
            verified = "size"
        if verified is None or denied:
            raise DataMismatch(
                f"the object {self._upload.target} is not the source",
                f"expected {self._expected.size} bytes with ETag {self._expected.etag}, "
                f"the store has {info.size} bytes with ETag {info.etag}",
                "look at the object; another upload may have replaced it",
            )
        # Ceph announces the object with an empty ETag, and shows it with its own.
        return Finished(replace(answer, etag=answer.etag or info.etag), verified)

    def _is_answered(self, answer: Stored, etag: str) -> bool:
        """Return whether the object seen can be the one that Complete answered for: not contradicted by its digest."""
        return not answer.etag or answer.etag.lower() == etag.lower()


def completer_of(
    context: UploadContext, upload: Upload, receipts: Mapping[int, Receipt], plan: Plan
) -> Completer:
    """Return what ends *upload*, whose *receipts* are the whole *plan*. Raises DataMismatch where they are not."""
    expected = expected_object(
        check_complete(receipts, plan), plan, upload, dialect=context.dialect, digests=context.digests
    )
    return Completer(context.store, upload, expected, context.connection.attempts(), observe=context.observe)


def complete(
    context: UploadContext,
    upload: Upload,
    receipts: Mapping[int, Receipt],
    plan: Plan,
    *,
    looks_first: bool = False,
) -> Finished:
    """Assemble *upload* from *receipts*, and return once the object is proved. Raises as ``Completer.complete``."""
    ordered = check_complete(receipts, plan)
    parts = [(one.number, one.etag) for one in ordered]
    completer = completer_of(context, upload, receipts, plan)
    finished = completer.complete(parts, context.headers("complete"), looks_first=looks_first)
    return replace(finished, receipts=tuple(ordered))
