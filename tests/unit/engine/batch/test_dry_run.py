"""What a batch would do with a file."""

from __future__ import annotations

from pathlib import Path

from obsup.dialects.registry import find_dialect
from obsup.engine.batch.dry_run import plan_batch
from obsup.engine.batch.request import BatchRequest, SharedRequest
from obsup.engine.job.request import UploadRequest
from obsup.errors import SourceUnreadable
from obsup.local.source.file import stat_source
from obsup.local.walk.walk import FoundFile
from obsup.model import Target


def test_a_file_that_cannot_be_read_is_refused_for_its_own_reason(tmp_path: Path) -> None:
    """As the upload would say it; here it went away after the walk met it."""
    here, gone, place = tmp_path / "here", tmp_path / "gone", Target("obs", "http://store", "bucket", "p/")
    for path in (here, gone):
        path.write_bytes(b"some")
    entries = [FoundFile(str(path), path.name, stat_source(path)) for path in (here, gone)]
    gone.unlink()
    shared = SharedRequest(UploadRequest(here, place), place)
    order = BatchRequest(lambda: iter(entries), shared, "here", None)
    sent, refused = plan_batch(order, find_dialect("obs"))
    assert (sent.name, sent.action, sent.parts, sent.error) == ("here", "send", 1, None)
    assert (refused.name, refused.action) == ("gone", "refuse")
    assert isinstance(refused.error, SourceUnreadable)
    assert refused.error.why == "No such file or directory"
