"""The command whose output is the source: it runs without a shell, and its exit code decides about the upload."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from obsup.errors import LIMIT_REACHED, CommandFailed, LocalFailure, NextStep, run_again
from obsup.local.platform.processes import ChildProcess
from obsup.local.platform.signals import KILL, TERMINATE
from obsup.local.source.stream import PIPE_BYTES, Descriptor
from obsup.text import quoted

# How long a command may run after SIGTERM before it is killed.
GRACE_S = 5.0
POLL_S = 0.02
# What fork(2) fails with if the user, or the container, has too many processes, or no memory.
_LIMITED = (errno.EAGAIN, errno.ENOMEM)


def command_digest(command: Sequence[str]) -> str:
    """Return 16 hex digits that identify *command*, whose words may be secret."""
    plain = b"\0".join(os.fsencode(word) for word in command)
    return hashlib.sha256(plain).hexdigest()[:16]


class CommandSource:
    """Runs *command* as a ``ChildProcess`` and reads its output. After a signal it has *grace_s* seconds to end."""

    def __init__(self, command: Sequence[str], *, grace_s: float = GRACE_S) -> None:
        self.name = f"the output of {quoted(Path(command[0]).name)}"
        self._command = list(command)
        self._grace_s = grace_s
        self._is_signalled = False
        self._child: ChildProcess | None = None
        self._output: Descriptor | None = None

    def start(self) -> None:
        """Run the command. Raises CommandFailed if it cannot be run."""
        try:
            self._child = ChildProcess(self._command, PIPE_BYTES)
        except (OSError, ValueError) as exc:
            what = f"{quoted(self._command[0])} cannot be run"
            if isinstance(exc, OSError) and exc.errno in _LIMITED:
                raise LocalFailure(what, LIMIT_REACHED, run_again("raise the limit")) from exc
            raise CommandFailed(
                what,
                (exc.strerror if isinstance(exc, OSError) else None) or str(exc).capitalize(),
                NextStep("check the command after --"),
            ) from exc
        self._output = Descriptor(self._child.output, self.name, on_idle=self._check)

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
        if self._child is not None and self._child.process.returncode is None:
            self._is_signalled = True
            self._child.forward(number)

    def cancel(self) -> None:
        """Make a blocked read return."""
        if self._output is not None:
            self._output.cancel()

    def close(self) -> None:
        """End the command if it still runs, and the children of one that failed."""
        if self._child is None:
            return
        self._child.close_output()
        if self._child.exit_code() != 0 and not self._is_signalled:
            self.signal(TERMINATE)
        try:
            self._ends_within(self._grace_s)
        finally:
            if self._is_signalled:  # even if it ended: a child of it may have ignored the signal
                self.signal(KILL)
            self._child.process.wait()

    def _ends_within(self, timeout_s: float) -> bool:
        assert self._child is not None
        end_s = time.monotonic() + timeout_s
        while self._child.exit_code() is None:
            if time.monotonic() >= end_s:
                return False
            time.sleep(POLL_S)
        return True

    def _check(self) -> None:
        """Raise CommandFailed if the command failed."""
        assert self._child is not None
        code = self._child.exit_code()
        if not code:
            return
        program = quoted(self._command[0])
        raise CommandFailed(
            f"{program} {self._child.ended_how(code)}",
            "Its output may be incomplete, so nothing was published",
            run_again(f"fix the error that {program} printed"),
        )
