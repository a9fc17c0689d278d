"""A source that fits one request: PutObject, proved like any other upload.

What is put is published at once: it is sent from memory, so that it is the source as it stood at one moment, and
with its Content-MD5, so that a damaged one is never taken.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from obsup.engine.finish import Finished
from obsup.engine.proof import Expected, prove_object
from obsup.engine.task import Task
from obsup.engine.worker import Content, confirms, send_proved
from obsup.errors import DataMismatch, Refused
from obsup.local.digest import PartDigest
from obsup.local.part_memory import read_part
from obsup.local.source import FileWindow
from obsup.model import Part, Receipt, SourceStat, Stored
from obsup.store.store import OpenBody
from obsup.store.transport import Body

# The store says that the object exists, and --no-overwrite that it is not to be replaced.
EXISTS = ("FileAlreadyExists", "PreconditionFailed")


def put_file(task: Task, stat: SourceStat) -> Finished:
    """Put the file that had the identity *stat*. Raises as ``put_whole`` does."""
    window = FileWindow(task.source, Part(1, 0, stat.size), stat)
    content = read_part(window, PartDigest(md5=True, crc64=task.proving.crc64), task.read_gate)
    return put_whole(task, content, has_md5=True)


def put_whole(task: Task, content: Content, *, has_md5: bool = False) -> Finished:
    """Send *content* in one PutObject and return once the object is proved.

    *has_md5*: its MD5 costs nothing. Raises SourceChanged, DataMismatch, and what the store and the disk raise.
    """
    target, headers = task.order.target, task.headers("put")
    manner = replace(task.manner, content_md5=has_md5 or task.order.content_md5)
    tries = 0

    def count(open_body: OpenBody) -> Body:
        nonlocal tries
        tries += 1
        return open_body()

    def send(open_body: OpenBody, content_md5: str | None) -> Stored:
        return task.store.put_object(target, partial(count, open_body), headers, content_md5=content_md5)

    try:
        stored, digest = send_proved(content, send, manner, what=str(target))
    except Refused as exc:
        # The object that must not be replaced may be the one of our own first try, whose answer was lost.
        found = _look(task, content) if tries > 1 and exc.refusal and exc.refusal.code in EXISTS else None
        if found is None:
            raise
        return found
    receipt = Receipt(1, content.part.size, stored.etag, digest.md5, digest.crc64)
    return Finished(stored, _verified(task, content.part.size, stored, digest), (receipt,))


def _look(task: Task, content: Content) -> Finished | None:
    """Return the object where it is there with this very content."""
    info, md5 = task.store.head_object(task.order.target), content.md5(task.read_gate)
    if info is None or info.size != content.part.size or info.etag.lower() != md5:
        return None
    stored = Stored(200, info.etag, info.request_id, version_id=info.version_id, crc64=info.crc64)
    return Finished(stored, "etag", (Receipt(1, info.size, info.etag, md5),))


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
