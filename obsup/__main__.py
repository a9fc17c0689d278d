"""The entry point of the console script and of ``python -m obsup``."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    # Start-up creates 100,000 objects that stay alive: collecting garbage among them again and again takes 5 % of the
    # time of a small upload.
    gc.set_threshold(50_000)
    if getattr(sys, "frozen", False):
        # One executable (PyInstaller): a worker process starts here as well, and ends in this call.
        from multiprocessing import freeze_support

        freeze_support()
    from obsup.cli.main import main as run  # importing creates them

    run()


# A worker process imports this module, and must not start another driver.
if __name__ == "__main__":
    main()
