"""Disks that are full or read-only: a small file system if the kernel permits it, or a limit on file sizes.

The file system is a tmpfs in a mount namespace. Users other than root need a kernel that permits user namespaces. The
limit applies to the size of every file that a process writes; it works for any user.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import pytest

from tests.support.shell import Outcome

OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


def _can_mount() -> bool:
    mount = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    return False


MOUNTED = ["tmpfs"] if _can_mount() else []
"""The kinds that are file systems: none if this user may not mount."""

# The limit stands in for the file system if none can be mounted; otherwise it runs in the slow lane.
KINDS: list[Any] = [*MOUNTED, pytest.param("limit", marks=[pytest.mark.slow] if MOUNTED else [])]


class SmallDisk(Protocol):
    """A disk, and processes whose working folder is on it.

    ``folder`` is its path for these processes, ``outside`` its path for the test. ``error_text`` is the text of the
    system's error if it is full.
    """

    folder: Path
    outside: Path
    error_text: str

    def fill(self, *running: subprocess.Popen[str]) -> None:
        """Fill the disk, also for processes that are *running*."""
        ...

    def free(self) -> None:
        """Free space for processes that are started later."""
        ...

    def start(self, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command on it."""
        ...


class Limit:
    """A limit on file sizes: while it is full, no file can have a byte, in any folder."""

    error_text = os.strerror(27)  # EFBIG

    def __init__(self, folder: Path) -> None:
        self.folder = self.outside = folder
        self._is_full = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def fill(self, *running: subprocess.Popen[str]) -> None:
        """See SmallDisk."""
        self._is_full = True
        for process in running:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """See SmallDisk."""
        self._is_full = False

    def start(self, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """See SmallDisk."""

        def limit() -> None:
            if self._is_full:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

        return _start(arguments, env=env, cwd=self.folder, limit=limit)


class Tmpfs:
    """A file system of 1 MiB in memory. It disappears with the process that holds it."""

    error_text = os.strerror(28)  # ENOSPC

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        mount = 'mount -t tmpfs -o size=1m small "$0" && echo ready && exec cat'
        holder = self._resources.enter_context(
            subprocess.Popen(
                [*OWN_MOUNTS, "sh", "-c", mount, self.folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        self._enter = ["nsenter", "-t", str(holder.pid), "-m", *user]
        self.outside = Path(f"/proc/{holder.pid}/root{self.folder}")
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()  # closes the pipe that the holder reads

    def fill(self, *_running: subprocess.Popen[str]) -> None:
        """See SmallDisk."""
        with (self.outside / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """See SmallDisk."""
        (self.outside / "filler").unlink()

    def protect(self) -> None:
        """Make it read-only."""
        subprocess.run([*self._enter, "mount", "-o", "remount,bind,ro", self.folder], check=True)

    def start(self, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """See SmallDisk."""
        change_folder = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.folder)]
        return _start((*self._enter, *change_folder, *arguments), env=env, cwd=self.folder)


def _start(
    arguments: tuple[str, ...],
    *,
    env: Mapping[str, str],
    cwd: Path,
    limit: Callable[[], object] | None = None,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        cwd=cwd,
        env={**os.environ, **env, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


class DiskShell:
    """Runs obsup on a small disk with *environment*."""

    def __init__(self, disk: SmallDisk, environment: Mapping[str, str]) -> None:
        self.disk = disk
        self._environment = environment

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start ``obsup ARGUMENTS``."""
        return self.disk.start(sys.executable, "-m", "obsup", *arguments, env={**self._environment, **extra})

    def run(self, *arguments: str, **extra: str) -> Outcome:
        """Run ``obsup ARGUMENTS`` to its end."""
        return wait_for_end(self.start(*arguments, **extra))

    def files(self) -> set[str]:
        """Return the files on the disk."""
        return {
            str(path.relative_to(self.disk.outside))
            for path in self.disk.outside.rglob("*")
            if path.is_file()
        }


def wait_for_end(process: subprocess.Popen[str]) -> Outcome:
    """Wait until *process* ends and return its outcome."""
    with process:
        out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)
