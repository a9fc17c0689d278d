"""kill -9 at any instant, then the same command: the right object, nothing sent twice, no orphan.

OBSUP_TEST_SEED chooses the instants; it is printed with every failure.
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
    """One upload whose process is killed, and which is then finished by the same command."""

    shell: Shell
    sandbox: Sandbox
    key: str
    deaths: int = 0
    there: set[int] = field(default_factory=set)

    @property
    def words(self) -> list[str]:
        """The command."""
        return ["upload", "bigfile", f"bucket/{self.key}", "--part-size", "100K", "-j", "2"]

    def begin(self, step: int) -> subprocess.Popen[str]:
        """Start the command, to be killed at its *step*-th step."""
        return subprocess.Popen(
            [sys.executable, str(KILLER), str(step), *self.words],
            cwd=self.shell.folder,
            env={**os.environ, **self.shell.environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def die_at(self, step: int) -> bool:
        """Run until the *step*-th step; return whether the process was killed: a run may need fewer steps."""
        with self.begin(step) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL or count_in(err) < step, err
        self._note(process)
        return process.returncode != 0

    def die_after(self, seconds: float) -> None:
        """Run until so long after the first request."""
        before = len(self.sandbox.requests)
        with self.begin(1_000_000) as process:
            while len(self.sandbox.requests) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(seconds)
            process.kill()
            process.communicate(timeout=60)
        self._note(process)

    def _note(self, process: subprocess.Popen[str]) -> None:
        self.deaths += process.returncode != 0
        open_now = [one for one in self.sandbox.uploads() if one.key == self.key]
        assert len(open_now) <= 1
        self.there |= {number for one in open_now for number in one.parts}
        if self.sandbox.object_path("bucket", self.key).exists():
            self.there = set(range(1, PARTS + 1))

    @property
    def is_done(self) -> bool:
        """Whether the upload had ended: nothing tells of it any more, and the command would begin another."""
        has_object = self.sandbox.object_path("bucket", self.key).exists()
        return has_object and not list(self.shell.folder.glob("*.obsup.json"))

    def finish(self) -> None:
        """Run the same command to its end, and assert the promise."""
        source = self.shell.folder / "bigfile"
        if self.is_done:
            assert self.sandbox.object_path("bucket", self.key).read_bytes() == source.read_bytes()
            return
        since = len(self.sandbox.requests)
        outcome = self.shell.run(*self.words, "-v")
        assert outcome.code == 0, outcome.err
        mine = [record for record in self.sandbox.requests if record.key == self.key]
        again = {
            r.part_number
            for r in self.sandbox.requests[since:]
            if r.operation == "part" and r.key == self.key
        }
        assert not again & self.there, outcome.err
        # What was in flight, two parts at a death, and no more.
        sent = [r for r in mine if r.operation == "part" and r.status == 200]
        assert len(sent) <= PARTS + 2 * self.deaths
        assert [r.operation for r in mine].count("initiate") == 1
        assert not [one for one in self.sandbox.uploads() if one.key == self.key]
        assert self.sandbox.object_path("bucket", self.key).read_bytes() == source.read_bytes()
        assert [path.name for path in self.shell.folder.iterdir()] == ["bigfile"]


@pytest.fixture
def victim(shell: Shell, sandbox: Sandbox, make_file: Callable[..., Path]) -> Callable[[str], Victim]:
    """Make victims, with a key each."""
    make_file((PARTS - 1) * 102_400 + 50_000)
    return lambda key: Victim(shell, sandbox, key)


def count_steps(victim: Victim) -> int:
    """Run undisturbed, and return how many steps that takes."""
    with victim.begin(0) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return count_in(err)


def count_in(err: str) -> int:
    """Return the number of steps that a run which was not killed printed last."""
    return int(err.rpartition("steps: ")[2])


def kill_at_steps(make: Callable[[str], Victim], steps: list[int]) -> int:
    """Kill at each of *steps*, once on the way and once on the way back; return how often that struck."""
    deaths = 0
    for step in steps:
        one = make(f"step-{step}")
        if one.die_at(step) and step % 3 == 0 and not one.is_done:
            one.die_at(step // 2 + 1)  # and its successor too
        one.finish()
        deaths += one.deaths
    return deaths


def kill_at_instants(make: Callable[[str], Victim], instants: list[float]) -> int:
    """Kill so many seconds after the first request; return how often that struck."""
    deaths = 0
    for number, seconds in enumerate(instants):
        one = make(f"instant-{number}")
        one.sandbox.add_fault("slow=150000,op=part,times=always")
        one.die_after(seconds)
        one.sandbox.clear_faults()
        one.finish()
        deaths += one.deaths
    return deaths


def test_killed_at_some_points(victim: Callable[[str], Victim]) -> None:
    """A dozen points; two hundred in the slow lane. Writes of the checkpoint are merged, so the last steps vary."""
    print(f"OBSUP_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    steps = count_steps(victim("whole"))
    assert steps >= 20
    assert (
        kill_at_steps(victim, [*chance.sample(range(1, 11), 4), *chance.sample(range(11, steps + 1), 3)]) >= 4
    )
    assert kill_at_instants(victim, [chance.uniform(0, 1.2) for _ in range(5)]) >= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_two_hundred_points(victim: Callable[[str], Victim]) -> None:
    """Each step on disk, and random instants until there are two hundred deaths."""
    print(f"OBSUP_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    steps = count_steps(victim("whole"))
    deaths = kill_at_steps(victim, list(range(1, steps + 1)))
    assert deaths >= 20
    round_number = 0
    while deaths < KILLS:
        instants = [chance.uniform(0, 1.2) for _ in range(20)]
        deaths += kill_at_instants(lambda key, n=round_number: victim(f"{key}-{n}"), instants)  # type: ignore[misc]
        round_number += 1
    print(f"killed {deaths} times, {steps} of them at steps on disk")
