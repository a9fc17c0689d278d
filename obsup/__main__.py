"""The entry point of the console script and of ``python -m obsup``."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    # Start-up creates 100,000 objects that stay alive: collecting garbage among them takes 7 % of the time of a small
    # upload.
    gc.set_threshold(150_000)
    if getattr(sys, "frozen", False) and sys.argv[1:] == ["--worker-process"]:
        # One executable (PyInstaller) has no other interpreter: its worker processes start here as well.
        from obsup.local.processes.worker import serve_calls

        serve_calls()
    from obsup.local.processes.interpreter import import_path

    sys.path[:] = import_path()  # python -m searches the current directory first
    from obsup.cli.main import main as run  # importing creates them

    run()


if __name__ == "__main__":
    main()
