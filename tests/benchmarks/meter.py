"""Run a command to its end and write what it used: meter.py FILE COMMAND…

A program of its own, and a small one: Linux counts what a process held before exec as the peak of what it became.
"""

import os
import sys
import time

begun = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
wall_s = time.monotonic() - begun
with open(sys.argv[1], "w") as file:  # noqa: PTH123 - pathlib alone would double this program
    file.write(
        f"{os.waitstatus_to_exitcode(status)} {usage.ru_utime + usage.ru_stime} {wall_s} {usage.ru_maxrss}"
    )
