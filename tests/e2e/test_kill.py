"""Kill uploads of every kind with SIGKILL at any instant and run the same command again.

The objects are right, nothing is sent twice except what was in flight, and neither an upload nor a process is left.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import mostly_slow
from tests.support.survival import KILL, compare_runs
from tests.support.upload_runs import (
    JOBS,
    KILLED_KINDS,
    RESEND,
    Process,
    UploadKind,
    UploadRun,
    processes_with,
)
from tests.support.waiting import wait_for

KILLS = 50
"""For each kind of upload."""
STEPS, REQUESTS = 25, 9
"""Of an upload in the plain lane; the slow lane counts them."""

by_kind = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KILLED_KINDS])


class Victims:
    """Runs of one kind whose processes are killed at one of their *steps* on disk, or after one of their *requests*."""

    def __init__(
        self,
        kind: UploadKind,
        sandbox: Sandbox,
        folder: Path,
        *,
        steps: int = STEPS,
        requests: int = REQUESTS,
    ) -> None:
        self._kind = kind
        self._sandbox = sandbox
        self._folder = folder
        self._steps = steps
        self._requests = requests
        for rule in (
            "slow=1M,op=part",
            "delay=0.01,op=put",
            "delay=0.02,op=initiate",
            "delay=0.02,op=complete",
        ):
            sandbox.add_fault(f"{rule},times=always")

    def count(self) -> None:
        """Count the steps and requests of a run that is not killed."""
        run = self._create(0)
        with run.started(step=0) as process:
            outcome = process.outcome()
        assert outcome.code == 0, outcome.err
        self._steps, self._requests = int(outcome.err.rpartition("steps: ")[2]), len(run.requests())
        assert self._steps >= STEPS - 5

    def kill(self, number: int, most: int) -> int:
        """Kill run *number* once or twice, at *most* so often, and complete it; return the number of kills."""
        run = self._create(number)
        for _ in range(min(run.rng.choice([1, 1, 2]), most)):
            if not is_done(run):
                self._kill_once(run, by_step=bool(number % 2))
        if not is_done(run):
            complete(run)
        wait_for(lambda: not processes_with(run.folder))
        return run.kills

    def _create(self, number: int) -> UploadRun:
        return UploadRun.create(self._kind, self._sandbox, self._folder, number)

    def _kill_once(self, run: UploadRun, *, by_step: bool) -> None:
        rng = run.rng
        step = rng.randint(1, self._steps) if by_step else None
        count = len(run.requests()) + rng.randint(1, self._requests)
        with run.started(step=step) as process:
            if run.kind is RESEND and not run.kills:
                change_when_requested(run, rng.randint(1, self._requests), process)
            if not by_step:
                run.wait_for_request(count, process)
                time.sleep(rng.uniform(0, 0.05))
                process.popen.kill()
            code = process.popen.wait(timeout=60)
        assert code in (0, -9), process.messages.read_text()
        run.kills += code != 0


def change_when_requested(run: UploadRun, count: int, process: Process) -> None:
    """Change some bytes of the source after *count* requests."""
    run.wait_for_request(count, process)
    with run.source.open("r+b") as file:
        file.seek(run.rng.randrange(run.kind.size - 100))
        file.write(run.rng.randbytes(100))


def is_done(run: UploadRun) -> bool:
    """Return whether the upload is complete and no longer recorded: the same command would start a new one.

    A batch keeps a journal: the same command sends nothing again.
    """
    recorded = [
        *run.folder.rglob("*.obsup.json"),
        *run.folder.glob("work/state.json"),
        *run.folder.glob("state/checkpoints/*"),
    ]
    return not run.kind.is_batch and run.has_object(run.big_key) and not recorded


def complete(run: UploadRun) -> None:
    """Run the same command to its end."""
    parts, objects, since = run.right_parts(), run.right_objects(), len(run.requests())
    was_published = run.kind is RESEND and run.has_object(run.big_key)
    outcome = run.run()
    assert outcome.code == 0, outcome.err
    run.assert_finished(since, parts, objects, was_published=was_published)
    if run.kind is not RESEND:
        again = sum(count - 1 for count in run.sent().values())
        assert again <= JOBS * run.kills


def kill_processes(victims: Victims, kills: int) -> int:
    """Kill *kills* processes, and return how many were killed."""
    killed = number = 0
    while killed < kills:
        number += 1
        killed += victims.kill(number, kills - killed)
    return killed


@pytest.mark.parametrize("kind", mostly_slow(KILLED_KINDS, *KILLED_KINDS[:2]), ids=lambda kind: kind.name)
def test_killed_at_some_instant(kind: UploadKind, sandbox: Sandbox, tmp_path: Path) -> None:
    """Once; fifty times in the slow lane."""
    kill_processes(Victims(kind, sandbox, tmp_path), 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@by_kind
def test_killed_at_many_instants(kind: UploadKind, sandbox: Sandbox, tmp_path: Path) -> None:
    """At steps on disk, and after any request."""
    victims = Victims(kind, sandbox, tmp_path)
    victims.count()
    compare_runs(kind.name, {KILL: kill_processes(victims, KILLS)})
