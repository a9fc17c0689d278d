"""What the sandbox does differently under Windows: signals, the lock of its folder, and the names of files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

if sys.platform == "win32":
    import msvcrt

    # Characters that names of files cannot have; they are escaped like control characters.
    INVALID_IN_NAMES = frozenset('\\:*?"<>|')
    _DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"})
    _POLL_S = 0.05

    def possible_name(name: str) -> str:
        """Return *name* with one character escaped if no file can have it: a device, or a dot or blank at the end."""
        stem = name.partition(".")[0].rstrip(" ").upper()
        is_numbered = stem[:3] in ("COM", "LPT") and len(stem) == 4 and stem[3] in "123456789¹²³"
        if stem in _DEVICES or is_numbered:
            return f"%{ord(name[0]):02X}{name[1:]}"
        return f"{name[:-1]}%{ord(name[-1]):02X}" if name.endswith((".", " ")) else name

    def storage_folder(folder: Path) -> Path:
        r"""Return *folder* in the form, ``\\?\``, whose files can have paths of more than 260 characters."""
        whole = os.path.abspath(folder)  # noqa: PTH100
        if whole.startswith("\\\\?\\"):
            return Path(whole)
        return Path(f"\\\\?\\UNC{whole[1:]}" if whole.startswith("\\\\") else f"\\\\?\\{whole}")

    def lock_file(file: TextIO) -> bool:
        """Return whether the open file is locked now, until it is closed; do not wait."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def block_signals() -> None:
        """Do nothing: Windows calls handlers in the main thread only."""

    def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run *command* and return its exit code. Ctrl-C of the console reaches it as well. Raises OSError."""
        child = subprocess.Popen(command, env=dict(environment))
        while True:
            try:
                while child.poll() is None:
                    time.sleep(_POLL_S)
            except KeyboardInterrupt:
                continue
            return child.returncode

    def wait_for_end() -> None:
        """Return after Ctrl-C or Ctrl-Break."""
        received: list[int] = []
        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, lambda number, _frame: received.append(number))
        while not received:
            time.sleep(_POLL_S)

    def export_line(name: str, value: str) -> str:
        """Return the line that sets an environment variable in PowerShell."""
        return f"$env:{name} = '{value.replace(chr(39), 2 * chr(39))}'"

else:
    import fcntl
    import shlex

    INVALID_IN_NAMES: frozenset[str] = frozenset()
    _FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT})
    # Blocked before the first thread starts, and then waited for: see run_command.
    _HANDLED = frozenset(
        {
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGCHLD,
        }
    )

    def possible_name(name: str) -> str:
        """Return *name*: a file can have any."""
        return name

    def storage_folder(folder: Path) -> Path:
        """Return *folder*: paths can be long."""
        return folder

    def lock_file(file: TextIO) -> bool:
        """Return whether the open file is locked now, until it is closed; do not wait."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def block_signals() -> None:
        """Block the signals that run_command and wait_for_end receive; threads that start later inherit that."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)

    def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run *command*, forward signals to it, and return its exit code as a shell reports it.

        The caller has blocked the signals in all threads. Raises FileNotFoundError, PermissionError, OSError.
        """
        child = os.posix_spawnp(
            command[0],
            list(command),
            dict(environment),
            setsigmask=[],
            # Python ignores these two, and a child would inherit that.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
        while True:
            number, is_of_kernel = _next_signal()
            if number == signal.SIGCHLD:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    return 128 - code if code < 0 else code
                continue
            # A key pressed in the terminal also reached COMMAND. si_code tells kernel signals from those of kill.
            if not (number in _FROM_TERMINAL and is_of_kernel):
                os.kill(child, number)

    def _next_signal() -> tuple[int, bool]:
        """Wait for a signal; return its number, and whether the kernel sent it, for a key pressed in the terminal."""
        if sys.platform == "darwin":  # it does not say who sent the signal
            return signal.sigwait(_HANDLED), True
        received = signal.sigwaitinfo(_HANDLED)
        return received.si_signo, received.si_code > 0

    def wait_for_end() -> None:
        """Return when SIGINT, SIGTERM or SIGHUP arrives; the caller has blocked them."""
        signal.sigwait({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

    def export_line(name: str, value: str) -> str:
        """Return the line that sets an environment variable in a POSIX shell."""
        quoted = shlex.quote(value)
        return f"export {name}={quoted if quoted.startswith(chr(39)) else chr(39) + quoted + chr(39)}"
