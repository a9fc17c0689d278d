"""Kill an upload with SIGKILL at any moment and rerun it: the object is right, no part is sent twice, no orphan.

OBSUP_TEST_SEED selects the moments; it is printed with every failure.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.fault_matrix import KILLS
from tests.support.shell import Shell

KILLER = Path(__file__).parents[1] / "support" / "kill_at_step.py"
PARTS = 8
SEED = int(os.environ.get("OBSUP_TEST_SEED", random.SystemRandom().randrange(10**6)))


@dataclass
class Victim:
    """One upload whose process is killed and which the same command then completes."""

    shell: Shell
    sandbox: Sandbox
    key: str
    kills: int = 0
    stored: set[int] = field(default_factory=set)

    @property
    def arguments(self) -> list[str]:
        """The arguments of the command."""
        return ["upload", "bigfile", f"bucket/{self.key}", "--part-size", "100K", "-j", "2"]

    def start(self, step: int) -> subprocess.Popen[str]:
        """Start the command; it is killed at step number *step*."""
        return subprocess.Popen(
            [sys.executable, str(KILLER), str(step), *self.arguments],
            cwd=self.shell.folder,
            env={**os.environ, **self.shell.environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_to_step(self, step: int) -> bool:
        """Run until step number *step*; return whether the process was killed: a run may need fewer steps."""
        with self.start(step) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL or count_in(err) < step, err
        self._note(process)
        return process.returncode != 0

    def run_for(self, seconds: float) -> None:
        """Run until *seconds* after the first request."""
        before = len(self.sandbox.requests)
        with self.start(1_000_000) as process:
            while len(self.sandbox.requests) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(seconds)
            process.kill()
            process.communicate(timeout=60)
        self._note(process)

    def _note(self, process: subprocess.Popen[str]) -> None:
        self.kills += process.returncode != 0
        open_uploads = [upload for upload in self.sandbox.uploads() if upload.key == self.key]
        assert len(open_uploads) <= 1
        self.stored |= {number for upload in open_uploads for number in upload.parts}
        if self.sandbox.object_path("bucket", self.key).exists():
            self.stored = set(range(1, PARTS + 1))

    @property
    def is_done(self) -> bool:
        """Whether the upload is complete and unrecorded: the same command would start a new one."""
        has_object = self.sandbox.object_path("bucket", self.key).exists()
        return has_object and not list(self.shell.folder.glob("*.obsup.json"))

    def finish(self) -> None:
        """Run the same command to its end; assert that it sends only missing parts and leaves no orphan."""
        source = self.shell.folder / "bigfile"
        if self.is_done:
            assert self.sandbox.object_path("bucket", self.key).read_bytes() == source.read_bytes()
            return
        since = len(self.sandbox.requests)
        outcome = self.shell.run(*self.arguments, "-v")
        assert outcome.code == 0, outcome.err
        mine = [record for record in self.sandbox.requests if record.key == self.key]
        resent = {
            r.part_number
            for r in self.sandbox.requests[since:]
            if r.operation == "part" and r.key == self.key
        }
        assert not resent & self.stored, outcome.err
        # At most the parts in flight were sent twice: two per kill.
        sent = [r for r in mine if r.operation == "part" and r.status == 200]
        assert len(sent) <= PARTS + 2 * self.kills
        assert [r.operation for r in mine].count("initiate") == 1
        assert not [upload for upload in self.sandbox.uploads() if upload.key == self.key]
        assert self.sandbox.object_path("bucket", self.key).read_bytes() == source.read_bytes()
        assert [path.name for path in self.shell.folder.iterdir()] == ["bigfile"]


@pytest.fixture
def victim(shell: Shell, sandbox: Sandbox, make_file: Callable[..., Path]) -> Callable[[str], Victim]:
    """Return a function that creates an upload with its own key."""
    make_file((PARTS - 1) * 102_400 + 50_000)
    return lambda key: Victim(shell, sandbox, key)


def count_steps(victim: Victim) -> int:
    """Run without a kill and return the number of steps."""
    with victim.start(0) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return count_in(err)


def count_in(err: str) -> int:
    """Return the number of steps that a run which was not killed printed last."""
    return int(err.rpartition("steps: ")[2])


def kill_at_steps(make: Callable[[str], Victim], steps: list[int]) -> int:
    """Kill one upload at each of *steps*, some also during the rerun; return the number of killed processes."""
    kills = 0
    for step in steps:
        victim = make(f"step-{step}")
        if victim.run_to_step(step) and step % 3 == 0 and not victim.is_done:
            victim.run_to_step(step // 2 + 1)  # kill the rerun, too
        victim.finish()
        kills += victim.kills
    return kills


def kill_at_instants(make: Callable[[str], Victim], instants: list[float]) -> int:
    """Kill one upload per instant, in seconds after its first request; return the number of killed processes."""
    kills = 0
    for number, seconds in enumerate(instants):
        victim = make(f"instant-{number}")
        victim.sandbox.add_fault("slow=150000,op=part,times=always")
        victim.run_for(seconds)
        victim.sandbox.clear_faults()
        victim.finish()
        kills += victim.kills
    return kills


def test_killed_at_some_points(victim: Callable[[str], Victim]) -> None:
    """A dozen points; two hundred in the slow lane. Writes of the checkpoint are merged, so the last steps vary."""
    print(f"OBSUP_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    steps = count_steps(victim("whole"))
    assert steps >= 20
    points = [*rng.sample(range(1, 11), 4), *rng.sample(range(11, steps + 1), 3)]
    assert kill_at_steps(victim, points) >= 4
    assert kill_at_instants(victim, [rng.uniform(0, 1.2) for _ in range(5)]) >= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_two_hundred_points(victim: Callable[[str], Victim]) -> None:
    """Each step on disk, then random moments until two hundred processes were killed."""
    print(f"OBSUP_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    steps = count_steps(victim("whole"))
    kills = kill_at_steps(victim, list(range(1, steps + 1)))
    assert kills >= 20
    round_number = 0
    while kills < KILLS:
        instants = [rng.uniform(0, 1.2) for _ in range(20)]
        kills += kill_at_instants(lambda key, n=round_number: victim(f"{key}-{n}"), instants)  # type: ignore[misc]
        round_number += 1
    print(f"killed {kills} times, {steps} of them at steps on disk")
