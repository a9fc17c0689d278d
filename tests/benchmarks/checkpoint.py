"""Measure the cost of the checkpoint at its highest write rate: checkpoint.py FOLDER PARTS.

A simulated clock advances so far with each part that no write is postponed to save time. Prints JSON: total CPU
seconds, and the number of writes.
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
    """Record the parts one after the other and print the cost."""
    folder, parts = Path(sys.argv[1]), int(sys.argv[2])
    path = folder / "checkpoint"
    now = [0.0]
    upload = Upload(Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key"), "0" * 32)
    stat = SourceStat(parts * PART, 1, 1, 1, 1)
    checkpoint = Checkpoint(str(folder / "bigfile"), stat, upload, PART, {}, 0.0, "0" * 64)
    record = ProgressRecord(checkpoint, path, monotonic=lambda: now[0])
    inodes: list[int] = []
    started = time.process_time()
    for number in range(1, parts + 1):
        now[0] += SLOW_S
        record.add(Receipt(number, PART, DIGEST, DIGEST))
        if inodes[-1:] != [path.stat().st_ino]:
            inodes.append(path.stat().st_ino)
    record.flush()
    print(json.dumps({"cpu_s": time.process_time() - started, "writes": len(inodes)}))


if __name__ == "__main__":
    main()
