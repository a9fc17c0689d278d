"""Run obsup in this process, which gets SIGBREAK after a line on stdin: ctrl_break.py ARGUMENTS.

That is what the C library makes of Ctrl-Break, and of the end of a console or a session. Wine cannot press Ctrl-Break.
"""

import signal
import sys
import threading

from obsup.__main__ import main


def press() -> None:
    """Wait for a line, and raise the signal."""
    sys.stdin.readline()
    signal.raise_signal(signal.SIGBREAK)  # type: ignore[attr-defined, unused-ignore]


threading.Thread(target=press, daemon=True).start()
main()
