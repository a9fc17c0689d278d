"""Start obsup, call TerminateProcess after a line on stdin, and print the exit code: terminate.py ARGUMENTS."""

import subprocess
import sys

process = subprocess.Popen([sys.executable, "-m", "obsup", *sys.argv[1:]], stdin=subprocess.DEVNULL)
sys.stdin.readline()
process.kill()
print(process.wait())
