"""Check a list of parts against all that the user requires: of an unfinished upload, or of a finished object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import recorded_plan
from obsup.engine.proof.object_proof import combined_crc64
from obsup.engine.proof.part_list import (
    ExpectedParts,
    check_parts,
    have_equal_sizes,
    parts_are,
    windows_of,
)
from obsup.engine.proof.part_proof import DigestChoice, has_content
from obsup.engine.steps.lookup import FoundUpload
from obsup.engine.verify.comparison import CannotCompare
from obsup.engine.verify.etag_trial import has_opaque_etags
from obsup.errors import DataMismatch, NextStep, run_again
from obsup.local.processes.executors import open_threads
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import check_sent
from obsup.local.source.identity import check_unchanged, ignores_times
from obsup.local.source.part_md5s import PartGroup, hash_grouped, in_groups
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Part, Receipt, SourceStat, StoredPart
from obsup.text import quoted
from obsup.value import Value

MAX_HASHING_THREADS = 8


class CompletionChecks(Value):
    """What the user requires of the parts before they are assembled.

    ``count`` parts with a total of ``size`` bytes, with these ``etags`` by part number and no others.
    ``verify_source``: fail if the store returns nothing about a part that can be compared with the source.
    """

    count: int | None = None
    size: int | None = None
    etags: Mapping[int, str] | None = None
    verify_source: bool = False


class PartsCheck:
    """Checks lists of parts, and their content if there is a *source*, whose identity is *stat*.

    ``crc64`` is that of the source after the comparison, at a store that may return it of the object: the list of parts
    may have nothing that can be compared. Then ``doubt`` is why, unless the user gave the ETags of the parts, until the
    object itself shows its content.

    Raises DataMismatch if a check fails.
    """

    def __init__(
        self, context: UploadContext, source: Path | None, stat: SourceStat | None, checks: CompletionChecks
    ) -> None:
        self._context = context
        self._checks = checks
        self.source = source
        self.stat = stat
        self.crc64: int | None = None
        self.doubt = ""
        if self.stat is not None and checks.size not in (None, self.stat.size):
            raise DataMismatch(
                f"{quoted(source or '')} has {self.stat.size} bytes",
                f"--expect-size is {checks.size}",
                NextStep("correct --expect-size, or the source"),
            )

    @property
    def size(self) -> int | None:
        """The size that the object must have in bytes, or None if it is not known."""
        return self.stat.size if self.stat is not None else self._checks.size

    def doubt_unless_listed(self, why: str) -> None:
        """Record *why* the content of the source was not compared; only note it if the user gave the list of ETags."""
        if self._checks.etags is None:
            self.doubt = why
        else:
            self._context.note(why)

    def require_content(self) -> None:
        """Raise CannotCompare if nothing shows that the object, which is complete, is the source."""
        if not self.doubt:
            return
        raise CannotCompare(
            f"{self._context.request.target} is complete, but cannot be compared with {quoted(self.source or '')}",
            self.doubt,
            run_again(
                "compare them with obsup verify --download, or give the list of ETags that obsup part printed",
                add=("--etags-from", "FILE"),
            ),
        )

    def receipts(
        self,
        listed: Iterable[StoredPart],
        checkpoint: Checkpoint | None,
        *,
        own: Mapping[int, Receipt] | None = None,
        recorded_size: int | None = None,
    ) -> list[Receipt]:
        """Return receipts for the *listed* parts in order. Without a source, the store's list is used as it is.

        *own* are this machine's receipts, by default those of the *checkpoint*. *recorded_size* is that of the file for
        which the upload was initiated, if it is known otherwise.
        """
        recorded = {**(own or {}), **(checkpoint.receipts if checkpoint is not None else {})}
        etags = {one.number: one.etag for one in recorded.values()}
        if checkpoint is not None and self.stat is not None and checkpoint.stat.size != self.stat.size:
            self._check_identity(checkpoint)
        expected = ExpectedParts(
            plan=recorded_plan(checkpoint) if checkpoint is not None else None,
            count=self._checks.count,
            size=self.size if self.size is not None else recorded_size,
            etags=etags if self._checks.etags is None else self._checks.etags,
            is_list=self._checks.etags is not None,
            is_compared=self.source is not None,
        )
        parts = check_parts(listed, expected)
        if self.source is not None and self.stat is not None:
            return self._compare(self.source, self.stat, parts, recorded, checkpoint)
        _require_proven(parts, recorded)
        self._report_unchecked(parts, expected)
        return [one.receipt for one in parts]

    def _compare(
        self,
        source: Path,
        stat: SourceStat,
        parts: Sequence[StoredPart],
        recorded: Mapping[int, Receipt],
        checkpoint: Checkpoint | None,
    ) -> list[Receipt]:
        """Return receipts of *parts* after comparing each with its bytes of *source*."""
        context = self._context
        receipts: list[Receipt] = []
        hashed: list[Receipt] = []
        compared: list[tuple[StoredPart, PartDigest]] = []
        with open_threads(min(MAX_HASHING_THREADS, os.cpu_count() or 1), "hash") as threads:
            windows = list(windows_of(parts))
            grouped = in_groups(source, stat, (part for part, _ in windows), context.read_gate)
            digests = threads.map(
                lambda one: self._hash(source, stat, one, recorded),
                ((part, stored, group) for (part, stored), (_, group) in zip(windows, grouped, strict=True)),
            )
            for stored, digest in zip(parts, digests, strict=True):
                own = recorded.get(stored.number)
                receipt = digest.receipt(stored.number, stored.size, stored.etag)
                hashed.append(receipt)
                receipts.append(receipt if _has_crc64(stored, own) else replace(receipt, crc64=None))
                compared.append((stored, digest))
        self.crc64 = combined_crc64(hashed)
        check_unchanged(source, stat)
        outcomes = _outcomes(compared, recorded, context.digests)
        if outcomes[False] and has_opaque_etags(context):
            outcomes = _outcomes(compared, recorded, replace(context.digests, opaque_etags=True))
        if ignores_times(stat) and not outcomes[False]:
            check_sent(source, stat, [(part, receipts[i]) for i, (part, _) in enumerate(windows_of(parts))])
        if outcomes[False]:
            raise _differing(source, outcomes[False], has_match=bool(outcomes[True]))
        if outcomes[None]:
            if checkpoint is not None:
                self._check_identity(checkpoint)
            self._report_incomparable(source, parts, outcomes[None])
        return receipts

    def _hash(
        self,
        source: Path,
        stat: SourceStat,
        one: tuple[Part, StoredPart, PartGroup | None],
        recorded: Mapping[int, Receipt],
    ) -> PartDigest:
        part, stored, group = one
        receipt = recorded.get(part.number)
        has_crc64 = self._context.dialect.headers.crc64 is not None or _has_crc64(stored, receipt)
        checksum = stored.checksum or (receipt.checksum if receipt is not None else None)
        algorithm = checksum.algorithm if checksum is not None else None
        is_shown = stored.crc64 is not None or algorithm in ("crc64nvme", "sha256")
        digest = PartDigest(md5=not is_shown, crc64=has_crc64, checksum=algorithm)
        return hash_grouped(group, source, part, stat, digest, self._context.read_gate)

    def _check_identity(self, checkpoint: Checkpoint) -> None:
        if self.source is not None and self.stat is not None:
            FoundUpload(checkpoint.upload, checkpoint).check_same_source(self.source, self.stat)

    def _report_incomparable(self, source: Path, parts: Sequence[StoredPart], numbers: Sequence[int]) -> None:
        what = f"{parts_are(numbers, 'cannot', 'cannot')} be compared with {quoted(str(source))}"
        why = "The store's ETags are not digests of the content"
        if self._checks.verify_source:
            raise DataMismatch(
                what,
                why,
                run_again(
                    "check only the list of ETags that obsup part printed",
                    add=("--etags-from", "FILE"),
                    drop=("--verify-source",),
                ),
            )
        if self._checks.etags is None and not have_equal_sizes(parts):
            raise DataMismatch(
                f"{what}, and their sizes differ",
                f"{why}, so nothing shows that the parts are in order",
                run_again(
                    "write the right list of parts to a file, as obsup parts prints it, and name that file",
                    add=("--etags-from", "FILE"),
                ),
            )
        shown = f"{what}: {why[:1].lower()}{why[1:]}; their number and sizes are right"
        self.doubt_unless_listed(shown)

    def _report_unchecked(self, parts: Sequence[StoredPart], expected: ExpectedParts) -> None:
        """Report what nothing shows about a list of parts without a source."""
        if expected.is_list or expected.plan is not None:
            return
        if not have_equal_sizes(parts):
            self._context.note("the parts differ in size: only their total size was checked, not their order")
        elif expected.count is None and expected.size is None:
            self._context.note(
                "it was not checked that the last part is stored: give SOURCE, --parts or --expect-size"
            )


def _outcomes(
    compared: Iterable[tuple[StoredPart, PartDigest]], recorded: Mapping[int, Receipt], digests: DigestChoice
) -> Mapping[bool | None, Sequence[int]]:
    """Return the numbers of the parts that have, do not have, or cannot be shown to have the bytes of SOURCE."""
    outcomes: dict[bool | None, list[int]] = {True: [], False: [], None: []}
    for stored, digest in compared:
        outcomes[has_content(stored, digest, recorded.get(stored.number), digests)].append(stored.number)
    return outcomes


def _has_crc64(stored: StoredPart, recorded: Receipt | None) -> bool:
    """Return whether the CRC-64 of a part is known from the list, or from our own receipt."""
    return stored.crc64 is not None or (recorded is not None and recorded.crc64 is not None)


def _require_proven(parts: Sequence[StoredPart], recorded: Mapping[int, Receipt]) -> None:
    """Raise DataMismatch for parts whose content must be compared with the source, which is not given."""
    own = (recorded.get(one.number) for one in parts)
    unproven = [one.number for one in own if one is not None and one.is_unproven]
    if unproven:
        raise DataMismatch(
            f"{parts_are(unproven, 'was', 'were')} sent by a host that may see another file",
            "Nothing shows without SOURCE that its content is the same; the upload is unchanged",
            run_again("name SOURCE, or send these parts again on the host that initiated the upload"),
        )


def _differing(source: Path, numbers: Sequence[int], *, has_match: bool) -> DataMismatch:
    why = "Their digests are not those of its bytes; the upload is unchanged"
    step = run_again("send these parts again")
    if not has_match:
        why = f"{why}. No part matches: SOURCE may be another file, or the store encrypts (its ETags are not digests)"
        step = NextStep(
            "send these parts again; if the store encrypts, replace SOURCE by --expect-size and --etags-from"
        )
    return DataMismatch(
        f"{parts_are(numbers, 'does', 'do')} not match {quoted(str(source))}",
        why,
        step,
    )
