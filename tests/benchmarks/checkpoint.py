"""What keeping the checkpoint takes where it is written as often as it ever is: checkpoint.py FOLDER PARTS.

The parts of one upload are stored so slowly, by a false clock, that no write is put off for the sake of the time that
it takes. Prints JSON: seconds of CPU in all, and the number of writes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from obsup.engine.upload.progress_record import ProgressRecord
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Receipt, SourceStat, Target, Upload

PART = 100 * 1024
DIGEST = "d41d8cd98f00b204e9800998ecf8427e"
SLOW_S = 3600.0


def main() -> None:
    """Record the parts one after the other, and tell what that took."""
    folder, parts = Path(sys.argv[1]), int(sys.argv[2])
    path = folder / "checkpoint"
    now = [0.0]
    upload = Upload(Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key"), "0" * 32)
    stat = SourceStat(parts * PART, 1, 1, 1, 1)
    meant = Checkpoint(str(folder / "bigfile"), stat, upload, PART, {}, 0.0, "0" * 64)
    record = ProgressRecord(meant, path, monotonic=lambda: now[0])
    written: list[int] = []
    begun = time.process_time()
    for number in range(1, parts + 1):
        now[0] += SLOW_S
        record.add(Receipt(number, PART, DIGEST, DIGEST))
        if written[-1:] != [path.stat().st_ino]:
            written.append(path.stat().st_ino)
    record.flush()
    print(json.dumps({"cpu_s": time.process_time() - begun, "writes": len(written)}))


if __name__ == "__main__":
    main()
