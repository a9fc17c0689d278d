"""A Windows machine: CPython for Windows and obsup, which tests/servers/install-windows.sh installed, under Wine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, variables_of

FOLDER = Path(os.environ.get("OBSUP_TEST_WINDOWS", Path(__file__).parents[2] / ".venv-windows"))
WINE, WINE_SERVER = "/usr/lib/wine/wine64", "/usr/lib/wine/wineserver"
# In which Windows programs write into pipes and files.
CODE_PAGE = "cp1252"
SCRIPTS = Path(__file__).parent / "scripts"


def windows_path(path: Path | str) -> str:
    """Return an absolute path of this machine as Windows programs see it: drive Z is the root."""
    return "Z:" + str(path).replace("/", "\\")


def wine_environment() -> dict[str, str]:
    """Return the environment of Wine's programs."""
    return {
        **os.environ,
        "WINEPREFIX": str(FOLDER / "prefix"),
        "WINEDEBUG": "-all",
        "PYTHONDONTWRITEBYTECODE": "",  # pip installed without bytecode: the first test makes it
    }


@contextmanager
def wine_services() -> Iterator[None]:
    """Start the services of Wine, and stop them. A program that has to start them leaves them its open pipes."""
    call = partial(subprocess.run, env=wine_environment(), stdin=subprocess.DEVNULL, check=True, timeout=300)
    call([WINE_SERVER, "-p"])
    try:
        call([WINE, "wineboot"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield
    finally:
        call([WINE_SERVER, "-k"])


@dataclass(frozen=True)
class WindowsMachine:
    """Runs Windows programs in *folder*. *environment* is added to the variables of this process."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 300.0

    @classmethod
    def against(cls, sandbox: Sandbox, folder: Path) -> WindowsMachine:
        """Return a machine whose commands use *sandbox*."""
        return cls(folder, variables_of(sandbox))

    @property
    def profile(self) -> Path:
        """The user's folder, %USERPROFILE%."""
        (folder,) = [
            one for one in (FOLDER / "prefix/drive_c/users").iterdir() if one.name.casefold() != "public"
        ]
        return folder

    def forget(self) -> None:
        """Remove what obsup keeps in the user's folders."""
        for folder in ("AppData/Local/obsup", "AppData/Roaming/obsup"):
            shutil.rmtree(self.profile / folder, ignore_errors=True)

    def start(self, *command: str, **extra: str) -> subprocess.Popen[bytes]:
        """Start a Windows program and return the process."""
        return subprocess.Popen(
            [WINE, *command],
            cwd=self.folder,
            env={**wine_environment(), **self.environment, **extra},
            # CPython for Windows cannot use a file that Wine inherits.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def start_python(self, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        """Start ``python.exe ARGUMENTS``."""
        return self.start(str(FOLDER / "python" / "python.exe"), *arguments, **extra)

    def begin(self, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        """Start ``obsup ARGUMENTS`` and return the process."""
        return self.start_python("-m", "obsup", *arguments, **extra)

    def run(self, *arguments: str, stdin: bytes = b"", **extra: str) -> Outcome:
        """Run ``obsup ARGUMENTS`` to its end."""
        return self.outcome(self.begin(*arguments, **extra), stdin)

    def run_batch_file(self, text: str, name: str = "test.cmd", **extra: str) -> Outcome:
        """Run a batch file with ``cmd /c``. ``obsup`` is obsup.exe, which pip made; ``python`` is that of pip."""
        python = windows_path(FOLDER / "python")
        lines = f"@echo off\nset PATH={python};{python}\\Scripts;%PATH%\n{text}"
        (self.folder / name).write_bytes(lines.replace("\n", "\r\n").encode())
        return self.outcome(self.start("cmd", "/c", name, **extra))

    def outcome(self, process: subprocess.Popen[bytes], stdin: bytes = b"") -> Outcome:
        """Wait for the end of *process*; return its exit code and output, with the line ends of Unix."""
        with process:
            try:
                out, err = process.communicate(stdin, timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Outcome(
            process.returncode,
            *(text.decode("cp1252", "replace").replace("\r\n", "\n") for text in (out, err)),
        )
