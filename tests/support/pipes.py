"""Run bash scripts in which ``obsup`` is a command."""

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
    """Runs scripts in the shell's folder. ``bin`` is first on their PATH and has stand-ins for other programs."""

    shell: Shell
    bin: Path

    @classmethod
    def with_folder(cls, shell: Shell, folder: Path) -> Bash:
        """Return a Bash whose ``bin`` is *folder*, with an ``obsup`` in it."""
        folder.mkdir()
        bash = cls(shell, folder)
        bash.stand_in("obsup", f'exec {sys.executable} -m obsup "$@"')
        return bash

    def stand_in(self, name: str, script: str) -> None:
        """Create a program *name* on the PATH that runs *script*."""
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
