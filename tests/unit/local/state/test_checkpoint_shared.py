"""Several processes write to one checkpoint: no record is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Receipt, SourceStat, Target, Upload

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key")
CHECKPOINT = Checkpoint(
    "/data/file", SourceStat(1000, 1, 2, 3, 4), Upload(TARGET, "upload-id"), 10, {}, 1.5, "00ff"
)
WRITERS, EACH = 4, 25


def test_no_record_of_another_process_is_lost(tmp_path: Path) -> None:
    """Four processes write 25 records each at the same time."""
    path = tmp_path / "checkpoint"
    checkpoints.save(path, CHECKPOINT)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from obsup.local.state import checkpoint\n"
        "from obsup.model import Receipt\n"
        "path, first = Path(sys.argv[1]), int(sys.argv[2])\n"
        "upload = checkpoint.load(path).upload\n"
        f"for number in range(first, first + {EACH}):\n"
        "    assert checkpoint.record(path, upload, Receipt(number, 10, 'etag'))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(1 + EACH * one)])
        for one in range(WRITERS)
    ]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    found = checkpoints.load(path)
    assert found is not None
    assert sorted(found.receipts) == list(range(1, WRITERS * EACH + 1))
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_is_not_written_to_the_checkpoint_of_another_upload(tmp_path: Path) -> None:
    """Nor does it create a checkpoint that was removed."""
    path = tmp_path / "checkpoint"
    receipt = Receipt(1, 10, "etag")
    assert not checkpoints.record(path, CHECKPOINT.upload, receipt)
    assert not path.exists()
    other = replace(CHECKPOINT, upload=Upload(TARGET, "other"))
    checkpoints.save(path, other)
    assert not checkpoints.record(path, CHECKPOINT.upload, receipt)
    assert checkpoints.load(path) == other


def test_a_checkpoint_of_ten_thousand_parts_has_at_most_two_megabytes(tmp_path: Path) -> None:
    """A checkpoint of 48.8 TB, written and read."""
    path = tmp_path / "checkpoint"
    receipts = {n: Receipt(n, 5 << 30, "0" * 32, "0" * 32, 2**64 - 1) for n in range(1, 10_001)}
    whole = replace(CHECKPOINT, receipts=receipts, stat=SourceStat(10_000 * (5 << 30), 1, 2, 3, 4))
    checkpoints.save(path, whole)
    assert path.stat().st_size < 2_000_000
    assert checkpoints.load(path) == whole
