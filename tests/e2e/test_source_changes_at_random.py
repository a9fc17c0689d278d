"""A source that changes in many ways at any instant of its upload: the object is one version of it, or there is none.

If the command does not exit 0, nothing is lost: --on-change resend finishes the upload and sends no right part again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import mostly_slow
from tests.support.source_changes import CHANGES, Change, ChangingSource, forbid
from tests.support.survival import compare_runs
from tests.support.upload_runs import CHANGED_KINDS, SEED, Process, UploadKind, UploadRun

RUNS = 2
"""Of each change, for each kind of upload."""

by_kind = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in CHANGED_KINDS])


def change_during_upload(run: UploadRun, change: Change) -> None:
    """Upload a source that changes at a random instant, then settle it and finish."""
    source = ChangingSource(run)
    if change.prepare is not None:
        change.prepare(source)
    if run.rng.random() < 0.7:  # parts wait for their retries
        run.sandbox.add_fault(f"error=500:InternalError,op=part,part=2-7,times=4,key={run.big_key}")
    count = run.rng.choice([0, 0, *range(1, 9)])
    print(f"{change.name}, after {count} requests")
    with run.started(*change.options, restricted=change.act is forbid) as process:
        wait_until_read(run, process)
        run.wait_for_request(count, process)
        time.sleep(run.rng.uniform(0, 0.15))
        change.act(source)
        outcome = process.outcome()
    print(outcome.err)
    assert outcome.code in {0, *change.codes}
    assert run.has_object(run.big_key) == (outcome.code == 0)
    if outcome.code == 0:
        check_object(run, source)
    source.settle()
    if outcome.code != 0:
        finish(run, change)
    assert run.right_objects() >= set(run.sources) - {run.big_key}


def check_object(run: UploadRun, source: ChangingSource) -> None:
    """Assert that the object is one version of the source with the options asked for, and that nothing is left."""
    assert source.is_version(run.sandbox.object_path("bucket", run.big_key).read_bytes())
    assert run.has_options(run.big_key)
    assert run.open_ids() == []


def finish(run: UploadRun, change: Change) -> None:
    """Run the command with --on-change resend; the object is the source as it is now."""
    parts, since = run.right_parts(), len(run.requests())
    outcome = run.run(*change.options, "--on-change", "resend")
    print(outcome.err)
    assert outcome.code == 0
    run.assert_finished(since, parts, set())


def wait_until_read(run: UploadRun, process: Process) -> None:
    """Return when the process has opened the source, or has sent a request, or has ended."""
    descriptors, source = Path(f"/proc/{process.popen.pid}/fd"), run.source.resolve()

    def opened() -> Iterator[Path]:
        for descriptor in descriptors.iterdir():
            try:
                yield descriptor.readlink()
            except FileNotFoundError:
                continue

    while process.is_running and not run.requests() and source not in opened():
        time.sleep(0.001)


def prepare_store(sandbox: Sandbox) -> None:
    """Make the store slow, so that the source changes while it is read."""
    sandbox.add_fault("slow=1M,op=part")
    sandbox.add_fault("slow=20M,op=put,key=*")


@pytest.mark.parametrize("kind", mostly_slow(CHANGED_KINDS, CHANGED_KINDS[0]), ids=lambda kind: kind.name)
def test_a_change_at_some_instant(kind: UploadKind, sandbox: Sandbox, tmp_path: Path) -> None:
    """One way; all of them in the slow lane."""
    prepare_store(sandbox)
    run = UploadRun.create(kind, sandbox, tmp_path, 0)
    change_during_upload(run, CHANGES[(SEED + CHANGED_KINDS.index(kind)) % len(CHANGES)])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@by_kind
def test_changes_at_many_instants(kind: UploadKind, sandbox: Sandbox, tmp_path: Path) -> None:
    """Every way, several times."""
    prepare_store(sandbox)
    done: Counter[str] = Counter()
    for number, change in enumerate(CHANGES * RUNS):
        change_during_upload(UploadRun.create(kind, sandbox, tmp_path, number), change)
        done[change.name] += 1
    compare_runs(kind.name, done)
