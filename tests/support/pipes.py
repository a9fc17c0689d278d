"""Lines of bash in which ``obsup`` is a command, and what is piped into it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.shell import Outcome, Shell


@dataclass(frozen=True)
class Bash:
    """Runs scripts in the shell's folder. ``bin`` stands first on their PATH: stand-ins for other programs go there."""

    shell: Shell
    bin: Path

    @classmethod
    def beside(cls, shell: Shell, folder: Path) -> Bash:
        """Return a Bash with a ``bin`` in *folder* that holds ``obsup``."""
        folder.mkdir()
        made = cls(shell, folder)
        made.stand_in("obsup", f'exec {sys.executable} -m obsup "$@"')
        return made

    def stand_in(self, name: str, script: str) -> None:
        """Put a program called *name* on the PATH, which does what *script* says."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def begin(self, script: str, *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start *script* and return the process."""
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.shell.folder,
            env={**os.environ, **self.shell.environment, "PATH": path},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str) -> Outcome:
        """Run *script* to its end."""
        with self.begin(script) as process:
            out, err = process.communicate(timeout=self.shell.timeout_s)
        return Outcome(process.returncode, out, err)
