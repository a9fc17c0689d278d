"""The command whose output is the source: it runs without a shell, and its exit code decides about the upload."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from obsup.errors import CommandFailed, NextStep, run_again
from obsup.local.source.stream import Descriptor
from obsup.text import quoted

# How long a command may run after SIGTERM before it is killed.
GRACE_S = 5.0
POLL_S = 0.02


def command_digest(command: Sequence[str]) -> str:
    """Return 16 hex digits that identify *command*, whose words may be secret."""
    plain = b"\0".join(os.fsencode(word) for word in command)
    return hashlib.sha256(plain).hexdigest()[:16]


class CommandSource:
    """Runs *command* and reads its output; standard input and standard error are those of obsup.

    If obsup has a terminal, the command is in the same process group: it can ask for a password, and Ctrl-C reaches
    both. Otherwise it leads a new process group, so that signals reach its children too. After a signal it has
    *grace_s* seconds to end.
    """

    def __init__(self, command: Sequence[str], *, grace_s: float = GRACE_S) -> None:
        self.name = f"the output of {quoted(Path(command[0]).name)}"
        self._command = list(command)
        self._grace_s = grace_s
        self._has_group = not _has_terminal()
        self._is_signalled = False
        self._process: subprocess.Popen[bytes] | None = None
        self._output: Descriptor | None = None

    def start(self) -> None:
        """Run the command. Raises CommandFailed if it cannot be run."""
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
                (exc.strerror if isinstance(exc, OSError) else None) or str(exc).capitalize(),
                NextStep("check the command after --"),
            ) from exc
        assert self._process.stdout is not None
        self._output = Descriptor(self._process.stdout.fileno(), self.name, on_idle=self._check)

    def readinto(self, view: memoryview, /) -> int:
        """Read the output of the command.

        Raises LocalFailure, and CommandFailed if the command failed while a child of it keeps the pipe open.
        """
        assert self._output is not None
        return self._output.readinto(view)

    def is_finished(self, timeout_s: float, /) -> bool:
        """Return whether the command ended with success; wait up to *timeout_s* for it. Raises CommandFailed."""
        if not self._ends_within(timeout_s):
            return False
        self._check()
        return True

    def signal(self, number: int) -> None:
        """Forward a signal to the command and its children, unless the terminal already sent it to them."""
        if self._process is None or self._process.returncode is not None:
            return
        self._is_signalled = True
        with contextlib.suppress(ProcessLookupError):
            if self._has_group:
                os.killpg(self._process.pid, number)
            elif number != signal.SIGINT:
                os.kill(self._process.pid, number)

    def cancel(self) -> None:
        """Make a blocked read return."""
        if self._output is not None:
            self._output.cancel()

    def close(self) -> None:
        """End the command if it still runs, and the children of one that failed."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._exit_code() != 0 and not self._is_signalled:
            self.signal(signal.SIGTERM)
        try:
            self._ends_within(self._grace_s)
        finally:
            if self._is_signalled:  # even if it ended: a child of it may have ignored the signal
                self.signal(signal.SIGKILL)
            self._process.wait()

    def _ends_within(self, timeout_s: float) -> bool:
        end_s = time.monotonic() + timeout_s
        while self._exit_code() is None:
            if time.monotonic() >= end_s:
                return False
            time.sleep(POLL_S)
        return True

    def _exit_code(self) -> int | None:
        """Return the exit code, or None while the command runs.

        This does not reap the process: until it is reaped, its number and that of its group cannot be reused.
        """
        assert self._process is not None
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll()
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            return None
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    def _check(self) -> None:
        """Raise CommandFailed if the command failed."""
        code = self._exit_code()
        if not code:
            return
        program = quoted(self._command[0])
        how = f"exited with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
        raise CommandFailed(
            f"{program} {how}",
            "Its output may be incomplete, so nothing was published",
            run_again(f"fix the error that {program} printed"),
        )


def _has_terminal() -> bool:
    """Return whether this process is in the foreground of a terminal, so that the command can use it."""
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
