"""Parts sent by the workers of a Dask cluster: those that join, leave, fail, or have another obsup or another file."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import obsup
from obsup.engine.batch.file_groups import MAX_GROUP_FILES
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.servers.free_ports import find_ports
from tests.support import waiting
from tests.support.batch import assert_stored, count_operations, json_results, make_files, stored_keys
from tests.support.dask_cluster import LONG_S, dask_cluster, keys_of, other_obsup
from tests.support.next_lines import printed_command
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
SIZE = 2_000_000
PARTS = 10
wait_for = partial(waiting.wait_for, within_s=LONG_S)
TASK = "engine/send/remote_task.py"


@pytest.fixture
def shell(tmp_path: Path, sandbox: Sandbox) -> Shell:
    """Runs commands that may take long."""
    return replace(Shell.against(sandbox, tmp_path), timeout_s=LONG_S)


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file of ten parts."""
    return make_file(SIZE)


def stored(sandbox: Sandbox) -> dict[int, int]:
    """Return how often each part was stored."""
    requests = [one for one in sandbox.requests if one.operation == "part" and one.status == 200]
    return dict(Counter(one.part_number for one in requests if one.part_number is not None))


def connections(sandbox: Sandbox) -> set[int]:
    """Return the connections that sent parts."""
    return {one.connection for one in sandbox.requests if one.operation == "part"}


def has_stored_part(sandbox: Sandbox, requests_before: int) -> bool:
    """Return whether a run that began after these requests has stored a part.

    The sandbox may still store parts of killed workers from its buffers: their connections are older than the
    first of the new run.
    """
    requests = sandbox.requests[requests_before:]
    first = min((one.connection for one in requests if one.operation != "part"), default=None)
    return first is not None and any(
        one.operation == "part" and one.status == 200 and one.connection > first for one in requests
    )


def initiated(sandbox: Sandbox) -> int:
    """Return how many uploads were initiated."""
    return sum(one.operation == "initiate" for one in sandbox.requests)


def check_object(sandbox: Sandbox, source: Path) -> None:
    """Check that the object is the file, and that no upload is left."""
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert sandbox.uploads() == []


def check_quiet(errors: str) -> None:
    """Check that Dask itself printed nothing on the terminal."""
    assert not re.search("Traceback|distributed|tornado|asyncio", errors), errors


def upload(source: Path, address: str, *options: str) -> tuple[str | Path, ...]:
    """Return the command line of an upload in ten parts."""
    return "upload", source, "bucket/key", "--parts", str(PARTS), "--executor", f"dask:{address}", *options


def test_workers_that_come_later(shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path) -> None:
    """Nothing is initiated until a worker with this obsup has answered; one with another obsup is named, and unused.

    Without any in time, the printed commands lead to the object.
    """
    [port] = find_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    unreachable = shell.run(*upload(source, address, "--connect-timeout", "1s"))
    assert (unreachable.code, "does not respond" in unreachable.err) == (75, True), unreachable.err
    with dask_cluster(tmp_path / "dask", keys_of(shell), workers=0, port=port) as cluster:
        empty = shell.run(*upload(source, f"{address},wait=2s"))
        assert (empty.code, "has no workers" in empty.err) == (75, True), empty.err
        cluster.start_workers(
            1, PYTHONPATH=other_obsup(tmp_path / "other", "version.py", "__version__ = '0.0.9'")
        )
        unfit = shell.run_script(printed_command(empty))
        assert (unfit.code, f"obsup {obsup.__version__}" in unfit.err) == (78, True), unfit.err
        assert re.search(r"The worker tcp://127\.0\.0\.1:\d+ has obsup 0\.0\.9", unfit.err)
        assert initiated(sandbox) == 0
        with shell.begin(*upload(source, f"{address},workers=3,wait=4m", "--json")) as process:
            assert process.stderr is not None
            wait_for(
                lambda: "waiting up to 4 min 0 s for 3 workers" in (process.stderr or sys.stderr).readline()
            )
            assert initiated(sandbox) == 0
            cluster.start_workers(3)
            out, errors = process.communicate(timeout=LONG_S)
        assert (process.returncode, Outcome(0, out, errors).json["sentParts"]) == (0, PARTS), errors
        again = shell.run_script(printed_command(unfit))
    assert again.code == 0, again.err
    assert initiated(sandbox) == 2
    check_object(sandbox, source)
    for outcome in (unreachable, empty, unfit, Outcome(0, out, errors)):
        check_quiet(outcome.err)


def write_cluster(folder: Path, workers: int, setup: str = "pass") -> Path:
    """Write the program of a local cluster: it runs *setup*, prints its address, and ends with its standard input."""
    path = folder / "cluster.py"
    path.write_text(
        "import sys\n"
        "from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        f"    options = {{'n_workers': {workers}, 'threads_per_worker': 1, 'dashboard_address': '127.0.0.1:0'}}\n"
        "    with LocalCluster(**options, host='127.0.0.1') as cluster:\n"
        f"        {setup}\n"
        "        print(cluster.scheduler_address, flush=True)\n"
        "        sys.stdin.read()\n"
    )
    return path


def test_an_adaptive_cluster_that_begins_with_none(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """It starts workers only for work that waits."""
    script = write_cluster(tmp_path, 0, "cluster.adapt(minimum=0, maximum=2)")
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, **keys_of(shell)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as cluster:
        assert cluster.stdout is not None
        outcome = shell.run(*upload(source, cluster.stdout.readline().strip()))
        cluster.communicate("")
    assert outcome.code == 0, outcome.err
    check_quiet(outcome.err)
    check_object(sandbox, source)


@pytest.mark.parametrize("options", [(), ("--presign",)], ids=["with keys", "presigned"])
def test_a_cluster_that_is_lost(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Without workers the upload waits for others as long as for the network; without scheduler it ends at once.

    Both are exit 75 with the cause; the printed command resumes, and no part that was recorded is sent again.
    """
    keys = {} if options else keys_of(shell)
    [port] = find_ports(1)
    arguments = upload(source, f"tcp://127.0.0.1:{port}", *options, "--retry-for", "3s")
    sandbox.add_fault("slow=50000,op=part,times=always")
    with dask_cluster(tmp_path / "dask", keys, port=port) as cluster:
        with shell.begin(*arguments) as process:
            wait_for(lambda: stored(sandbox), process=process)
            cluster.kill(1)
            without_workers = Outcome(75, *process.communicate(timeout=LONG_S))
        assert process.returncode == 75, without_workers.err
        assert "It has no workers, and none joined within 3.0 s (--retry-for)" in without_workers.err
        cluster.start_workers(2)
        requests_before = len(sandbox.requests)
        with shell.begin(*shlex.split(printed_command(without_workers))[1:]) as process:
            wait_for(lambda: has_stored_part(sandbox, requests_before), process=process)
            cluster.kill(0, 1)
            without_scheduler = Outcome(75, *process.communicate(timeout=LONG_S))
        assert process.returncode == 75, without_scheduler.err
        assert "Its scheduler has stopped, or cannot be reached" in without_scheduler.err
    sandbox.clear_faults()
    with dask_cluster(tmp_path / "again", keys, workers=1, port=port):
        outcome = shell.run_script(printed_command(without_scheduler))
    assert outcome.code == 0, outcome.err
    assert sum(stored(sandbox).values()) <= PARTS + 8
    check_object(sandbox, source)
    for failed in (without_workers, without_scheduler):
        check_quiet(failed.err)


def test_workers_that_join_and_leave_share_the_rate(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """Together they never send faster than --limit-rate, and all of them send. The parts are slow until they joined."""
    part, rate = 102_400, 1_000_000
    source = make_file(120 * part)
    arguments = ("upload", source, "bucket/key", "--part-size", str(part), "--limit-rate", str(rate))
    sandbox.add_fault("slow=50000,op=part,times=always")
    with dask_cluster(tmp_path / "dask", keys_of(shell), workers=1) as cluster:
        with shell.begin(*arguments, "--executor", f"dask:{cluster.address}") as process:
            wait_for(lambda: stored(sandbox), process=process)
            cluster.start_workers(2)
            wait_for(lambda: len(connections(sandbox)) >= 3, process=process)
            begin_s, before = time.monotonic(), sum(stored(sandbox).values())
            sandbox.clear_faults()
            cluster.kill(1, 2)
            _, errors = process.communicate(timeout=LONG_S)
        seconds = time.monotonic() - begin_s
    assert process.returncode == 0, errors
    sent = (sum(stored(sandbox).values()) - before - 3) * part
    assert sent <= rate * (seconds + 1), (sent, seconds)
    check_object(sandbox, source)


def test_workers_that_alone_fail_are_set_aside(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """One has no credentials, one sees another file under the same path. Needs root. Both are named."""
    other = tmp_path / "other"
    other.write_bytes(b"x" + source.read_bytes()[1:-1] + b"x")
    os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    script = f'mount --bind {other} {source} && exec "$@"'
    with dask_cluster(tmp_path / "dask", keys_of(shell), workers=1) as cluster:
        cluster.start_workers(1, AccessKeyID="", SecretAccessKey="")
        cluster.start_workers(1, ("unshare", "-m", "sh", "-c", script, "sh"))
        outcome = shell.run(*upload(source, f"{cluster.address},workers=3"))
    assert outcome.code == 0, outcome.err
    notes = re.findall(
        r"the Dask worker tcp://\S+ gets no more work, because it alone failed: (.*)", outcome.err
    )
    assert len(notes) == 2, outcome.err
    assert {"no credentials" in note.lower() for note in notes} == {True, False}
    check_quiet(outcome.err)
    check_object(sandbox, source)


def test_workers_with_changed_code(shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path) -> None:
    """The version is the same. A part ends three workers, then fails in others; the printed commands go on."""
    end = other_obsup(tmp_path / "end", TASK, "def run_part_task(task):\n    import os\n    os._exit(1)")
    fail = other_obsup(tmp_path / "fail", TASK, "def run_part_task(task):\n    raise RuntimeError")
    unreadable = (
        "class Result:\n    __reduce__ = lambda self: (int, ('x',))\nrun_part_task = lambda task: Result()"
    )
    other = other_obsup(tmp_path / "other", TASK, unreadable)
    with dask_cluster(tmp_path / "dask", keys_of(shell), workers=0) as cluster:
        cluster.start_workers(3, PYTHONPATH=end)
        arguments = ("upload", source, "bucket/key", "--parts", "1", "--executor", f"dask:{cluster.address}")
        ended = shell.run(*arguments)
        assert (ended.code, "check the workers' logs" in ended.err.lower()) == (75, True), ended.err
        failed = ended
        for path in (fail, other):
            cluster.start_workers(1, PYTHONPATH=path)
            failed = shell.run_script(printed_command(failed))
            assert (failed.code, "Install the same obsup on every worker" in failed.err) == (1, True), (
                failed.err
            )
            cluster.kill(1)
        cluster.start_workers(1)
        outcome = shell.run_script(printed_command(failed))
    assert outcome.code == 0, outcome.err
    check_quiet(ended.err + failed.err)
    check_object(sandbox, source)


def test_a_cluster_with_tls(shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path) -> None:
    """Certificates are configured as for every client of Dask. Without them, the error names their settings."""
    authority = Authority(tmp_path)
    files = [str(path) for path in (authority.bundle, *authority.files("127.0.0.1"))]
    options = ("--tls-ca-file", files[0], "--tls-cert", files[1], "--tls-key", files[2], "--protocol", "tls")
    names = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
    configured = {
        f"DASK_DISTRIBUTED__COMM__TLS__{name}": file for name, file in zip(names, files, strict=True)
    }
    with dask_cluster(tmp_path / "dask", keys_of(shell), options=options) as cluster:
        assert cluster.address.startswith("tls://")
        refused = shell.run(*upload(source, cluster.address))
        outcome = shell.run(*upload(source, cluster.address), **configured)
    assert (refused.code, "distributed.comm.tls" in refused.err) == (78, True), refused.err
    assert outcome.code == 0, outcome.err
    check_quiet(outcome.err)
    check_object(sandbox, source)


def test_dask_workers_with_their_own_credentials_of_which_one_is_killed(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """The scheduler gives its part to the other; the store gets each part once, except those in flight."""
    with dask_cluster(tmp_path / "dask", keys_of(shell)) as cluster:
        sandbox.add_fault("slow=400000,op=part,times=always")
        arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", f"dask:{cluster.address}")
        with shell.begin(*arguments, "--json") as process:
            wait_for(lambda: len(stored(sandbox)) >= 2)
            cluster.processes[1].kill()
            out, errors = process.communicate(timeout=LONG_S)
        assert process.returncode == 0, errors
        assert Outcome(0, out, errors).json["sentParts"] == PARTS
        assert sandbox.secret_key not in cluster.log
    assert set(stored(sandbox)) == set(range(1, PARTS + 1))
    assert sum(stored(sandbox).values()) <= PARTS + 2
    check_object(sandbox, source)


@pytest.mark.parametrize(("provider", "verified"), [("obs", "crc64"), ("s3", "crc64nvme")])
def test_dask_workers_send_checksums(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path, provider: str, verified: str
) -> None:
    """What the driver agreed on with S3; each worker finds out whether OBS returns its CRC-64."""
    sandbox.add_fault("obs-checksums")
    with dask_cluster(tmp_path / "dask", keys_of(shell), workers=1) as cluster:
        arguments = ("--provider", provider, "--part-size", "5M", "--executor", f"dask:{cluster.address}")
        done = shell.run("upload", make_file(11_000_000), "bucket/key", *arguments, "--json")
    assert (done.code, done.json["verified"]) == (0, verified), done.err
    parts = [one.headers for one in sandbox.requests if one.operation == "part"]
    assert all(any("-checksum-crc64" in name.lower() for name, _ in headers) for headers in parts)


@pytest.mark.parametrize("is_changed", [True, False], ids=["other content", "copy"])
def test_dask_workers_in_a_mount_namespace_with_another_file(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path, is_changed: bool
) -> None:
    """Under the same path, of equal size and modification time, on another device: its content decides. Needs root."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        other = Path(folder) / "other"
        data = source.read_bytes()
        other.write_bytes(data[:-1] + bytes([data[-1] ^ is_changed]))
        os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
        prefix = ("unshare", "-m", "sh", "-c", f'mount --bind {other} {source} && exec "$@"', "sh")
        with dask_cluster(tmp_path / "dask", keys_of(shell), prefix=prefix) as cluster:
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


def test_a_local_cluster_without_credentials(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """With --presign each worker gets the URL of its part, or of its small files.

    Without it, the error names the host without credentials.
    """
    script = write_cluster(tmp_path, 2)
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
        make_files(shell, *(f"tree/{number}" for number in range(20)))
        os.utime(shell.folder / "tree/1", ns=(10**18, 10**18))
        make_files(shell, "tree/medium", size=300_000)
        small = shell.run("upload", "-r", "tree", "bucket/", *arguments[-2:], "--presign", "--json")
        cluster.communicate("")
    assert small.code == 0, small.err
    assert stored_keys(sandbox) == sorted(["key", "tree/medium", *(f"tree/{number}" for number in range(20))])
    assert count_operations(sandbox)["put"] == 21
    assert (outcome.code, outcome.json["sentParts"]) == (0, PARTS), outcome.err
    assert stored(sandbox) == dict.fromkeys(range(1, PARTS + 1), 1)
    check_object(sandbox, source)
    output = log.read_text() + outcome.err + refused.err + small.err
    assert sandbox.secret_key not in output
    assert "Signature" not in output


@pytest.mark.timeout(LONG_S + 60)
def test_a_batch_whose_workers_fail(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """One has no keys, one is killed with a group of small files: the third sends these, and each file ends once."""
    names = [f"tree/{number:03}" for number in range(240)]
    make_files(shell, *names)
    sandbox.add_fault("delay=0.02,op=put,times=always")
    with dask_cluster(tmp_path / "cluster", {}, workers=1) as cluster:
        cluster.start_workers(2, (), **keys_of(shell))
        executor = f"dask:{cluster.address},workers=3,wait={LONG_S}s"
        upload = shell.begin("upload", "-r", "tree", "bucket/p/", "--executor", executor, "--json")
        wait_for(lambda: count_operations(sandbox)["put"] > 80)
        cluster.kill(-1)
        out, err = upload.communicate(timeout=LONG_S)
    files, batch = json_results(Outcome(upload.returncode, out, err))
    assert (upload.returncode, batch["sent"], batch["failed"]) == (0, len(names), 0), err
    assert set(files) == set(names)
    assert_stored(shell, sandbox, "p/", names)
    assert re.search(
        r"the Dask worker \S+ gets no more work, because it alone failed: no credentials", err
    ), err
    # At most two groups were in flight at the worker that was killed, and waited at it.
    assert count_operations(sandbox)["put"] <= len(names) + 2 * MAX_GROUP_FILES
    assert sandbox.uploads() == []


@pytest.mark.timeout(LONG_S + 60)
def test_a_batch_whose_cluster_is_lost(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """Every file ends, those that wait for a group included, and the printed command sends the rest."""
    names = [f"tree/{number:03}" for number in range(150)]
    make_files(shell, *names)
    sandbox.add_fault("delay=0.02,op=put,times=always")
    with dask_cluster(tmp_path / "cluster", keys_of(shell)) as cluster:
        executor = ("--executor", f"dask:{cluster.address}", "--retry-for", "3s")
        upload = shell.begin("upload", "-r", "tree", "bucket/p/", *executor)
        wait_for(lambda: count_operations(sandbox)["put"] > 20, process=upload)
        cluster.kill(0, 1)
        _, err = upload.communicate(timeout=LONG_S)
    assert upload.returncode == 75, err
    sandbox.clear_faults()
    assert shell.run("upload", "-r", "tree", "bucket/p/").code == 0
    assert_stored(shell, sandbox, "p/", names)
