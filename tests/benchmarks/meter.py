"""Run a command and write its cost to a file: meter.py FILE COMMAND…

This is a separate, small program because Linux includes the memory before exec in the peak memory of a process.
"""

import os
import sys
import time

started = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
wall_s = time.monotonic() - started
with open(sys.argv[1], "w") as file:  # noqa: PTH123 - pathlib alone would double this program
    file.write(
        f"{os.waitstatus_to_exitcode(status)} {usage.ru_utime + usage.ru_stime} {wall_s} {usage.ru_maxrss}"
    )
