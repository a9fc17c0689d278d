"""Disks that fill up, or can only be read: a file system of one's own where the kernel lets us, else a limit.

The file system is a tmpfs in a mount namespace: root needs no more for it, others a kernel that gives them user
namespaces. The limit is on the size of every file that a process writes: any user can have it.
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
from typing import Protocol, Self

from tests.support.shell import Outcome

_OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


def _can_mount() -> bool:
    mount = [*_OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    return False


MOUNTED = ["tmpfs"] if _can_mount() else []
"""The kinds that are file systems: none where this user may not mount."""

KINDS = ["limit", *MOUNTED]


class SmallDisk(Protocol):
    """A disk, and processes whose working folder is on it.

    ``here`` is how its processes see it, ``seen`` how the test does. ``said`` is what they hear when it is full.
    """

    here: Path
    seen: Path
    said: str

    def fill(self, *running: subprocess.Popen[str]) -> None:
        """Leave no room, for the processes that are *running* either."""
        ...

    def free(self) -> None:
        """Make room, for processes that are begun later."""
        ...

    def begin(self, *words: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command on it."""
        ...


class Limit:
    """No file may have a byte while it is full, wherever it is."""

    said = os.strerror(27)  # EFBIG

    def __init__(self, folder: Path) -> None:
        self.here = self.seen = folder
        self._is_full = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def fill(self, *running: subprocess.Popen[str]) -> None:
        """See SmallDisk."""
        self._is_full = True
        for process in running:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """See SmallDisk."""
        self._is_full = False

    def begin(self, *words: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """See SmallDisk."""

        def limit() -> None:
            if self._is_full:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

        return _begin(words, env=env, cwd=self.here, limit=limit)


class Tmpfs:
    """A file system of a megabyte, in memory. It goes with the process that holds it."""

    said = os.strerror(28)  # ENOSPC

    def __init__(self, folder: Path) -> None:
        self.here = folder
        self._held = ExitStack()

    def __enter__(self) -> Self:
        mount = 'mount -t tmpfs -o size=1m small "$0" && echo ready && exec cat'
        holder = self._held.enter_context(
            subprocess.Popen(
                [*_OWN_MOUNTS, "sh", "-c", mount, self.here],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        self._enter = ["nsenter", "-t", str(holder.pid), "-m", *user]
        self.seen = Path(f"/proc/{holder.pid}/root{self.here}")
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()  # the pipe that the holder reads

    def fill(self, *_running: subprocess.Popen[str]) -> None:
        """See SmallDisk."""
        with (self.seen / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """See SmallDisk."""
        (self.seen / "filler").unlink()

    def protect(self) -> None:
        """Make it read-only."""
        subprocess.run([*self._enter, "mount", "-o", "remount,bind,ro", self.here], check=True)

    def begin(self, *words: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """See SmallDisk."""
        go = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.here)]
        return _begin((*self._enter, *go, *words), env=env, cwd=self.here)


def _begin(
    words: tuple[str, ...], *, env: Mapping[str, str], cwd: Path, limit: Callable[[], object] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **env, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


class Crowd:
    """obsup on a small disk, with *environment*."""

    def __init__(self, disk: SmallDisk, environment: Mapping[str, str]) -> None:
        self.disk = disk
        self._environment = environment

    def begin(self, *words: str, **extra: str) -> subprocess.Popen[str]:
        """Start ``obsup WORDS``."""
        return self.disk.begin(sys.executable, "-m", "obsup", *words, env={**self._environment, **extra})

    def run(self, *words: str, **extra: str) -> Outcome:
        """Run ``obsup WORDS`` to its end."""
        return ended(self.begin(*words, **extra))

    def files(self) -> set[str]:
        """Return what is on the disk."""
        return {str(path.relative_to(self.disk.seen)) for path in self.disk.seen.rglob("*") if path.is_file()}


def ended(process: subprocess.Popen[str]) -> Outcome:
    """Return what came of *process*."""
    with process:
        out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)
