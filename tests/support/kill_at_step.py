"""Runs obsup and kills it at its N-th step on disk: ``python tests/support/kill_at_step.py N WORDS…``.

A step is what obsup does to a file of its own: checkpoint, lock, memory of its uploads; it is killed before it
does it. With N = 0 it is not killed, and says on stderr how many steps it took.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

STEPS = frozenset({"open", "tempfile.mkstemp", "os.rename", "os.remove", "os.mkdir", "os.truncate"})


class RequestEvents:
    """An audit hook that counts steps under *folders*, but for the file *spared*, and kills at the *nth*."""

    def __init__(self, nth: int, folders: tuple[str, ...], spared: str) -> None:
        self._nth = nth
        self._folders = folders
        self._spared = spared
        self.count = 0

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        """Hear an audit event."""
        if event not in STEPS or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100 - pathlib would audit too
        if path.startswith(self._folders) and path != self._spared:
            self.count += 1
            if self.count == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Watch, and be obsup."""
    nth, words = int(sys.argv[1]), sys.argv[2:]
    from obsup.cli import main as command
    from obsup.local.state.folders import state_folder

    source = Path(words[1]).absolute()
    watch = RequestEvents(nth, (str(source.parent), str(state_folder())), str(source))
    sys.argv = ["obsup", *words]
    sys.addaudithook(watch)
    leave = os._exit

    def tell(code: int) -> None:
        print(f"steps: {watch.count}", file=sys.stderr, flush=True)
        leave(code)

    os._exit = tell  # type: ignore[assignment]
    command.main()


if __name__ == "__main__":
    main()
