"""Find out with an upload of one byte whether a store shows, by its ETags or by Content-MD5, what it received."""

from __future__ import annotations

import base64
import hashlib
import time
from io import BytesIO

from obsup import events
from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.send_options import SendOptions
from obsup.errors import DataMismatch, NetworkError, ObsupError, StoreError
from obsup.local.state import started_uploads
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import Stored, Target, Upload
from obsup.store.http.body import BodyDigests
from obsup.store.interface import ObjectStore

# Facts about the store.
_MD5, _OPAQUE = "has ETags that are MD5s", "has other ETags than digests"
_UNCHECKED = "has other ETags than digests, and accepts a wrong Content-MD5"


class OneByte(BytesIO):
    """The body of a part of one byte, for a trial."""

    size = 1


class EtagTrial:
    """Finds out whether the bucket of *target* encrypts by default without showing it: then no ETag is an MD5.

    It is called only if an ETag is not the MD5 of what was sent, and costs a trial upload of one byte once.
    """

    def __init__(self, store: ObjectStore, target: Target, send_options: SendOptions) -> None:
        self._store = store
        self.target = target
        self._learned = send_options.learned
        self._observe = send_options.observe
        requested = send_options.encryption
        self._sse = requested.sse if requested is not None else None
        self._fact = (target.endpoint, target.bucket, self._sse)

    @property
    def has_shown(self) -> bool:
        """Whether it is known that ETags are not digests."""
        return self._learned.has((_OPAQUE, *self._fact))

    @property
    def doubt(self) -> str:
        """What to add to an error, if it could not be tried out whether ETags are digests."""
        if self._learned.has((_UNCHECKED, *self._fact)):
            return (
                "; its ETags are other values than digests, and it accepts a wrong Content-MD5: nothing shows what it "
                "received"
            )
        is_known = self._learned.has((_MD5, *self._fact))
        return "" if is_known else "; whether the bucket encrypts by default could not be tried out"

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

        If it is none of them, only Content-MD5 can show what the store received: it must reject a wrong one.
        """
        store = self._store
        name = store.dialect.headers.sse
        headers = {name: self._sse} if self._sse is not None else {}
        before = self._open_ids(store)
        try:
            upload = Upload(self.target, store.initiate(self.target, headers).upload_id)
            if upload.upload_id in before:
                return  # not a new upload: it may have parts, and is neither written to nor aborted
            started_uploads.add(StartedUpload(upload, None, None, time.time()))
            try:
                self._learned.add((self._find_fact(store, upload), *self._fact))
            finally:
                abort_unused(store, upload, self._observe)
        except (ObsupError, StoreError, NetworkError):
            return

    def _find_fact(self, store: ObjectStore, upload: Upload) -> str:
        """Return what two parts of one byte show, the second one with a wrong Content-MD5."""

        def send(declared: bytes) -> Stored:
            digest = as_content_md5(_md5_of(declared))
            return store.upload_part(upload, 1, lambda: OneByte(b"\0"), BodyDigests(digest))

        etag = send(b"\0").etag.lower()
        if etag in {_md5_of(b""), *(_md5_of(bytes([byte])) for byte in range(256))}:
            return _MD5
        try:
            send(b"\1")
        except DataMismatch:
            return _OPAQUE
        return _UNCHECKED

    def _open_ids(self, store: ObjectStore) -> set[str]:
        """Return the ids of the open uploads of the key; none if they cannot be listed."""
        try:
            return {one.upload_id for one in store.list_uploads(self.target.bucket, self.target.key)}
        except (ObsupError, StoreError, NetworkError):
            return set()


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
