"""Measure the driver of a fleet whose workers only sleep: fleet_simulation.py EXECUTOR TREE ENDPOINT [OPTION].

Prints the CPU seconds, and the seconds, of one ``upload -r`` as JSON. The workers must be able to import this module.
"""

from __future__ import annotations

import json
import pickle
import resource
import sys
import time
from typing import Any

from obsup.engine.batch import file_groups
from obsup.engine.batch.group_worker import GroupResult, GroupTask
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.job.result import Result, response_fields
from obsup.engine.send.remote_task import name_of_worker
from obsup.model import Part, Receipt, Stored

# A request to a store in the same region.
SLEEP_S = 0.01
# Of every object.
ETAG = "0123456789abcdef" * 2


def sleep_instead(task: GroupTask) -> GroupResult:
    """Sleep as long as the requests of *task* would take, and return outcomes as if they had succeeded."""
    time.sleep(SLEEP_S * len(task.files))
    prefix = pickle.loads(task.setup).shared.prefix
    outcomes = []
    for pending in task.files:
        file = pending.file
        stored = Stored(200, ETAG, f"request-{file.name}", date="Mon, 30 Nov 2026 08:00:00 GMT")
        receipt = Receipt(Part(1, 0, file.stat.size).number, file.stat.size, stored.etag, stored.etag)
        result = Result(
            target=prefix.below(file.name),
            upload_id=None,
            verified="etag",
            size=file.stat.size,
            part_size=file.stat.size,
            parts=1,
            sent_parts=1,
            sent_bytes=file.stat.size,
            receipts=(receipt,),
            source=file.stat,
            **response_fields(stored),
        )
        outcomes.append(FileOutcome.of(file, result=result))
    return GroupResult(tuple(outcomes), (), (), worker=name_of_worker())


def main() -> None:
    """Upload the tree, and print the cost of this process alone."""
    from obsup.cli.main import cli
    from tests.benchmarks import fleet_simulation  # not as __main__, which the workers do not have

    executor, tree, endpoint, *options = sys.argv[1:]
    replaced: Any = file_groups
    replaced.upload_group_remotely = fleet_simulation.sleep_instead
    words = [
        "upload",
        "-r",
        f"{tree}/",
        "bucket/p/",
        "--executor",
        executor,
        "--endpoint",
        endpoint,
        "-j",
        "100",
        *options,
    ]
    sys.argv[1:] = words
    started_s = time.monotonic()
    code = cli.main(words, standalone_mode=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cost = {"cpu_s": used.ru_utime + used.ru_stime, "wall_s": time.monotonic() - started_s, "code": code}
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
