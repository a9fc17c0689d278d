"""A real proxy before the store: its TLS, its limits, its error pages and its ways of ending connections."""

from __future__ import annotations

import datetime
import re
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.doubles.nginx import Nginx
from tests.support.shell import Outcome, Shell
from tests.support.upload_rig import PART, PATIENT, Rig
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.nginx, pytest.mark.xdist_group("nginx")]

MakeFile = Callable[..., Path]
MakeNginx = Callable[..., Nginx]
PARTS = 8
UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", "2", "--log-file", "run.log")


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of our own."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """Eight parts, the last a smaller one."""
    return make_file((PARTS - 1) * PART + 50_000)


@pytest.fixture
def start(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeNginx]:
    """Start nginx before the sandbox."""
    running: list[Nginx] = []

    def begin(**more: Any) -> Nginx:
        folder = tmp_path_factory.mktemp("nginx") / "nginx"
        running.append(Nginx(folder, f"127.0.0.1:{sandbox.port}", **more).__enter__())
        return running[-1]

    yield begin
    for one in running:
        one.__exit__()


class Client:
    """The same command, again and again, and what is to be true of it in the end."""

    def __init__(self, shell: Shell, sandbox: Sandbox, source: Path) -> None:
        self._shell = shell
        self._sandbox = sandbox
        self._source = source

    def run(self, endpoint: str, *words: str | Path) -> Outcome:
        """Run the upload to its end."""
        return self._shell.run(*UPLOAD, *words, OBSUP_ENDPOINT=endpoint)

    def begin(self, endpoint: str, *words: str | Path) -> subprocess.Popen[str]:
        """Start the upload."""
        return self._shell.begin(*UPLOAD, *words, OBSUP_ENDPOINT=endpoint)

    def wait_for_parts(self, count: int) -> None:
        """Wait until the store holds so many."""
        wait_for(lambda: any(len(one.parts) >= count for one in self._sandbox.uploads()[:1]))

    def confirmed(self) -> Counter[int]:
        """Return how often the client heard of each part that it is stored, in all runs."""
        return Counter(int(part) for part in re.findall(r"UploadPart part=(\d+) status=200", self.log()))

    def log(self) -> str:
        """Return the log of all runs."""
        return (self._source.parent / "run.log").read_text()

    def kept(self) -> set[int]:
        """Return the parts that the one open upload holds, which is the recorded one."""
        (upload,) = self._sandbox.uploads()
        (checkpoint,) = self._source.parent.glob("*.obsup.json")
        assert upload.upload_id in checkpoint.read_text()
        return set(upload.parts)

    def check_done(self) -> None:
        """Assert the object is the source, no part was sent again once confirmed, and nothing is left."""
        assert self._sandbox.object_path("bucket", "key").read_bytes() == self._source.read_bytes()
        assert self._sandbox.uploads() == []
        left = [one.read_text() for one in self._source.parent.glob("*.obsup.json*")]
        assert not [one for one in left if '"uploadId":""' not in one]
        assert self.confirmed() == dict.fromkeys(range(1, PARTS + 1), 1)
        assert [one.operation for one in self._sandbox.requests].count("initiate") == 1


@pytest.fixture
def client(shell: Shell, sandbox: Sandbox, source: Path) -> Client:
    """obsup, in the folder of the source."""
    return Client(shell, sandbox, source)


# TLS.


def test_an_authority_of_our_own(client: Client, start: MakeNginx, authority: Authority) -> None:
    """--ca-bundle names it."""
    nginx = start(tls=authority.files("127.0.0.1"))
    outcome = client.run(nginx.endpoint, "--ca-bundle", authority.bundle)
    assert (outcome.code, outcome.err) == (0, "")
    assert len([one for one in nginx.access_log() if one.part_number]) == PARTS
    client.check_done()


@pytest.mark.parametrize(
    ("hosts", "age_h", "says"),
    [
        (("127.0.0.1",), 3, "certificate has expired"),
        (("127.0.0.1",), -1, "not yet valid"),
        (("obs.example.com",), 1, "IP address mismatch"),
        ((), 1, "not accepted"),
    ],
    ids=["expired", "of the future", "for another host", "of an unknown authority"],
)
def test_a_certificate_that_is_not_accepted(
    client: Client,
    sandbox: Sandbox,
    start: MakeNginx,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    hosts: tuple[str, ...],
    age_h: int,
    says: str,
) -> None:
    """78 at once, saying which; nothing was sent, and the same command does it once that is mended."""
    signer = authority if hosts else Authority(tmp_path_factory.mktemp("stranger"))
    files = signer.files(*(hosts or ("127.0.0.1",)), age=datetime.timedelta(hours=age_h))
    nginx = start(tls=files)
    words = ("--ca-bundle", authority.bundle)
    outcome = client.run(nginx.endpoint, *words)
    assert outcome.code == 78, outcome.err
    assert says in outcome.err
    assert "--ca-bundle" in outcome.err
    assert not sandbox.requests
    nginx.reload(tls=authority.files("127.0.0.1"))
    assert client.run(nginx.endpoint, *words).code == 0
    client.check_done()


def test_a_certificate_that_expires_in_the_middle(
    client: Client, sandbox: Sandbox, start: MakeNginx, authority: Authority
) -> None:
    """78 with everything kept; renewed, the rest is sent."""
    nginx = start(tls=authority.files("127.0.0.1"), http="keepalive_requests 1;")
    sandbox.add_fault("slow=200K,op=part,times=always")
    words = ("--ca-bundle", authority.bundle)
    with client.begin(nginx.endpoint, *words) as process:
        client.wait_for_parts(2)
        nginx.reload(tls=authority.files("127.0.0.1", age=datetime.timedelta(hours=3)))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 78, err
    assert "expired" in err
    there = client.kept()
    nginx.reload(tls=authority.files("127.0.0.1"))
    before = len(sandbox.requests)
    assert client.run(nginx.endpoint, *words).code == 0
    sent = {one.part_number for one in sandbox.requests[before:] if one.operation == "part"}
    assert sent == set(range(1, PARTS + 1)) - there
    client.check_done()


def test_plain_http_to_a_tls_port(
    client: Client, sandbox: Sandbox, start: MakeNginx, authority: Authority
) -> None:
    """78, and what to write instead."""
    nginx = start(tls=authority.files("127.0.0.1"))
    outcome = client.run(nginx.endpoint.replace("https", "http"))
    assert outcome.code == 78, outcome.err
    assert "https://" in outcome.err
    assert not sandbox.requests
    assert client.run(nginx.endpoint, "--ca-bundle", authority.bundle).code == 0
    client.check_done()


def test_tls_to_a_plain_http_port(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """78 at once: patience does not teach it TLS."""
    nginx = start()
    outcome = client.run(nginx.endpoint.replace("http", "https"))
    assert outcome.code == 78, outcome.err
    assert "http://" in outcome.err
    assert not sandbox.requests
    assert client.run(nginx.endpoint).code == 0
    client.check_done()


# Limits.


def test_a_part_larger_than_the_proxy_takes(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """413, before the body was read: 69, saying whose limit to raise; then the same command goes on."""
    nginx = start(settings={"client_max_body_size": "60k"})
    outcome = client.run(nginx.endpoint)
    assert outcome.code == 69, outcome.err
    assert "413" in outcome.err
    assert "client_max_body_size" in outcome.err
    assert "<html" not in outcome.err
    there = client.kept()
    nginx.reload(settings={})
    assert client.run(nginx.endpoint).code == 0
    assert there <= {PARTS}  # the last one is smaller
    client.check_done()


@pytest.mark.parametrize(
    "limit",
    [{"limit_conn": "few 2"}, {"limit_req": "zone=slow burst=4 nodelay"}],
    ids=["limit_conn", "limit_req"],
)
def test_503_from_the_proxy_halves_the_parts_in_flight(
    sandbox: Sandbox, start: MakeNginx, make_file: MakeFile, limit: dict[str, str]
) -> None:
    """With the Retry-After that it was told to send: few parts are under way when another is begun."""
    zones = "limit_conn_zone $server_port zone=few:1m; limit_req_zone $server_port zone=slow:1m rate=10r/s;"
    nginx = start(http=zones, settings={**limit, "add_header": "Retry-After 1 always"})
    sandbox.add_fault("slow=800K,op=part,times=always")
    rig = Rig(sandbox, make_file(24 * PART), jobs=8, endpoint=nginx.endpoint)
    lock, under_way, beside = threading.Lock(), set[int](), list[int]()

    def hear(event: events.Event) -> None:
        number = getattr(event, "number", None)
        with lock:
            if isinstance(event, events.PartStored):
                under_way.discard(event.number)
            elif number is not None and number not in under_way:
                beside.append(len(under_way))
                under_way.add(number)

    rig.run(hear=hear)
    retried = [one for one in rig.heard if isinstance(one, events.Retried)]
    assert all(one.throttled and one.delay_s >= 1 for one in retried)
    assert [one for one in nginx.access_log() if one.status == 503]
    assert statistics.median(beside[8:]) <= 5  # of 8 that would be
    assert rig.is_stored()
    assert rig.open_ids() == []
    assert len(rig.requests("part")) == 24


# Connections.


@pytest.mark.parametrize("tls", [False, True])
def test_connections_that_are_used_up(
    client: Client, start: MakeNginx, authority: Authority, tls: bool
) -> None:
    """Three requests, and it is closed: nobody need hear of it."""
    nginx = start(tls=authority.files("127.0.0.1") if tls else None, http="keepalive_requests 3;")
    words = ("--ca-bundle", authority.bundle) if tls else ()
    outcome = client.run(nginx.endpoint, *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert max(one.nth for one in nginx.access_log()) == 3
    assert "retry" not in client.log()
    client.check_done()


@pytest.mark.parametrize("tls", [False, True])
def test_connections_that_are_closed_while_idle(
    sandbox: Sandbox, start: MakeNginx, authority: Authority, source: Path, tls: bool
) -> None:
    """No error, and no attempt that failed: seen before the next request goes out."""
    nginx = start(tls=authority.files("127.0.0.1") if tls else None, http="keepalive_timeout 50ms;")
    rig = Rig(sandbox, source, endpoint=nginx.endpoint)

    def idle(event: events.Event) -> None:
        if isinstance(event, events.PartStored):
            time.sleep(0.3)

    line = replace(PATIENT.network, ca_bundle=str(authority.bundle) if tls else None)
    rig.run(replace(PATIENT, network=line), hear=idle)
    assert not [one for one in rig.heard if isinstance(one, events.Retried)]
    assert len({one.connection for one in nginx.access_log()}) > PARTS
    assert rig.requests("part") == list(range(1, PARTS + 1))
    assert rig.is_stored()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_workers_that_are_killed(client: Client, sandbox: Sandbox, start: MakeNginx, buffering: str) -> None:
    """What was in flight is sent again, by itself."""
    nginx = start(settings={"proxy_request_buffering": buffering})
    sandbox.add_fault("slow=200K,op=part,times=always")
    with client.begin(nginx.endpoint) as process:
        for count in (1, 3, 5):
            client.wait_for_parts(count)
            nginx.kill_workers()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "retry: part" in client.log()
    client.check_done()


def test_a_reload_in_the_middle(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """The old worker ends what it began, and closes its connections."""
    nginx = start()
    sandbox.add_fault("slow=200K,op=part,times=always")
    with client.begin(nginx.endpoint) as process:
        for count in (1, 3, 5):
            client.wait_for_parts(count)
            nginx.reload()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert {one.status for one in nginx.access_log()} == {200}
    client.check_done()


# Error pages: HTML, and none of it reaches the terminal.


def test_the_store_is_gone_and_comes_back(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """502: tried again, and where that takes longer than --retry-for, 75; the same command finishes."""
    nginx = start()
    sandbox.add_fault("slow=200K,op=part,times=always")
    with client.begin(nginx.endpoint, "--retry-for", "1s") as process:
        client.wait_for_parts(3)
        nginx.reload(store="127.0.0.1:1")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "502" in err
    assert "<" not in err
    there = client.kept()
    assert there >= set(client.confirmed())
    nginx.reload(store=f"127.0.0.1:{sandbox.port}")
    before = len(sandbox.requests)
    assert client.run(nginx.endpoint).code == 0
    sent = {one.part_number for one in sandbox.requests[before:] if one.operation == "part"}
    assert sent == set(range(1, PARTS + 1)) - there
    client.check_done()


@pytest.mark.parametrize("operation", ["initiate", "part,part=3", "complete", "uploads"])
@pytest.mark.parametrize("status", [502, 504])
def test_an_error_page_once(
    client: Client, sandbox: Sandbox, start: MakeNginx, operation: str, status: int
) -> None:
    """502 for a store that hung up, 504 for one that is slow and does the work all the same: survived."""
    nginx = start(settings={"proxy_read_timeout": "500ms", "proxy_next_upstream": "off"})
    sandbox.add_fault(f"{'drop-answer' if status == 502 else 'delay=1.5'},op={operation}")
    outcome = client.run(nginx.endpoint)
    assert (outcome.code, outcome.err) == (0, "")
    assert status in [one.status for one in nginx.access_log()]
    client.check_done()


# Slow lines.


def test_a_slow_store_behind_the_proxy(
    client: Client, sandbox: Sandbox, start: MakeNginx, make_file: MakeFile
) -> None:
    """A part takes longer than bytes may stand still, and they never do."""
    source = make_file(80_000_000)
    sandbox.add_fault("slow=8M,op=part,times=always")
    outcome = client.run(start().endpoint, "--part-size", "40MB", "--stall-timeout", "3s")
    assert (outcome.code, outcome.err) == (0, "")
    assert "retry" not in client.log()
    assert client.confirmed() == {1: 1, 2: 1}
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_proxy_that_holds_a_part_back(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """It takes the whole part at once and passes it on slowly: its answer is waited for."""
    sandbox.add_fault("slow=100K,op=part,part=1-2,times=always")
    nginx = start(settings={"proxy_request_buffering": "on"})
    outcome = client.run(nginx.endpoint, "--stall-timeout", "5s")
    assert (outcome.code, outcome.err) == (0, "")
    assert "retry" not in client.log()
    client.check_done()


def test_slow_responses(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """A list that comes with 1 KB a second is waited for."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=6,times=always")
    nginx = start()
    assert client.run(nginx.endpoint).code == 77
    sandbox.clear_faults()
    nginx.reload(settings={"limit_rate": "500"})
    outcome = client.run(nginx.endpoint, "--stall-timeout", "2s")
    assert (outcome.code, outcome.err) == (0, "")
    client.check_done()
