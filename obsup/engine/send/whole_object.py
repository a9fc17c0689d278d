"""A source that fits one request: PutObject, proved like any other upload.

What is put is published at once: it is sent from memory, so that it is the source as it stood at one moment, and
with its Content-MD5, so that a damaged one is never taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.object_proof import Expected, Verified, verify_object
from obsup.engine.proof.part_proof import DigestChoice, matches
from obsup.engine.send.content import AttemptCounter, Content, send_verified
from obsup.errors import DataMismatch, Refused
from obsup.local.source.buffers import BufferPool
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import FileWindow
from obsup.local.source.memory_part import read_part
from obsup.model import Part, Receipt, SourceStat, Stored, Target
from obsup.store.http.body import OpenBody
from obsup.store.interface import ObjectStore

# The store says that the object exists, and --no-overwrite that it is not to be replaced.
EXISTS = ("FileAlreadyExists", "PreconditionFailed")
# For all files of a batch: as much as was in flight at once.
_blocks = BufferPool()


def put_file(task: UploadContext, stat: SourceStat) -> Finished:
    """Put the file that had the identity *stat*. Raises as ``put_whole`` does."""
    window = FileWindow(task.source, Part(1, 0, stat.size), stat)
    digest = PartDigest(md5=True, crc64=task.digests.crc64)
    content = read_part(window, digest, task.read_gate, pool=_blocks)
    try:
        return put_whole(task, content, has_md5=True)
    finally:
        content.release()


def put_whole(task: UploadContext, content: Content, *, has_md5: bool = False) -> Finished:
    """Send *content* in one PutObject and return once the object is proved.

    *has_md5*: its MD5 costs nothing. Raises as ``put_content`` does.
    """
    send_options = replace(task.send_options, content_md5=has_md5 or task.request.content_md5)
    return put_content(task.store, task.request.target, task.headers("put"), content, send_options)


def put_content(
    store: ObjectStore,
    target: Target,
    headers: Mapping[str, str],
    content: Content,
    send_options: SendOptions,
) -> Finished:
    """Send *content* in one PutObject and return once the object is proved.

    Raises SourceChanged, DataMismatch, and what the store and the disk raise.
    """
    tries = AttemptCounter()

    def send(open_body: OpenBody, content_md5: str | None) -> Stored:
        return store.put_object(target, tries.of(open_body), headers, content_md5=content_md5)

    try:
        stored, digest = send_verified(content, send, send_options, what=target)
    except Refused as exc:
        # The object that must not be replaced may be the one of our own first try, whose answer was lost.
        is_ours_perhaps = tries.count > 1 and exc.refusal and exc.refusal.code in EXISTS
        found = _look(store, target, content, send_options) if is_ours_perhaps else None
        if found is None:
            raise
        return found
    receipt = Receipt(1, content.part.size, stored.etag, digest.md5, digest.crc64)
    verified = _verified(store, target, content.part.size, stored, digest, send_options.digests)
    return Finished(stored, verified, (receipt,))


def _look(store: ObjectStore, target: Target, content: Content, send_options: SendOptions) -> Finished | None:
    """Return the object where it is there with this very content."""
    info, md5 = store.head_object(target), content.md5(send_options.read_gate)
    if info is None or info.size != content.part.size or info.etag.lower() != md5:
        return None
    stored = Stored(200, info.etag, info.request_id, version_id=info.version_id, crc64=info.crc64)
    return Finished(stored, "etag", (Receipt(1, info.size, info.etag, md5),))


def _verified(
    store: ObjectStore, target: Target, size: int, stored: Stored, digest: PartDigest, digests: DigestChoice
) -> Verified:
    """Return what proves the object: the answer's digest, or a look at it. Raises DataMismatch."""
    if matches(stored, digest, digests):
        return "crc64" if stored.crc64 is not None and digest.crc64 is not None else "etag"
    info = store.head_object(target)
    expected = Expected(size, None, digest.crc64, None, None)
    if info is None or info.size != size or (stored.etag and info.etag != stored.etag):
        raise DataMismatch(
            f"the object {target} is not the source",
            f"expected {size} bytes, the store has {'none' if info is None else info.size}",
            "look at the object; another upload may have replaced it",
        )
    return verify_object(expected, info) or "size"
