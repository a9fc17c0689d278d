"""One part, from its window on the source to the store's receipt for it. Runs in a thread or on another machine."""

from __future__ import annotations

from pathlib import Path

from obsup.engine.job.send_options import Manner
from obsup.engine.proof.part_proof import Proving
from obsup.engine.send.content import send_content
from obsup.frozen import frozen
from obsup.local.source.file import FileWindow
from obsup.model import Part, Receipt, SourceStat, Upload
from obsup.store.interface import PartStore


@frozen
class PartJob:
    """All that a worker needs to send one part, without secrets. ``path`` is absolute."""

    upload: Upload
    part: Part
    path: str
    stat: SourceStat
    proving: Proving
    content_md5: bool = False


def send_part(job: PartJob, store: PartStore, manner: Manner) -> Receipt:
    """Send one part of a file and return its receipt.

    Raises SourceChanged where the file is not the one planned, and as ``send_proved`` does.
    """
    window = FileWindow(Path(job.path), job.part, job.stat)
    return send_content(window, job.upload, store, manner)
