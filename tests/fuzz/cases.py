"""Cases of the fuzzing lane: how their number is chosen, how a command runs, and what must be true of every outcome.

OBSUP_TEST_SEED selects the cases, as in tests/support/upload_runs.py. A failure prints it with the number of the case;
with OBSUP_TEST_CASE=NUMBER, its test runs this case alone.
"""

from __future__ import annotations

import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from obsup.cli import main
from obsup.exit_status import BUG, EXIT_STATUSES
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome
from tests.support.upload_runs import SEED

ONLY_CASE = os.environ.get("OBSUP_TEST_CASE")
SIGNALS = {129, 130, 143}  # only the watchdog sends one
CODES = {int(code) for row in EXIT_STATUSES for code in row.codes.split(", ")} - {BUG} - SIGNALS
HANG_S = 60.0
# A case may take this long beyond the times that its options allow: the machine may be busy with something else.
SLACK_S = 25.0
BLOCK = 100_000  # the numbers of the cases of one block begin at a multiple of this


def blocks(count: int) -> list[int]:
    """Return the numbers of the blocks of a test, or the block of the only case to run."""
    return list(range(count)) if ONLY_CASE is None else [int(ONLY_CASE) // BLOCK]


def numbers(block: int, count: int) -> Iterator[int]:
    """Yield the numbers of the cases of *block*, or the only case to run."""
    yield from (range(block * BLOCK, block * BLOCK + count) if ONLY_CASE is None else (int(ONLY_CASE),))


class CaseFailed(Exception):
    """What must be true was not, with everything that is needed to repeat the case."""


@dataclass
class Failures:
    """The failures of a block of cases: the first ones are printed together."""

    texts: list[str] = field(default_factory=list)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Note a failure, so that the next case runs."""
        try:
            yield
        except CaseFailed as exc:
            self.texts.append(str(exc))

    def report(self) -> None:
        """Fail if a case failed."""
        if self.texts:
            listed = "\n----\n".join(self.texts[:5])
            pytest.fail(f"{len(self.texts)} cases failed:\n{listed}", pytrace=False)


@dataclass
class Case:
    """One case: its own random numbers, files, bucket and state; *what* it does is printed if it fails."""

    test: str
    number: int
    folder: Path
    sandbox: Sandbox
    monkeypatch: pytest.MonkeyPatch
    what: str = ""
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{SEED} {self.test} {self.number}")
        self.bucket = f"bucket-{self.number}"
        self.first_request = len(self.sandbox.requests)
        self.folder.mkdir()
        self.monkeypatch.chdir(self.folder)
        self.monkeypatch.setenv("OBSUP_STATE_DIR", str(self.folder / "state"))
        self.monkeypatch.setenv("OBSUP_ENDPOINT", self.sandbox.endpoint)
        self.monkeypatch.setenv("OBSUP_REGION", "here")
        self.monkeypatch.setenv("AccessKeyID", self.sandbox.access_key)
        self.monkeypatch.setenv("SecretAccessKey", self.sandbox.secret_key)

    def run(self, *arguments: str, allowed_s: float = 10.0) -> Outcome:
        """Run a command in this process and check what must be true of every command. It may take *allowed_s*."""
        began = time.monotonic()
        self.outcome = run_command(arguments)
        self.what += f"\n  obsup {' '.join(map(repr, arguments))}\n  -> {self.outcome.code}"
        text = self.outcome.out + self.outcome.err
        self.require(self.outcome.code in CODES, "an undocumented exit code")
        self.require("Traceback" not in text and "a bug in obsup" not in text, "a traceback")
        self.require(time.monotonic() - began < allowed_s + SLACK_S, f"it took longer than {allowed_s} s")
        return self.outcome

    def require(self, condition: bool, otherwise: str) -> None:
        """Fail with the message *otherwise* and everything that is needed to repeat the case."""
        if not condition:
            printed = f"{self.outcome.out[-3000:]}\n{self.outcome.err[-6000:]}" if self.outcome else ""
            raise CaseFailed(
                f"{otherwise}\nOBSUP_TEST_SEED={SEED} OBSUP_TEST_CASE={self.number}\n{self.what}\n{printed}"
            )

    def is_stored(self, key: str, content: bytes) -> bool:
        """Return whether the object *key* has this content."""
        path = self.sandbox.object_path(self.bucket, key)
        return path.is_file() and path.read_bytes() == content

    def require_stored(self, key: str, content: bytes) -> None:
        """Fail if the last command succeeded and the object is not *content*."""
        assert self.outcome is not None
        if self.outcome.code == 0:
            self.require(self.is_stored(key, content), f"exit 0, but the object {key} is not the source")

    def require_kept(self) -> None:
        """Fail if an upload with parts was aborted or an object deleted."""
        requests = self.sandbox.requests[self.first_request :]
        # The upload that tries out the encryption of the store has a part of one byte.
        parts = [one for one in requests if one.operation == "part" and one.status == 200]
        with_parts = {one.upload_id for one in parts if one.received > 1}
        destroyed = [
            one
            for one in requests
            if one.operation == "delete" or (one.operation == "abort" and one.upload_id in with_parts)
        ]
        self.require(not destroyed, f"the command sent {destroyed}")


class _Watchdog:
    """Sends SIGINT to a command that does not end, which then exits with a code that no case may have."""

    def __enter__(self) -> None:
        self._timer = threading.Timer(HANG_S, os.kill, (os.getpid(), signal.SIGINT))
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def run_command(arguments: Sequence[str]) -> Outcome:
    """Run ``obsup ARGUMENTS`` in this process, as the console script does."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    before = sys.argv
    # The name of the program is not used, except that -v in sys.argv prints the traceback of a bug.
    sys.argv = ["-v", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err), _Watchdog():
            code = main._run()
    finally:
        sys.argv = before
    for stream in (out, err):
        stream.flush()
    return Outcome(code, *(stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)))
