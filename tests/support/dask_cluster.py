"""A Dask cluster for tests: a scheduler and workers, each in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import obsup
from tests.support.shell import Shell
from tests.support.waiting import wait_for

# They need seconds to start, and much longer on a busy machine.
LONG_S = 240


def keys_of(shell: Shell) -> dict[str, str]:
    """Return the credentials in the environment of *shell*: a worker needs no endpoint."""
    return {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}


def other_obsup(folder: Path, module: str, code: str) -> str:
    """Return the PYTHONPATH of an obsup with *code* at the end of *module*."""
    shutil.copytree(Path(obsup.__file__).parent, folder / "obsup")
    with (folder / "obsup" / module).open("a") as file:
        file.write(f"\n{code}\n")
    return str(folder)


class Cluster:
    """A Dask scheduler and workers. All see *environment*; *options* are for the scheduler and for each worker."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self._file = folder / "scheduler.json"
        self._environment = environment
        self._options = options
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start((), {}, "scheduler", "--host", host, "--port", str(port))
        wait_for(lambda: self._file.exists() and self._file.read_text().endswith("}"), within_s=LONG_S)
        self.address = re.findall(r"(?:tcp|tls)://[\d.]+:\d+", self._file.read_text())[0]

    def start_workers(self, count: int, prefix: tuple[str, ...] = (), **environment: str) -> None:
        """Start workers and wait until they have registered. *prefix* is a command that starts each."""
        known = self.log.count("Registered to")
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", ".")
        for _ in range(count):
            self._start(prefix, environment, "worker", *options)
        wait_for(lambda: self.log.count("Registered to") == known + count, within_s=LONG_S)

    def _start(
        self, prefix: tuple[str, ...], environment: Mapping[str, str], role: str, *arguments: str
    ) -> None:
        log = self.folder / f"{role}{len(self.processes)}.log"
        dask = (sys.executable, "-m", "dask", role, "--scheduler-file", str(self._file), "--no-dashboard")
        with log.open("wb") as output:
            self.processes.append(
                subprocess.Popen(
                    [*prefix, *dask, *self._options, *arguments],
                    cwd=self.folder,
                    env={**os.environ, **self._environment, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            )

    @property
    def log(self) -> str:
        """The output of the scheduler and the workers."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def kill(self, first: int = 0, last: int | None = None) -> None:
        """Kill the processes from the *first*, which is the scheduler, to before the *last*."""
        for process in reversed(self.processes[first:last]):
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(
    folder: Path,
    environment: Mapping[str, str],
    *,
    workers: int = 2,
    prefix: tuple[str, ...] = (),
    port: int = 0,
    host: str = "127.0.0.1",
    options: tuple[str, ...] = (),
) -> Iterator[Cluster]:
    """Run a cluster while inside. *prefix* is a command that starts each worker."""
    folder.mkdir()
    cluster = Cluster(folder, environment, port=port, host=host, options=options)
    try:
        cluster.start_workers(workers, prefix)
        yield cluster
    finally:
        cluster.kill()
