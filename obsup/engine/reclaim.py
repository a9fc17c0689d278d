"""Giving uploads up: the only way in which parts are ever destroyed. Used by ``abort``, ``gc`` and --restart alone."""

from __future__ import annotations

from collections.abc import Callable

from obsup.errors import NotFinished, UploadGone
from obsup.local import registry
from obsup.model import Upload
from obsup.store.store import ObjectStore

# A part under way when its upload is aborted may land afterwards: how often, and how long apart, to look again.
LOOKS = 8
PAUSE_S = 0.5


def abort_fully(store: ObjectStore, upload: Upload, sleep: Callable[[float], bool]) -> None:
    """Abort *upload* until the store lists no part of it, and forget it here. Gone already is success.

    *sleep* waits, and returns True where the work is to stop. Raises NotFinished where parts go on landing.
    Source: Amazon S3, AbortMultipartUpload: parts in progress may succeed, so that it has to be repeated.
    """
    for look in range(LOOKS):
        store.abort(upload)
        try:
            left = list(store.list_parts(upload))
        except UploadGone:
            left = []
        if not left:
            registry.forget(upload)
            return
        if sleep(PAUSE_S * 2**look):
            break
    raise NotFinished(
        f"the upload {upload.upload_id} of {upload.target} is aborted, but {len(left)} parts are still listed",
        "parts that were under way have landed since",
        "stop whoever still sends them, then run the same command again",
    )
