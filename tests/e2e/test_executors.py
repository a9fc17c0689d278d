"""Parts sent by other processes: each once, even if one is killed, and without sending secrets to them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import obsup
from obsup.sandbox.sandbox import Sandbox
from tests.servers.free_ports import find_ports
from tests.support.next_lines import printed_command
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
SIZE = 2_000_000
PARTS = 10


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file of ten parts."""
    return make_file(SIZE)


def stored(sandbox: Sandbox) -> dict[int, int]:
    """Return how often each part was stored."""
    numbers = (
        request.part_number
        for request in sandbox.requests
        if request.operation == "part" and request.status == 200
    )
    return dict(Counter(number for number in numbers if number is not None))


def children(pid: int) -> list[int]:
    """Return the worker processes of *pid*."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        if int(status[1]) == pid and "serve_calls" in command:
            pids.append(int(path.name))
    return pids


def check_object(sandbox: Sandbox, source: Path) -> None:
    """Check that the object is the file, and that no upload is left."""
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert sandbox.uploads() == []


def test_processes_send_each_part_once(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """The driver plans, writes the checkpoint, reports progress per part, and completes the upload."""
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2")
    outcome = shell.run(*arguments, "--json", "--progress", "json")
    assert (outcome.code, outcome.json["sentParts"]) == (0, PARTS), outcome.err
    assert stored(sandbox) == dict.fromkeys(range(1, PARTS + 1), 1)
    check_object(sandbox, source)
    done = [int(count) for count in re.findall(r'"partsDone": (\d+)', outcome.err)]
    assert done == sorted(done)
    assert done[-1] == PARTS


@pytest.mark.parametrize("options", ["--executor processes", "--executor processes --presign"])
def test_the_requests_of_workers_are_in_the_log_and_the_receipt(
    shell: Shell, sandbox: Sandbox, source: Path, options: str
) -> None:
    """The driver writes them with status, request id, attempt, and the host that sent them."""
    sandbox.add_fault("error=503:SlowDown,op=part,part=3")
    arguments = f"bucket/key --parts 10 -j 2 {options} -v --log-file run.log --receipt receipt.json".split()
    outcome = shell.run("upload", source, *arguments)
    assert outcome.code == 0, outcome.err
    line = r"UploadPart part=(\d+) status=(\d+) request=(\w+) .*attempt=(\d) host=" + socket.gethostname()
    for log in (outcome.err, (shell.folder / "run.log").read_text()):
        requests = re.findall(line, log)
        assert sorted(int(part) for part, status, *_ in requests if status == "200") == list(
            range(1, PARTS + 1)
        )
        assert [(status, attempt) for part, status, _, attempt in requests if part == "3"] == [
            ("503", "1"),
            ("200", "2"),
        ]
        assert "retry: part 3, attempt 1 failed: " in log
        assert "Signature" not in log
    stored_by = {part: request for part, status, request, _ in requests if status == "200"}
    receipt = json.loads((shell.folder / "receipt.json").read_text())
    assert {str(part["number"]): part["requestId"] for part in receipt["parts"]} == stored_by


def test_the_part_of_a_killed_process_is_sent_by_another(
    shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """Only parts in flight are sent again; the upload does not fail."""
    sandbox.add_fault("slow=400000,op=part,times=always")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2", "-v")
    with shell.begin(*arguments) as process:
        wait_for(lambda: len(stored(sandbox)) >= 2)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        sandbox.clear_faults()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert set(stored(sandbox)) == set(range(1, PARTS + 1))
    assert sum(stored(sandbox).values()) <= PARTS + 4
    check_object(sandbox, source)


@pytest.mark.parametrize("options", [(), ("--presign",)], ids=["with keys", "presigned"])
def test_retries_of_a_worker_are_reported(
    shell: Shell, sandbox: Sandbox, source: Path, options: tuple[str, ...]
) -> None:
    """The driver logs them with -v and reduces the parts in flight, as for its own retries."""
    sandbox.add_fault("error=503:SlowDown,op=part,part=3,times=2")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2")
    outcome = shell.run(*arguments, "-v", *options)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("503 SlowDown") == 2
    check_object(sandbox, source)


def test_workers_end_with_their_driver(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """SIGKILL of the driver leaves no process behind, and the same command resumes."""
    sandbox.add_fault("slow=100000,op=part,times=always")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2")
    with shell.begin(*arguments) as process:
        wait_for(lambda: any(r.operation == "initiate" for r in sandbox.requests))
        wait_for(lambda: len(children(process.pid)) == 2)
        workers = children(process.pid)
        process.kill()
        process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    sandbox.clear_faults()
    assert shell.run(*arguments).code == 0
    check_object(sandbox, source)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("--executor proceses", 2, "unknown executor 'proceses'"),
        (
            "--executor dask:tcp://127.0.0.1:9 --connect-timeout 1s",
            75,
            "the Dask scheduler at tcp://127.0.0.1:9 does not respond",
        ),
        (
            "--executor processes --presign --content-md5",
            2,
            "--presign cannot be combined with --content-md5",
        ),
        ("--executor processes --proxy http://me:SECRET@127.0.0.1:9", 2, "--proxy contains a password"),
    ],
)
def test_invalid_executors_and_combinations(
    shell: Shell, sandbox: Sandbox, source: Path, arguments: str, code: int, message: str
) -> None:
    """Invalid options fail before any request."""
    outcome = shell.run("upload", source, "bucket/key", "--parts", "2", *arguments.split())
    assert (outcome.code, message in outcome.err) == (code, True), outcome.err
    assert code != 2 or sandbox.requests == []


class Cluster:
    """A Dask scheduler and workers, each in its own process."""

    def __init__(self, folder: Path, environment: dict[str, str], *, port: int = 0) -> None:
        self.folder = folder
        self._file = folder / "scheduler.json"
        self._environment = environment
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start((), "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        wait_for(lambda: self._file.exists() and self._file.read_text().endswith("}"))
        self.address = re.findall(r"tcp://127\.0\.0\.1:\d+", self._file.read_text())[0]

    def start_workers(self, count: int, prefix: tuple[str, ...] = ()) -> None:
        """Start workers and wait for them. *prefix* is a command that starts each."""
        known = self.log.count("Registered to")
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", ".")
        for _ in range(count):
            self._start(prefix, "worker", *options)
        wait_for(lambda: self.log.count("Registered to") == known + count)

    def _start(self, prefix: tuple[str, ...], role: str, *arguments: str) -> None:
        log = self.folder / f"{role}{len(self.processes)}.log"
        with log.open("wb") as output:
            self.processes.append(
                subprocess.Popen(
                    [
                        *prefix,
                        sys.executable,
                        "-m",
                        "dask",
                        role,
                        "--scheduler-file",
                        str(self._file),
                        *arguments,
                    ],
                    cwd=self.folder,
                    env=os.environ | self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            )

    @property
    def log(self) -> str:
        """The output of the scheduler and the workers."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def kill(self, first: int = 0) -> None:
        """Kill the processes; the scheduler is the *first*."""
        for process in reversed(self.processes[first:]):
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(
    folder: Path,
    environment: dict[str, str],
    worker_prefix: tuple[str, ...] = (),
    *,
    workers: int = 2,
    port: int = 0,
) -> Iterator[Cluster]:
    """Run a cluster while inside. *worker_prefix* is a command that starts each worker."""
    folder.mkdir()
    cluster = Cluster(folder, environment, port=port)
    try:
        cluster.start_workers(workers, worker_prefix)
        yield cluster
    finally:
        cluster.kill()


@pytest.mark.slow
def test_dask_workers_with_their_own_credentials_of_which_one_is_killed(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """The scheduler gives its part to the other; the store gets each part once, except those in flight."""
    keys = {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}
    with dask_cluster(tmp_path / "dask", keys) as cluster:
        sandbox.add_fault("slow=400000,op=part,times=always")
        arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", f"dask:{cluster.address}")
        with shell.begin(*arguments, "--json") as process:
            wait_for(lambda: len(stored(sandbox)) >= 2)
            cluster.processes[1].kill()
            out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert Outcome(0, out, errors).json["sentParts"] == PARTS
        assert sandbox.secret_key not in cluster.log
    assert set(stored(sandbox)) == set(range(1, PARTS + 1))
    assert sum(stored(sandbox).values()) <= PARTS + 2
    check_object(sandbox, source)


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "verified"), [("obs", "crc64"), ("s3", "crc64nvme")])
def test_dask_workers_send_checksums(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path, provider: str, verified: str
) -> None:
    """What the driver agreed on with S3; each worker finds out whether OBS returns its CRC-64."""
    sandbox.add_fault("obs-checksums")
    keys = {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}
    with dask_cluster(tmp_path / "dask", keys, workers=1) as cluster:
        arguments = ("--provider", provider, "--part-size", "5M", "--executor", f"dask:{cluster.address}")
        done = shell.run("upload", make_file(11_000_000), "bucket/key", *arguments, "--json")
    assert (done.code, done.json["verified"]) == (0, verified), done.err
    parts = [one.headers for one in sandbox.requests if one.operation == "part"]
    assert all(any("-checksum-crc64" in name.lower() for name, _ in headers) for headers in parts)


@pytest.mark.slow
@pytest.mark.parametrize("is_changed", [True, False], ids=["other content", "copy"])
def test_dask_workers_in_a_mount_namespace_with_another_file(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path, is_changed: bool
) -> None:
    """Under the same path, of equal size and modification time, on another device: its content decides. Needs root."""
    keys = {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        other = Path(folder) / "other"
        data = source.read_bytes()
        other.write_bytes(data[:-1] + bytes([data[-1] ^ is_changed]))
        os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
        script = f'mount --bind {other} {source} && exec "$@"'
        with dask_cluster(tmp_path / "dask", keys, ("unshare", "-m", "sh", "-c", script, "sh")) as cluster:
            arguments = ("upload", source, "bucket/key", "--parts", "10")
            outcome = shell.run(*arguments, "--executor", f"dask:{cluster.address}")
            if is_changed:
                cluster.kill(1)
                cluster.start_workers(1)
                resumed = shell.run_script(printed_command(outcome))
    if is_changed:
        assert outcome.code == 65
        assert "part 10 of bucket/key was read from another file" in outcome.err
        assert f"the worker on host {socket.gethostname()} sees a file" in outcome.err
        assert resumed.code == 0, resumed.err
    else:
        assert outcome.code == 0, outcome.err
    check_object(sandbox, source)


@pytest.mark.slow
def test_dask_without_scheduler_or_workers(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """Each printed command leads to the next fault, and in the end to the object.

    There is no scheduler, no worker, a worker with another obsup, and then a cluster that ends during the upload.
    """
    [port] = find_ports(1)
    module = tmp_path / "other" / "obsup" / "engine" / "send" / "remote_task.py"
    shutil.copytree(Path(obsup.__file__).parent, tmp_path / "other" / "obsup")
    module.write_text(f"{module.read_text()}\n\ndef run_part_task(task):\n    raise RuntimeError\n")
    arguments = (
        "upload",
        source,
        "bucket/key",
        "--parts",
        "10",
        "--executor",
        f"dask:tcp://127.0.0.1:{port}",
    )
    keys = {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}
    outcome = shell.run(*arguments, "--connect-timeout", "1s")
    assert (outcome.code, "does not respond" in outcome.err) == (75, True), outcome.err
    with dask_cluster(tmp_path / "dask", keys, workers=0, port=port) as cluster:
        outcome = shell.run_script(printed_command(outcome))
        assert (outcome.code, "has no workers" in outcome.err) == (75, True), outcome.err
        cluster.start_workers(1, ("env", f"PYTHONPATH={tmp_path / 'other'}"))
        outcome = shell.run_script(printed_command(outcome))
        assert "Install the same obsup on every worker" in outcome.err
        cluster.kill(1)
        cluster.start_workers(1)
        sandbox.add_fault("delay=1,op=part,times=always")
        with shell.begin(*shlex.split(printed_command(outcome))[1:]) as process:
            wait_for(lambda: stored(sandbox), process=process)
            cluster.kill()
            outcome = Outcome(1, *process.communicate(timeout=60))
    assert (process.returncode, "check the workers' logs" in outcome.err.lower()) == (75, True), outcome.err
    sandbox.clear_faults()
    with dask_cluster(tmp_path / "again", keys, workers=1, port=port):
        outcome = shell.run_script(printed_command(outcome))
    assert outcome.code == 0, outcome.err
    check_object(sandbox, source)


@pytest.mark.slow
def test_a_local_cluster_without_credentials(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """With --presign each worker gets the URL of its part; without it, the error names the host without credentials."""
    program = (
        "import sys\n"
        "from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    options = {'n_workers': 2, 'threads_per_worker': 1, 'dashboard_address': '127.0.0.1:0'}\n"
        "    with LocalCluster(**options, host='127.0.0.1') as cluster:\n"
        "        print(cluster.scheduler_address, flush=True)\n"
        "        sys.stdin.read()\n"
    )
    script = tmp_path / "cluster.py"
    script.write_text(program)
    log = tmp_path / "cluster.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, script],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as cluster,
    ):
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", f"dask:{address}")
        refused = shell.run(*arguments)
        assert (refused.code, "on host" in refused.err) == (77, True), refused.err
        outcome = shell.run(*arguments, "--presign", "--json")
        cluster.communicate("")
    assert (outcome.code, outcome.json["sentParts"]) == (0, PARTS), outcome.err
    assert stored(sandbox) == dict.fromkeys(range(1, PARTS + 1), 1)
    check_object(sandbox, source)
    output = log.read_text() + outcome.err + refused.err
    assert sandbox.secret_key not in output
    assert "Signature" not in output
