"""Check that an object matches a file, as the user asks for it: by a receipt, what the store returns, or its bytes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import make_plan
from obsup.engine.verify.comparison import CannotCompare, Comparison, Identical
from obsup.engine.verify.existing_object import find_listed
from obsup.errors import UNAVAILABLE, NextStep, Refused, SourceUnreadable
from obsup.local.files.existing import is_directory
from obsup.local.source.identity import check_uploaded, until_untouched
from obsup.local.state import receipt_file
from obsup.model import SourceStat, Target
from obsup.store.interface import ObjectStore
from obsup.text import operand, quoted


def check_object(context: UploadContext, *, is_plan_given: bool) -> Identical:
    """Compare the target of the request with its source; ``receipt`` of the request is the receipt to compare with.

    *is_plan_given*: the user sets the part size; otherwise that of the request is only a hint. Raises DataMismatch,
    CannotCompare, SourceUnreadable, and Refused if the bucket does not exist.
    """
    request, store = context.request, context.store
    source = request.source
    receipt = receipt_file.load(request.receipt) if request.receipt is not None else None

    def gate(size: int) -> int:
        context.stop.check()
        return size

    def compare(stat: SourceStat) -> Identical:
        plan = make_plan(stat.size, store.dialect.limits, parts=request.parts, part_size=request.part_size)
        comparison = Comparison(request, source, stat, dialect=store.dialect, gate=gate)
        info = store.head_object(request.target)
        if info is None:
            bucket = ("bucket", request.target.endpoint, request.target.bucket)
            context.connection.learned.learn(bucket, lambda: _check_bucket(store, request.target))
        try:
            if receipt is not None:
                return comparison.by_receipt(info, receipt)
            return comparison.by_object(info, plan if is_plan_given else None, hint=plan)
        except CannotCompare as exc:
            if request.download and info is not None and info.may_have(stat.size):
                return comparison.by_download(info, partial(store.read_object, request.target))
            if info is not None and info.size == stat.size:
                exc.next_step = NextStep(f"{exc.next_step}, or add --download to compare its bytes")
            raise

    if is_directory(source):
        raise _is_folder(source)
    check_uploaded(source, request.link_free)
    return until_untouched(source, compare, request.link_free)


def _check_bucket(store: ObjectStore, target: Target) -> None:
    """Raise Refused if the bucket or the store does not exist: of HEAD, whose response has no body, that is 404 too."""
    try:
        find_listed(store, target)
    except (Refused, *UNAVAILABLE) as exc:
        if exc.refusal is not None and exc.refusal.status == 404:
            raise


def _is_folder(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(path)} is a directory",
        "Only a regular file can be compared with one object",
        NextStep(
            "name a file, or compare all files of the directory",
            command=("obsup", "verify", "-r", operand(path), "BUCKET/PREFIX/"),
        ),
    )
