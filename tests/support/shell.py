"""Run obsup as users do: in a separate process with an environment and a folder."""

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
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object on stdout."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


def variables_of(sandbox: Sandbox) -> dict[str, str]:
    """Return the environment variables with which commands use *sandbox*."""
    return {
        "OBSUP_ENDPOINT": sandbox.endpoint,
        "AccessKeyID": sandbox.access_key,
        "SecretAccessKey": sandbox.secret_key,
    }


@dataclass(frozen=True)
class Shell:
    """Runs ``obsup`` in *folder*. *environment* is added to the variables of this process."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0

    @classmethod
    def against(cls, sandbox: Sandbox, folder: Path) -> Shell:
        """Return a shell whose commands use *sandbox*."""
        return cls(folder, variables_of(sandbox))

    def begin(self, *arguments: str | Path, **extra: str) -> subprocess.Popen[str]:
        """Start ``obsup ARGUMENTS`` and return the process."""
        return subprocess.Popen(
            [sys.executable, "-m", "obsup", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **self.environment, **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | Path, **extra: str) -> Outcome:
        """Run ``obsup ARGUMENTS`` to its end."""
        with self.begin(*arguments, **extra) as process:
            out, err = process.communicate(timeout=self.timeout_s)
        return Outcome(process.returncode, out, err)

    def run_script(self, script: str) -> Outcome:
        """Run a bash *script*, which ends at the first command that fails; ``obsup`` is this version."""
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
