"""The command whose output is the source: run here, without a shell, and its exit code decides."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from obsup.errors import CommandFailed
from obsup.local.source.stream import Descriptor
from obsup.text import quoted

# How long a command that is told to end may take to do so, in seconds.
GRACE_S = 5.0
# How often to look whether it has ended, in seconds.
LOOK_EVERY_S = 0.02


def command_digest(command: Sequence[str]) -> str:
    """Return 16 hex digits that stand for *command*, whose words may hold what no file should."""
    plain = b"\0".join(os.fsencode(word) for word in command)
    return hashlib.sha256(plain).hexdigest()[:16]


class CommandSource:
    """Runs *command* and reads what it writes; its own standard input and error are ours.

    Where obsup has the terminal, the command shares it: it may ask for a password, and Ctrl-C reaches both.
    Elsewhere it leads a process group of its own, so that signals reach its children too. Told to end, it has
    *grace_s* seconds.
    """

    def __init__(self, command: Sequence[str], *, grace_s: float = GRACE_S) -> None:
        self.name = f"the output of {quoted(Path(command[0]).name)}"
        self._command = list(command)
        self._grace_s = grace_s
        self._has_group = not _has_terminal()
        self._is_told = False
        self._process: subprocess.Popen[bytes] | None = None
        self._output: Descriptor | None = None

    def start(self) -> None:
        """Run the command. Raises CommandFailed where it cannot be run."""
        try:
            self._process = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                bufsize=0,
                process_group=0 if self._has_group else None,
            )
        except (OSError, ValueError) as exc:
            raise CommandFailed(
                f"{quoted(self._command[0])} cannot be run",
                (exc.strerror if isinstance(exc, OSError) else None) or str(exc),
                "check the command after --",
            ) from exc
        assert self._process.stdout is not None
        self._output = Descriptor(self._process.stdout.fileno(), self.name, idle=self._check)

    def readinto(self, view: memoryview, /) -> int:
        """Read what the command wrote.

        Raises LocalFailure, and CommandFailed where the command has failed and a child of it keeps the pipe open.
        """
        assert self._output is not None
        return self._output.readinto(view)

    def is_finished(self, timeout_s: float, /) -> bool:
        """Tell whether the command has ended; wait up to *timeout_s* for it. Raises CommandFailed."""
        if not self._ends_within(timeout_s):
            return False
        self._check()
        return True

    def signal(self, number: int) -> None:
        """Hand a signal on to the command and its children. The keyboard's reached them where they share it."""
        if self._process is None or self._process.returncode is not None:
            return
        self._is_told = True
        with contextlib.suppress(ProcessLookupError):
            if self._has_group:
                os.killpg(self._process.pid, number)
            elif number != signal.SIGINT:
                os.kill(self._process.pid, number)

    def cancel(self) -> None:
        """Make a read that waits return."""
        if self._output is not None:
            self._output.cancel()

    def close(self) -> None:
        """End the command where it still runs, and the children of one that failed: they do not outlive obsup."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._exit_code() != 0 and not self._is_told:
            self.signal(signal.SIGTERM)
        try:
            self._ends_within(self._grace_s)
        finally:
            if self._is_told:  # also where it has ended: a child of it may have been deaf to what it was told
                self.signal(signal.SIGKILL)
            self._process.wait()

    def _ends_within(self, timeout_s: float) -> bool:
        end_s = time.monotonic() + timeout_s
        while self._exit_code() is None:
            if time.monotonic() >= end_s:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def _exit_code(self) -> int | None:
        """Return the exit code, or None while the command runs.

        The process is not reaped by this: until it is, nobody else can have its number, or its group's.
        """
        assert self._process is not None
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll()
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def _check(self) -> None:
        """Raise ProducerFailed where the command has failed."""
        code = self._exit_code()
        if not code:
            return
        word = quoted(self._command[0])
        how = f"exited with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
        raise CommandFailed(
            f"{word} {how}",
            "what it wrote may be cut off, so nothing was published",
            "see what it said above, mend that, and run the same command again",
        )


def _has_terminal() -> bool:
    """Return whether this process is the terminal's, so that a command of ours may ask something there."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
