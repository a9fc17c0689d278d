"""A source that fits one request: PutObject, proved like any other upload."""

from __future__ import annotations

from obsup import events
from obsup.engine.finish import Finished
from obsup.engine.proof import Expected, prove_object
from obsup.engine.task import Task
from obsup.engine.worker import RESENDS, confirms, content_md5_of
from obsup.errors import DataMismatch
from obsup.local.digest import PartDigest
from obsup.local.source import PartBody, check_unchanged
from obsup.model import Part, SourceStat, Stored


def put_whole(task: Task, stat: SourceStat) -> Finished:
    """Send the whole source in one PutObject and return once the object is proved.

    Raises SourceChanged, DataMismatch, and what the store and the disk raise.
    """
    part = Part(1, 0, stat.size)
    for _ in range(1 + RESENDS):
        stored, digest = _put_once(task, part)
        check_unchanged(task.source, stat)
        confirmed = confirms(stored, digest, task.proving)
        if confirmed is not False:
            task.observe(events.PartStored(1, stat.size))
            return Finished(stored, _verified(task, stat, stored, digest, confirmed=bool(confirmed)))
    raise DataMismatch(
        f"{task.order.target} arrives changed",
        f"sent with MD5 {digest.md5}, CRC-64 {digest.crc64}; the store has ETag {stored.etag}",
        "look at the line (proxies, memory), then run the same command again",
    )


def _put_once(task: Task, part: Part) -> tuple[Stored, PartDigest]:
    digests: list[PartDigest] = []

    def open_body() -> PartBody:
        digests.append(task.proving.digest())
        return PartBody(
            task.source,
            part,
            digest=digests[-1],
            on_sent=lambda sent: task.observe(events.PartSent(1, sent)),
            gate=task.gate,
        )

    content_md5 = content_md5_of(task.source, part, task.gate) if task.order.content_md5 else None
    stored = task.store.put_object(task.order.target, open_body, task.headers("put"), content_md5=content_md5)
    return stored, digests[-1]


def _verified(task: Task, stat: SourceStat, stored: Stored, digest: PartDigest, *, confirmed: bool) -> str:
    """Return what proves the object: the answer's digest, or a look at it. Raises DataMismatch."""
    if confirmed:
        return "crc64" if stored.crc64 is not None and digest.crc64 is not None else "etag"
    info = task.store.head_object(task.order.target)
    expected = Expected(stat.size, None, digest.crc64, None, None)
    if info is None or info.size != stat.size or (stored.etag and info.etag != stored.etag):
        raise DataMismatch(
            f"the object {task.order.target} is not the source",
            f"expected {stat.size} bytes, the store has {'none' if info is None else info.size}",
            "look at the object; another upload may have replaced it",
        )
    return prove_object(expected, info) or "size"
