"""What the console script begins, and ``python -m obsup`` as well."""

from __future__ import annotations

import gc
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    # Starting makes a hundred thousand objects that stay: to look through them for garbage again and again is a
    # twentieth of the time that a small upload takes.
    gc.set_threshold(50_000)
    from obsup.cli.main import main as run  # it is loading that makes them

    run()


# A worker process imports the module that began its driver, and must not begin another.
if __name__ == "__main__":
    main()
