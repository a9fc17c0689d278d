"""One part, from its window on the source to the store's receipt for it. Runs in a thread or on another machine."""

from __future__ import annotations

from pathlib import Path

from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.content import send_content
from obsup.local.source.file import FileWindow
from obsup.model import Part, Receipt, SourceStat, Upload
from obsup.store.interface import PartStore
from obsup.value import Value


class PartToSend(Value):
    """All that a worker needs to send one part, without secrets. ``path`` is absolute."""

    upload: Upload
    part: Part
    path: str
    stat: SourceStat
    digests: DigestChoice
    content_md5: bool = False


def send_part(job: PartToSend, store: PartStore, send_options: SendOptions) -> Receipt:
    """Send one part of a file and return its receipt.

    Raises SourceChanged where the file is not the one planned, and as ``send_verified`` does.
    """
    window = FileWindow(Path(job.path), job.part, job.stat)
    return send_content(window, job.upload, store, send_options)
