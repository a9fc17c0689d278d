"""Two hosts, each with its own network, device and home, upload one object. Needs root; see two-hosts.sh."""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import shlex
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.servers.free_ports import find_ports
from tests.support.dask_cluster import LONG_S, dask_cluster, other_obsup
from tests.support.next_lines import printed_command
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
SCRIPT = Path(__file__).parents[1] / "servers/two-hosts.sh"
DRIVER_ADDRESS = "10.213.77.1"
ROOT = Path(__file__).parents[2]
SIZE = 3_000_000
KEYS = ("AccessKeyID", "SecretAccessKey")
LOCK = Path(tempfile.gettempdir()) / "obsup-two-hosts.lock"
OTHER = "__version__ = '0.0.9'"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("two-hosts")]


class ForwardingHandler(socketserver.BaseRequestHandler):
    """Forwards a connection from the hosts' network to the sandbox, which listens on the loopback interface only."""

    port = 0
    client_addresses: list[str]

    def handle(self) -> None:
        """Copy in both directions until one side ends."""
        self.client_addresses.append(self.client_address[0])
        with (
            closing(socket.create_connection(("127.0.0.1", self.port))) as inner,
            selectors.DefaultSelector() as ready,
        ):
            other = {self.request: inner, inner: self.request}
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(65536)
                        other[source].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return


@contextmanager
def forwarding(port: int) -> Iterator[tuple[int, list[str]]]:
    """Listen on the hosts' network; return the port and the list of client addresses."""

    class Handler(ForwardingHandler):
        client_addresses: list[str] = []  # noqa: RUF012 - one list for all connections is the point

    Handler.port = port

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server((DRIVER_ADDRESS, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], Handler.client_addresses
        server.shutdown()
        thread.join()


class Hosts:
    """Two hosts, each with its own home, and a store that both reach."""

    def __init__(self, name: str, folder: Path, sandbox: Sandbox, port: int) -> None:
        self.name = name
        self.folder = folder
        self._environment = {
            "OBSUP_ENDPOINT": f"http://{DRIVER_ADDRESS}:{port}",
            "AccessKeyID": sandbox.access_key,
            "SecretAccessKey": sandbox.secret_key,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    @property
    def keys(self) -> dict[str, str]:
        """The credentials of the store."""
        return {name: value for name, value in self._environment.items() if name in KEYS}

    def shell(self) -> Shell:
        """Return a shell of the driver, which reaches the store as the hosts do."""
        environment = {name: self._environment[name] for name in ("OBSUP_ENDPOINT", *KEYS)}
        return Shell(self.folder, environment, timeout_s=LONG_S)

    def on(self, host: str) -> tuple[str, ...]:
        """Return the words that run a command on a host."""
        return str(SCRIPT), "run", f"{self.name}-{host}"

    def run(self, host: str, script: str) -> Outcome:
        """Run a bash command on a host; ``obsup`` is a function there."""
        home = self.folder / f"home-{host}"
        home.mkdir(exist_ok=True)
        line = f'obsup() {{ {sys.executable} -m obsup "$@"; }}; {script}'
        done = subprocess.run(
            [SCRIPT, "run", f"{self.name}-{host}", "bash", "-c", line],
            cwd=self.folder,
            env={**os.environ, **self._environment, "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def hosts(sandbox: Sandbox, tmp_path: Path) -> Iterator[tuple[Hosts, list[str]]]:
    """Two hosts, and the client addresses of the connections to the store."""
    name = f"o{os.getpid()}"
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # this machine has only one such network at a time
        subprocess.run([SCRIPT, "start", name], check=True, capture_output=True)
        try:
            with forwarding(sandbox.port) as (port, client_addresses):
                yield Hosts(name, tmp_path, sandbox, port), client_addresses
        finally:
            subprocess.run([SCRIPT, "stop", name], check=True, capture_output=True)


def stored(sandbox: Sandbox) -> dict[int, int]:
    """Return how often each part was stored."""
    found = (r.part_number for r in sandbox.requests if r.operation == "part" and r.status == 200)
    return dict(Counter(number for number in found if number is not None))


def test_two_hosts_upload_one_object_by_its_upload_id(
    hosts: tuple[Hosts, list[str]], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """They share only the file and the upload id, and send parts at the same time."""
    both, client_addresses = hosts
    source = make_file(SIZE)
    upload_id = both.run("a", "obsup init bucket/key").out.strip()
    line = f"obsup part bigfile bucket/key --upload-id {upload_id} --parts 6 --part-number"
    threads = [
        threading.Thread(
            target=both.run, args=(host, f"seq {first} 2 6 | xargs -n 1 {sys.executable} -m {line}")
        )
        for host, first in (("a", 1), ("b", 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = both.run("b", f"obsup complete bigfile bucket/key --upload-id {upload_id} --parts 6")
    assert done.code == 0, done.err
    assert stored(sandbox) == dict.fromkeys(range(1, 7), 1)
    assert {"10.213.77.2", "10.213.77.3"} <= set(client_addresses)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_host_sees_the_file_on_another_device(
    hosts: tuple[Hosts, list[str]], sandbox: Sandbox, make_file: MakeFile
) -> None:
    """With one checkpoint for both: a different device number is accepted, a different file is not."""
    both, _ = hosts
    source = make_file(SIZE)
    options = "--checkpoint shared.json"
    assert both.run("a", f"obsup init bigfile bucket/key --parts 6 {options}").code == 0
    for number in (1, 3, 5):
        assert both.run("a", f"obsup part bigfile bucket/key --part-number {number} {options}").code == 0
    copied = "cp -p bigfile /mnt/ && "
    for number in (2, 4, 6):
        part = both.run("b", f"{copied} obsup part /mnt/bigfile bucket/key --part-number {number} {options}")
        assert part.code == 0, part.err
    other = both.run("b", f"cp bigfile /mnt/ && obsup part /mnt/bigfile bucket/key --part-number 1 {options}")
    assert (other.code, "modification time" in other.err) == (65, True)
    done = both.run("a", f"obsup complete bigfile bucket/key {options} --json")
    assert (done.code, done.json["verified"]) == (0, "etag"), done.err
    assert stored(sandbox) == dict.fromkeys(range(1, 7), 1)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("how", ["checkpoint", "upload-id"])
def test_a_host_that_sees_other_bytes_under_the_same_path(
    hosts: tuple[Hosts, list[str]], sandbox: Sandbox, make_file: MakeFile, how: str
) -> None:
    """Size and modification time agree; complete compares the content, and names the part."""
    both, _ = hosts
    source = make_file(SIZE)
    if how == "checkpoint":
        assert both.run("a", "obsup init bigfile bucket/key --parts 3 --checkpoint shared.json").code == 0
        options = part_options = "--checkpoint shared.json"
    else:
        upload_id = both.run("a", "obsup init bucket/key").out.strip()
        options, part_options = f"--upload-id {upload_id}", f"--upload-id {upload_id} --parts 3"
    for number in (1, 3):
        assert both.run("a", f"obsup part bigfile bucket/key --part-number {number} {part_options}").code == 0
    other = f"head -c {SIZE} /dev/zero > /mnt/bigfile && touch -r bigfile /mnt/bigfile"
    sent = both.run("b", f"{other} && obsup part /mnt/bigfile bucket/key --part-number 2 {part_options}")
    assert sent.code == 0, sent.err
    refused = both.run("a", f"obsup complete bigfile bucket/key {options}")
    assert (refused.code, "part 2 does not match bigfile" in refused.err) == (65, True), refused.err
    assert both.run("a", f"obsup part bigfile bucket/key --part-number 2 {part_options}").code == 0
    done = both.run("a", f"obsup complete bigfile bucket/key {options} --json")
    assert (done.code, done.json["verified"]) == (0, "etag"), done.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("options", [(), ("--presign",)], ids=["with keys", "presigned"])
def test_the_faults_of_a_dask_cluster(
    hosts: tuple[Hosts, list[str]],
    sandbox: Sandbox,
    make_file: MakeFile,
    tmp_path: Path,
    options: tuple[str, ...],
) -> None:
    """A worker with another obsup, others that join and leave, all killed, the scheduler killed, and another file.

    Whatever happened, the printed command continues the upload, and parts that were recorded are not sent again.
    """
    both, client_addresses = hosts
    source, [port] = make_file(100 * 102_400), find_ports(1)
    shell, keys = both.shell(), {} if options else both.keys
    arguments = ("upload", str(source), "bucket/key", "--parts", "100", *options, "--retry-for", "4s")
    sandbox.add_fault("slow=25000,op=part,times=always")
    with dask_cluster(tmp_path / "dask", keys, workers=0, host=DRIVER_ADDRESS, port=port) as cluster:
        spec = f"dask:tcp://{DRIVER_ADDRESS}:{port},workers=2,wait=4m"
        with shell.begin(*arguments, "--executor", spec) as process:
            cluster.start_workers(
                1, both.on("a"), PYTHONPATH=other_obsup(tmp_path / "0", "version.py", OTHER)
            )
            for host in "ab":
                cluster.start_workers(1, both.on(host))
            wait_for(
                lambda: {"10.213.77.2", "10.213.77.3"} <= set(client_addresses),
                within_s=LONG_S,
                process=process,
            )
            cluster.start_workers(1, both.on("b"))
            cluster.kill(2, 3)
            number = len(stored(sandbox))
            wait_for(lambda: len(stored(sandbox)) > number, within_s=LONG_S, process=process)
            cluster.kill(1)
            left = Outcome(75, *process.communicate(timeout=LONG_S))
        assert (process.returncode, "It has no workers, and none joined" in left.err) == (75, True), left.err
        assert "10.213.77.2" in left.err.partition("gets no work: it has obsup 0.0.9")[0], left.err
        cluster.start_workers(2, both.on("b"))
        number = sum(stored(sandbox).values())
        with shell.begin(*shlex.split(printed_command(left))[1:]) as process:
            wait_for(lambda: sum(stored(sandbox).values()) > number, within_s=LONG_S, process=process)
            cluster.kill(0, 1)
            stopped = Outcome(75, *process.communicate(timeout=LONG_S))
        assert (process.returncode, "Its scheduler has stopped" in stopped.err) == (75, True), stopped.err
    sandbox.clear_faults()
    other = tmp_path / "other"
    other.write_bytes(bytes(byte ^ 1 for byte in source.read_bytes()))
    os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    with dask_cluster(tmp_path / "again", keys, workers=0, host=DRIVER_ADDRESS, port=port) as cluster:
        cluster.start_workers(
            1, (*both.on("a"), "sh", "-c", f'mount --bind {other} {source} && exec "$@"', "sh")
        )
        cluster.start_workers(1, both.on("b"))
        outcome = shell.run_script(printed_command(stopped))
    assert outcome.code == 0, outcome.err
    assert "tcp://10.213.77.2" in outcome.err.partition("gets no more work, because it alone failed")[0]
    assert not re.search("Traceback|distributed", left.err + stopped.err + outcome.err)
    assert sum(stored(sandbox).values()) <= 100 + 20
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert sandbox.uploads() == []
