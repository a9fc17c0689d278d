"""The entry point of the console script and of ``python -m obsup``."""

from __future__ import annotations

import gc
import os
import sys

from obsup.version import __version__

TYPE_CHECKING = False  # type checkers take it for that of typing, which takes long to load
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    # Start-up creates 100,000 objects that stay alive: collecting garbage among them takes 7 % of the time of a small
    # upload.
    gc.set_threshold(150_000)
    if sys.argv[1:] in (["--version"], ["-V"]) and _print_version():
        sys.exit()
    if getattr(sys, "frozen", False) and sys.argv[1:] == ["--worker-process"]:
        # One executable (PyInstaller) has no other interpreter: its worker processes start here as well.
        from obsup.local.processes.worker import serve_calls

        serve_calls()
    from obsup.local.processes.interpreter import import_path

    sys.path[:] = import_path()  # python -m searches the current directory first
    import signal  # --version does without it

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)  # until the command line handles it
    if "_OBSUP_COMPLETE" in os.environ:
        from obsup.cli.completion.shells import complete

        complete(os.environ)
    from obsup.cli.main import main as run  # importing creates them

    run()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


def _print_version() -> bool:
    """Print the version as Click would, which takes long to load. Return False if Click must report a failure."""
    try:
        print(f"obsup {__version__}", flush=True)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
