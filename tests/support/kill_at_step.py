"""Run obsup and kill it before its N-th step on disk: ``python tests/support/kill_at_step.py N ARGUMENTS…``.

A step is an operation on one of obsup's own files: checkpoint, lock, record of started uploads. With N = 0 it is
not killed and prints the number of steps on stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

STEPS = frozenset({"open", "tempfile.mkstemp", "os.rename", "os.remove", "os.mkdir", "os.truncate"})


class StepCounter:
    """An audit hook that counts steps in *folders*, except for the file *ignored*, and kills before the *nth*."""

    def __init__(self, nth: int, folders: tuple[str, ...], ignored: str) -> None:
        self._nth = nth
        self._folders = folders
        self._ignored = ignored
        self.count = 0

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        """Handle an audit event."""
        if event not in STEPS or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100 - pathlib would audit too
        if path.startswith(self._folders) and path != self._ignored:
            self.count += 1
            if self.count == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Install the hook and run obsup."""
    nth, arguments = int(sys.argv[1]), sys.argv[2:]
    from obsup.cli import main as command
    from obsup.local.state.folders import state_folder

    source = Path(arguments[1]).absolute()
    counter = StepCounter(nth, (str(source.parent), str(state_folder())), str(source))
    sys.argv = ["obsup", *arguments]
    sys.addaudithook(counter)
    exit_process = os._exit

    def report_and_exit(code: int) -> None:
        print(f"steps: {counter.count}", file=sys.stderr, flush=True)
        exit_process(code)

    os._exit = report_and_exit  # type: ignore[assignment]
    command.main()


if __name__ == "__main__":
    main()
