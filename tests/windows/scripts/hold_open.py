"""Have a file open that no other program may open, until a line on stdin: hold_open.py PATH."""

import ctypes
import sys

GENERIC_READ, NO_SHARING, OPEN_EXISTING = 0x80000000, 0, 3

handle = ctypes.windll.kernel32.CreateFileW(  # type: ignore[attr-defined, unused-ignore]
    sys.argv[1], GENERIC_READ, NO_SHARING, None, OPEN_EXISTING, 0, None
)
assert handle not in (-1, 0)
print("open", flush=True)
sys.stdin.readline()
