"""Files for a batch, and what became of them in the sandbox."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

LARGE_SIZE = 10_000_000  # bytes; two parts of the default size


def make_files(shell: Shell, *names: str, size: int = 0, seed: int = 0) -> None:
    """Make files in the shell's folder with distinct content: *size* random bytes, or the name."""
    for name in names:
        path = shell.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = random.Random(f"{name} {seed}").randbytes(size) if size else os.fsencode(f"{name} {seed}")
        path.write_bytes(content)


def stored_keys(sandbox: Sandbox, bucket: str = "bucket") -> list[str]:
    """Return the keys of all objects, sorted."""
    folder = sandbox.object_path(bucket, "x").parent
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_stored(shell: Shell, sandbox: Sandbox, prefix: str, names: Iterable[str]) -> None:
    """Assert that the object of each name below *prefix* is identical to its file."""
    for name in names:
        stored = sandbox.object_path("bucket", prefix + name).read_bytes()
        assert stored == (shell.folder / name).read_bytes(), name


def count_operations(sandbox: Sandbox, since: int = 0) -> Counter[str]:
    """Return the number of requests per operation, without the first *since* requests."""
    return Counter(record.operation for record in sandbox.requests[since:])


def json_results(outcome: Outcome) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the output of ``--json``: the object of each file by its source, and that of the batch."""
    *files, batch = [json.loads(line) for line in outcome.out.splitlines()]
    by_source = {one["source"]: one for one in files}
    assert len(by_source) == len(files)
    return by_source, batch


def wait_for_requests(sandbox: Sandbox, operation: str, count: int) -> None:
    """Return once *count* requests of *operation* have succeeded."""
    wait_for(
        lambda: sum(r.operation == operation and r.status == 200 for r in list(sandbox.requests)) >= count
    )
