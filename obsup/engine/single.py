"""A source that fits one request: PutObject, proved like any other upload."""

from __future__ import annotations

from obsup.engine.finish import Finished
from obsup.engine.proof import Expected, prove_object
from obsup.engine.task import Task
from obsup.engine.worker import Content, confirms, send_proved
from obsup.errors import DataMismatch
from obsup.local.digest import PartDigest
from obsup.model import Receipt, Stored
from obsup.store.store import OpenBody


def put_whole(task: Task, content: Content) -> Finished:
    """Send *content* in one PutObject and return once the object is proved.

    Raises SourceChanged, DataMismatch, and what the store and the disk raise.
    """
    target, headers = task.order.target, task.headers("put")

    def send(open_body: OpenBody, content_md5: str | None) -> Stored:
        return task.store.put_object(target, open_body, headers, content_md5=content_md5)

    stored, digest = send_proved(content, send, task.manner, what=str(target))
    receipt = Receipt(1, content.part.size, stored.etag, digest.md5, digest.crc64)
    return Finished(stored, _verified(task, content.part.size, stored, digest), (receipt,))


def _verified(task: Task, size: int, stored: Stored, digest: PartDigest) -> str:
    """Return what proves the object: the answer's digest, or a look at it. Raises DataMismatch."""
    if confirms(stored, digest, task.proving):
        return "crc64" if stored.crc64 is not None and digest.crc64 is not None else "etag"
    info = task.store.head_object(task.order.target)
    expected = Expected(size, None, digest.crc64, None, None)
    if info is None or info.size != size or (stored.etag and info.etag != stored.etag):
        raise DataMismatch(
            f"the object {task.order.target} is not the source",
            f"expected {size} bytes, the store has {'none' if info is None else info.size}",
            "look at the object; another upload may have replaced it",
        )
    return prove_object(expected, info) or "size"
