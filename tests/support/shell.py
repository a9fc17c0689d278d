"""obsup as its users run it: a process of its own, with an environment and a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from obsup.sandbox.sandbox import Sandbox


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Shell:
    """Runs ``obsup`` in *folder* with *environment* on top of this process's."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0

    @classmethod
    def against(cls, sandbox: Sandbox, folder: Path) -> Shell:
        """Return a shell whose commands talk to *sandbox*."""
        environment = {
            "OBSUP_ENDPOINT": sandbox.endpoint,
            "AccessKeyID": sandbox.access_key,
            "SecretAccessKey": sandbox.secret_key,
        }
        return cls(folder, environment)

    def begin(self, *words: str | Path, **extra: str) -> subprocess.Popen[str]:
        """Start ``obsup WORDS`` and return the process."""
        return subprocess.Popen(
            [sys.executable, "-m", "obsup", *map(str, words)],
            cwd=self.folder,
            env={**os.environ, **self.environment, **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str | Path, **extra: str) -> Outcome:
        """Run ``obsup WORDS`` to its end."""
        with self.begin(*words, **extra) as process:
            out, err = process.communicate(timeout=self.timeout_s)
        return Outcome(process.returncode, out, err)

    def run_script(self, script: str) -> Outcome:
        """Run the lines of *script*, in which ``obsup`` is this one, to their end, or to the first that fails."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.folder,
            env={**os.environ, **self.environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)
