"""Upload a small file in one request, without the steps that only large or changing files need.

Thousands of files per second take this path. It uses the lock (UploadLock) and the verification (put_content) of every
other upload. A file that needs more (it was modified a moment ago or since the walk, it has a checkpoint, another obsup
holds it) is left to the Uploader.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import SharedRequest
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Result, response_fields
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE
from obsup.engine.send.whole_object import put_content
from obsup.engine.upload.preconditions import require_encryption
from obsup.engine.verify.etag_trial import as_content_md5
from obsup.engine.verify.option_check import check_options, with_info
from obsup.errors import Busy, ObsupError
from obsup.local.platform.files import NO_WAIT, stat_open
from obsup.local.platform.link_free import open_link_free
from obsup.local.source.buffers import BufferPool
from obsup.local.source.digest import PartDigest
from obsup.local.source.identity import identity, is_stable
from obsup.local.source.memory_part import MemoryPart
from obsup.local.state.checkpoint_path import CheckpointLookup
from obsup.local.state.lock import UploadLock, lock_folder
from obsup.local.walk.walk import FoundFile
from obsup.model import ObjectOptions, Part, Target
from obsup.store.http.body import BodyDigests
from obsup.store.presigned import PresignedRequest
from obsup.units import KIB

# For larger files the bytes cost more than the omitted steps.
MAX_SMALL_FILE_BYTES = 256 * KIB


class SmallFileUploader:
    """Uploads small files of one batch. Thread-safe."""

    def __init__(
        self,
        context: UploadContext,
        shared: SharedRequest,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._context = context
        self._store = context.connection.store
        self._shared = shared
        self._send_options = replace(context.send_options, content_md5=True)
        has_encryption = self._send_options.encryption is not None
        self._has_options = has_encryption or shared.template.options != ObjectOptions()
        self._checkpoints = (
            CheckpointLookup(shared.checkpoint_folder) if shared.template.keep_checkpoint else None
        )
        self._lock_folder = lock_folder()
        self._clock_ns = clock_ns

    def upload(self, file: FoundFile, observe: events.Observer) -> FileOutcome | None:
        """Upload the file and return the outcome; return None, with nothing sent, if the Uploader must do it."""
        if not is_stable(file.stat, self._clock_ns()):
            return None
        target = self._shared.prefix.below(file.name)
        try:
            with UploadLock(target, folder=self._lock_folder):
                if self._checkpoints is not None and self._checkpoints.has_any(file.path, target):
                    return None
                return self._put(file, target, observe)
        except Busy:
            return None
        except ObsupError as exc:
            return FileOutcome.of(file, error=exc)

    def _put(self, file: FoundFile, target: Target, observe: events.Observer) -> FileOutcome | None:
        started = time.monotonic()
        context = self._context_of(target)
        if context is not None:
            require_encryption(context)
        data = _read(file)
        if data is None:
            return None
        size, send_options = len(data), replace(self._send_options, observe=observe)
        digest = PartDigest(md5=True, crc64=send_options.digests.crc64)
        content = MemoryPart(Part(1, 0, size), [data], BufferPool(), is_last=True, digest=digest)
        store = self._store.observed_by(observe)
        self._context.note_redirect(target.key)
        since_s = context.since_s if context is not None else 0.0
        headers = self._shared.template.object_headers(store.dialect, "put", key=target.key, since_s=since_s)
        finished = put_content(store, target, headers, content, send_options)
        if context is not None:
            finished = with_info(context, finished)
            check_options(context, finished)
        result = Result(
            target=target,
            upload_id=None,
            verified=finished.verified,
            size=size,
            part_size=DEFAULT_PART_SIZE,
            parts=1,
            sent_parts=1,
            sent_bytes=size,
            seconds=time.monotonic() - started,
            receipts=finished.receipts,
            source=file.stat,
            lock=finished.lock,
            **response_fields(finished.response),
        )
        return FileOutcome.of(file, result=result)

    def _context_of(self, target: Target) -> UploadContext | None:
        """Return the context of one upload if options or encryption must be checked, None without them."""
        if not self._has_options:
            return None
        request = replace(self._shared.template, target=target)
        return replace(self._context, request=request).begun_now()


class SmallFileSigner:
    """Presigns the requests that a SmallFileUploader without credentials sends. Thread-safe."""

    def __init__(self, context: UploadContext, shared: SharedRequest) -> None:
        self._context = context
        self._shared = shared

    @property
    def checksum(self) -> str | None:
        """The algorithm of the checksum that is signed, besides Content-MD5; None if the store has rejected them."""
        return self._context.digests.checksum

    def sign(self, file: FoundFile, checksum: str | None) -> PresignedRequest | None:
        """Return the URL to put the file; None if it cannot be read or signed: sending it shows why."""
        data = _read(file)
        if data is None:
            return None
        digest = PartDigest(md5=True, checksum=checksum)
        digest.update(memoryview(data))
        target = self._shared.prefix.below(file.name)
        digests = BodyDigests(as_content_md5(digest.md5 or ""), digest.checksum)
        template, signer = self._shared.template, self._context.connection.signer
        try:
            headers = template.object_headers(self._context.dialect, "put", key=target.key, since_s=0.0)
            return signer.sign_object(target, headers, digests)
        except ObsupError:
            return None


def _read(file: FoundFile) -> bytearray | None:
    """Return the content of the file, or None if it cannot be read or is not the one that was found."""
    stat = file.stat
    try:
        # Non-blocking: the file may have been replaced by a pipe without a writer.
        descriptor = open_link_free(file.path, file.link_free, os.O_RDONLY | NO_WAIT)
    except OSError:
        return None
    try:
        if identity(stat_open(descriptor)) != stat:
            return None
        data = os.read(descriptor, stat.size + 1)
        is_whole = len(data) == stat.size and identity(stat_open(descriptor)) == stat
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return bytearray(data) if is_whole else None
