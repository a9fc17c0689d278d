"""Find out with an upload of one byte whether a store shows, by its ETags or by Content-MD5, what it received."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from io import BytesIO

from obsup import events
from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.context import UploadContext
from obsup.engine.job.send_options import SendOptions
from obsup.errors import DataMismatch, NetworkError, ObsupError, StoreError
from obsup.local.state import started_uploads
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import Stored, Target, Upload
from obsup.store.answers.failure_table import as_error
from obsup.store.http.body import BodyDigests
from obsup.store.interface import ObjectStore

# Facts about the store: the ETags are MD5s; they are not, but a wrong Content-MD5 is rejected; it is accepted.
_MD5, _OPAQUE = "has ETags that are MD5s", "has other ETags than digests"
_UNCHECKED = "accepts a wrong Content-MD5"


class OneByte(BytesIO):
    """The body of a part of one byte, for a trial."""

    size = 1


class EtagTrial:
    """Finds out whether the bucket of *target* encrypts by default without showing it: then no ETag is an MD5.

    It is called only if an ETag is not the MD5 of what was sent, or cannot be one, and costs a trial upload once.
    """

    def __init__(self, store: ObjectStore, target: Target, send_options: SendOptions) -> None:
        self._store = store
        self.target = target
        self._learned = send_options.learned
        self._observe = send_options.observe
        self._encryption = send_options.encryption
        self._attempts = send_options.attempts
        self._fact = (target.endpoint, target.bucket, self._encryption)

    @property
    def has_shown(self) -> bool:
        """Whether it is known that ETags are not digests."""
        return self._learned.has((_OPAQUE, *self._fact))

    @property
    def doubt(self) -> str:
        """What to add to an error, if it could not be tried out whether ETags are digests."""
        if self._learned.has((_MD5, *self._fact)):
            return ""
        if self._learned.has((_UNCHECKED, *self._fact)):
            return (
                "; its ETags are other values than digests, and it accepts a wrong Content-MD5: nothing shows what it "
                "received"
            )
        return "; whether the bucket encrypts by default could not be tried out"

    def shows_opaque_etags(self) -> bool:
        """Try it out, unless that was done. Without the permission, or with a presigned URL, nothing is shown."""
        self._learned.learn(("tried ETags", *self._fact), self._try_out)
        return self.has_shown

    def accepts_wrong_md5(self) -> bool:
        """Try out whether the store accepts a wrong Content-MD5, too; a vendor's own host is known to reject it."""
        if not is_vendor_host(self.target.endpoint):
            self.shows_opaque_etags()
        return self._learned.has((_UNCHECKED, *self._fact))

    def _try_out(self) -> None:
        """Send one byte. If bytes change on the way, the ETag is the MD5 of another byte, or of none.

        If it is none of them, only Content-MD5 can show what the store received: it must reject a wrong one. Raises a
        failure that may be over later: a store is trusted untried only if it never can be tried out.
        """
        store = self._store
        before = self._open_ids(store)
        try:
            upload = Upload(self.target, self._initiate(store))
            if upload.upload_id in before or started_uploads.find(upload) is not None:
                return  # not a new upload: it may have parts, and is neither written to nor aborted
            started_uploads.add(StartedUpload(upload, None, None, time.time()))
            try:
                for fact in self._find_facts(store, upload):
                    self._learned.add((fact, *self._fact))
            finally:
                abort_unused(store, upload, self._observe)
        except ObsupError as exc:
            if exc.retryable:
                raise

    def _initiate(self, store: ObjectStore) -> str:
        """Return the id of a new upload. If a response is lost, an upload without parts stays open."""
        encryption, doing = self._encryption, f"initiating {self.target}"
        headers = encryption.headers(store.dialect.headers) if encryption is not None else {}
        try:
            if self._attempts is None:
                return store.initiate(self.target, headers).upload_id
            return self._attempts().run(lambda: store.initiate(self.target, headers), doing=doing).upload_id
        except (StoreError, NetworkError) as exc:
            raise as_error(exc, doing=doing) from exc

    def _find_facts(self, store: ObjectStore, upload: Upload) -> Iterator[str]:
        """Yield what two parts of one byte show, the second one with a wrong Content-MD5."""

        def send(declared: bytes) -> Stored:
            digest = as_content_md5(_md5_of(declared))
            return store.upload_part(upload, 1, lambda: OneByte(b"\0"), BodyDigests(digest))

        etag = send(b"\0").etag.lower()
        is_md5 = etag in {_md5_of(b""), *(_md5_of(bytes([byte])) for byte in range(256))}
        if is_md5:
            yield _MD5
        try:
            send(b"\1")
        except DataMismatch:
            if not is_md5:
                yield _OPAQUE
        else:
            yield _UNCHECKED

    def _open_ids(self, store: ObjectStore) -> set[str]:
        """Return the ids of the open uploads of the key; none if they cannot be listed."""
        try:
            return {one.upload_id for one in store.list_uploads(self.target.bucket, self.target.key)}
        except (ObsupError, StoreError, NetworkError):
            return set()


def has_opaque_etags(context: UploadContext) -> bool:
    """Try out whether the bucket encrypts by default without showing it: then an ETag that differs means nothing."""
    return EtagTrial(context.store, context.request.target, context.send_options).shows_opaque_etags()


def abort_unused(store: ObjectStore, upload: Upload, observe: events.Observer) -> None:
    """Abort an upload that was initiated a moment ago, and has no part of the source; note how if that fails."""
    try:
        store.abort(upload)
    except ObsupError as exc:
        text = f"a new upload without parts of SOURCE is still open ({exc.what}); abort it with"
        observe(events.Noted(text, command=upload.abort_command))
    else:
        started_uploads.remove(upload)


def _md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def as_content_md5(md5: str) -> str:
    """Return *md5*, in hex, as the value of Content-MD5."""
    return base64.b64encode(bytes.fromhex(md5)).decode()
