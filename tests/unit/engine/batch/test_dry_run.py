"""The plan of a batch."""

from __future__ import annotations

from pathlib import Path

from obsup.engine.batch.dry_run import plan_batch
from obsup.engine.batch.request import BatchRequest, SharedRequest
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.request import UploadRequest
from obsup.errors import SourceUnreadable
from obsup.local.source.identity import stat_source
from obsup.local.walk.walk import FoundFile
from obsup.model import Target


def test_an_unreadable_file_is_refused_with_its_own_reason(tmp_path: Path) -> None:
    """The error is that of the upload; here the file is removed after the walk found it."""
    present, missing, prefix = (
        tmp_path / "present",
        tmp_path / "missing",
        Target("obs", "http://store", "bucket", "p/"),
    )
    for path in (present, missing):
        path.write_bytes(b"some")
    entries = [FoundFile(str(path), path.name, stat_source(path)) for path in (present, missing)]
    missing.unlink()
    shared = SharedRequest(UploadRequest(present, prefix), prefix)
    request = BatchRequest(lambda: iter(entries), shared, "id", None)
    sent, refused = plan_batch(request, StoreSettings("obs", "http://store"))
    assert (sent.name, sent.action, sent.parts, sent.error) == ("present", "send", 1, None)
    assert (refused.name, refused.action) == ("missing", "refuse")
    assert isinstance(refused.error, SourceUnreadable)
    assert refused.error.why == "No such file or directory"
