"""Uploads through nginx: TLS, limits, error pages, and connections that the proxy closes."""

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
    """A private certificate authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file of eight parts; the last one is smaller."""
    return make_file((PARTS - 1) * PART + 50_000)


@pytest.fixture
def start(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeNginx]:
    """Start nginx in front of the sandbox."""
    running: list[Nginx] = []

    def start_nginx(**options: Any) -> Nginx:
        folder = tmp_path_factory.mktemp("nginx") / "nginx"
        running.append(Nginx(folder, f"127.0.0.1:{sandbox.port}", **options).__enter__())
        return running[-1]

    yield start_nginx
    for nginx in running:
        nginx.__exit__()


class Client:
    """Runs the same upload command repeatedly and checks the result."""

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
        """Wait until the store has *count* parts."""
        wait_for(lambda: any(len(upload.parts) >= count for upload in self._sandbox.uploads()[:1]))

    def confirmed(self) -> Counter[int]:
        """Return how often each part was confirmed to the client, in all runs."""
        return Counter(int(part) for part in re.findall(r"UploadPart part=(\d+) status=200", self.log()))

    def log(self) -> str:
        """Return the log of all runs."""
        return (self._source.parent / "run.log").read_text()

    def stored_parts(self) -> set[int]:
        """Return the stored parts of the only open upload, which must be the recorded one."""
        (upload,) = self._sandbox.uploads()
        (checkpoint,) = self._source.parent.glob("*.obsup.json")
        assert upload.upload_id in checkpoint.read_text()
        return set(upload.parts)

    def check_done(self) -> None:
        """Assert that the object is the source, no confirmed part was sent again, and nothing is left open."""
        assert self._sandbox.object_path("bucket", "key").read_bytes() == self._source.read_bytes()
        assert self._sandbox.uploads() == []
        checkpoints = [path.read_text() for path in self._source.parent.glob("*.obsup.json*")]
        assert not [text for text in checkpoints if '"uploadId":""' not in text]
        assert self.confirmed() == dict.fromkeys(range(1, PARTS + 1), 1)
        assert [request.operation for request in self._sandbox.requests].count("initiate") == 1


@pytest.fixture
def client(shell: Shell, sandbox: Sandbox, source: Path) -> Client:
    """Runs obsup in the folder of the source."""
    return Client(shell, sandbox, source)


# TLS.


def test_a_private_authority_is_accepted_with_ca_bundle(
    client: Client, start: MakeNginx, authority: Authority
) -> None:
    """The option names the certificate file of the authority."""
    nginx = start(tls=authority.files("127.0.0.1"))
    outcome = client.run(nginx.endpoint, "--ca-bundle", authority.bundle)
    assert (outcome.code, outcome.err) == (0, "")
    assert len([entry for entry in nginx.access_log() if entry.part_number]) == PARTS
    client.check_done()


@pytest.mark.parametrize(
    ("hosts", "age_h", "message", "advice"),
    [
        (("127.0.0.1",), 3, "certificate has expired", "Check the clock"),
        (("127.0.0.1",), -1, "not yet valid", "Check the clock"),
        (("obs.example.com",), 1, "IP address mismatch", "Check --endpoint"),
        ((), 1, "not accepted", "with --ca-bundle"),
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
    message: str,
    advice: str,
) -> None:
    """Exit 78 at once with the reason, and nothing is sent; with a valid certificate, the same command succeeds."""
    signer = authority if hosts else Authority(tmp_path_factory.mktemp("unknown"))
    files = signer.files(*(hosts or ("127.0.0.1",)), age=datetime.timedelta(hours=age_h))
    nginx = start(tls=files)
    words = ("--ca-bundle", authority.bundle)
    outcome = client.run(nginx.endpoint, *words)
    assert outcome.code == 78, outcome.err
    assert message in outcome.err
    assert advice in outcome.err
    assert not sandbox.requests
    nginx.reload(tls=authority.files("127.0.0.1"))
    assert client.run(nginx.endpoint, *words).code == 0
    client.check_done()


def test_a_certificate_that_expires_during_the_upload(
    client: Client, sandbox: Sandbox, start: MakeNginx, authority: Authority
) -> None:
    """Exit 78, and the upload is kept; with a renewed certificate, the missing parts are sent."""
    nginx = start(tls=authority.files("127.0.0.1"), http="keepalive_requests 1;")
    sandbox.add_fault("slow=200K,op=part,times=always")
    words = ("--ca-bundle", authority.bundle)
    with client.begin(nginx.endpoint, *words) as process:
        client.wait_for_parts(2)
        nginx.reload(tls=authority.files("127.0.0.1", age=datetime.timedelta(hours=3)))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 78, err
    assert "expired" in err
    stored = client.stored_parts()
    nginx.reload(tls=authority.files("127.0.0.1"))
    before = len(sandbox.requests)
    assert client.run(nginx.endpoint, *words).code == 0
    sent = {request.part_number for request in sandbox.requests[before:] if request.operation == "part"}
    assert sent == set(range(1, PARTS + 1)) - stored
    client.check_done()


def test_plain_http_to_a_tls_port(
    client: Client, sandbox: Sandbox, start: MakeNginx, authority: Authority
) -> None:
    """Exit 78, and the error names https://."""
    nginx = start(tls=authority.files("127.0.0.1"))
    outcome = client.run(nginx.endpoint.replace("https", "http"))
    assert outcome.code == 78, outcome.err
    assert "https://" in outcome.err
    assert not sandbox.requests
    assert client.run(nginx.endpoint, "--ca-bundle", authority.bundle).code == 0
    client.check_done()


def test_tls_to_a_plain_http_port(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """Exit 78 without a retry: a retry cannot succeed."""
    nginx = start()
    outcome = client.run(nginx.endpoint.replace("http", "https"))
    assert outcome.code == 78, outcome.err
    assert "http://" in outcome.err
    assert not sandbox.requests
    assert client.run(nginx.endpoint).code == 0
    client.check_done()


# Limits.


def test_a_part_larger_than_the_limit_of_the_proxy(
    client: Client, sandbox: Sandbox, start: MakeNginx
) -> None:
    """413 before the body is read: exit 69, and the error names the limit; once it is raised, the command resumes."""
    nginx = start(settings={"client_max_body_size": "60k"})
    outcome = client.run(nginx.endpoint)
    assert outcome.code == 69, outcome.err
    assert "413" in outcome.err
    assert "client_max_body_size" in outcome.err
    assert "<html" not in outcome.err
    stored = client.stored_parts()
    nginx.reload(settings={})
    assert client.run(nginx.endpoint).code == 0
    assert stored <= {PARTS}  # the last one is smaller
    client.check_done()


@pytest.mark.parametrize(
    "limit",
    [{"limit_conn": "few 2"}, {"limit_req": "zone=slow burst=4 nodelay"}],
    ids=["limit_conn", "limit_req"],
)
def test_503_from_the_proxy_halves_the_parts_in_flight(
    sandbox: Sandbox, start: MakeNginx, make_file: MakeFile, limit: dict[str, str]
) -> None:
    """Retry-After is respected, and fewer parts are in flight when the next one starts."""
    zones = "limit_conn_zone $server_port zone=few:1m; limit_req_zone $server_port zone=slow:1m rate=10r/s;"
    nginx = start(http=zones, settings={**limit, "add_header": "Retry-After 1 always"})
    sandbox.add_fault("slow=800K,op=part,times=always")
    rig = Rig(sandbox, make_file(24 * PART), jobs=8, endpoint=nginx.endpoint)
    lock, in_flight, in_flight_counts = threading.Lock(), set[int](), list[int]()

    def count(event: events.Event) -> None:
        number = getattr(event, "number", None)
        with lock:
            if isinstance(event, events.PartStored):
                in_flight.discard(event.number)
            elif number is not None and number not in in_flight:
                in_flight_counts.append(len(in_flight))
                in_flight.add(number)

    rig.run(observer=count)
    retried = [event for event in rig.observed if isinstance(event, events.Retried)]
    assert all(event.throttled and event.delay_s >= 1 for event in retried)
    assert [entry for entry in nginx.access_log() if entry.status == 503]
    assert statistics.median(in_flight_counts[8:]) <= 5  # instead of 8
    assert rig.is_stored()
    assert rig.open_ids() == []
    assert len(rig.requests("part")) == 24


# Connections.


@pytest.mark.parametrize("tls", [False, True])
def test_a_limit_of_requests_per_connection(
    client: Client, start: MakeNginx, authority: Authority, tls: bool
) -> None:
    """A connection that is closed after three requests is replaced without a retry or a message."""
    nginx = start(tls=authority.files("127.0.0.1") if tls else None, http="keepalive_requests 3;")
    words = ("--ca-bundle", authority.bundle) if tls else ()
    outcome = client.run(nginx.endpoint, *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert max(entry.nth for entry in nginx.access_log()) == 3
    assert "retry" not in client.log()
    client.check_done()


@pytest.mark.parametrize("tls", [False, True])
def test_connections_that_are_closed_while_idle(
    sandbox: Sandbox, start: MakeNginx, authority: Authority, source: Path, tls: bool
) -> None:
    """The closed connection is detected before the next request is sent: no error and no retry."""
    nginx = start(tls=authority.files("127.0.0.1") if tls else None, http="keepalive_timeout 50ms;")
    rig = Rig(sandbox, source, endpoint=nginx.endpoint)

    def idle(event: events.Event) -> None:
        if isinstance(event, events.PartStored):
            time.sleep(0.3)

    network = replace(PATIENT.network, ca_bundle=str(authority.bundle) if tls else None)
    rig.run(replace(PATIENT, network=network), observer=idle)
    assert not [event for event in rig.observed if isinstance(event, events.Retried)]
    assert len({entry.connection for entry in nginx.access_log()}) > PARTS
    assert rig.requests("part") == list(range(1, PARTS + 1))
    assert rig.is_stored()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_workers_that_are_killed(client: Client, sandbox: Sandbox, start: MakeNginx, buffering: str) -> None:
    """Parts in flight are retried automatically."""
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


def test_a_reload_during_the_upload(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """The old worker finishes its requests and closes its connections; no request fails."""
    nginx = start()
    sandbox.add_fault("slow=200K,op=part,times=always")
    with client.begin(nginx.endpoint) as process:
        for count in (1, 3, 5):
            client.wait_for_parts(count)
            nginx.reload()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert {entry.status for entry in nginx.access_log()} == {200}
    client.check_done()


# Error pages. Their HTML must not appear on the terminal.


def test_the_store_is_unavailable_for_some_time(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """502 is retried for --retry-for, then the command exits with 75; the same command resumes."""
    nginx = start()
    sandbox.add_fault("slow=200K,op=part,times=always")
    with client.begin(nginx.endpoint, "--retry-for", "1s") as process:
        client.wait_for_parts(3)
        nginx.reload(store="127.0.0.1:1")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "502" in err
    assert "<" not in err
    stored = client.stored_parts()
    assert stored >= set(client.confirmed())
    nginx.reload(store=f"127.0.0.1:{sandbox.port}")
    before = len(sandbox.requests)
    assert client.run(nginx.endpoint).code == 0
    sent = {request.part_number for request in sandbox.requests[before:] if request.operation == "part"}
    assert sent == set(range(1, PARTS + 1)) - stored
    client.check_done()


@pytest.mark.parametrize("operation", ["initiate", "part,part=3", "complete", "uploads"])
@pytest.mark.parametrize("status", [502, 504])
def test_an_error_page_once(
    client: Client, sandbox: Sandbox, start: MakeNginx, operation: str, status: int
) -> None:
    """502 if the store closes the connection, 504 if it does not respond in time: the upload succeeds."""
    nginx = start(settings={"proxy_read_timeout": "500ms", "proxy_next_upstream": "off"})
    # A minute: the request is not executed before the test has ended, however slow the machine is.
    sandbox.add_fault(f"{'drop-answer' if status == 502 else 'delay=60'},op={operation}")
    outcome = client.run(nginx.endpoint)
    assert (outcome.code, outcome.err) == (0, "")
    assert status in [entry.status for entry in nginx.access_log()]
    client.check_done()


# Slow connections.


def test_a_slow_store_behind_the_proxy(
    client: Client, sandbox: Sandbox, start: MakeNginx, make_file: MakeFile
) -> None:
    """A part takes longer than --stall-timeout, but its bytes keep moving."""
    source = make_file(80_000_000)
    sandbox.add_fault("slow=8M,op=part,times=always")
    outcome = client.run(start().endpoint, "--part-size", "40MB", "--stall-timeout", "3s")
    assert (outcome.code, outcome.err) == (0, "")
    assert "retry" not in client.log()
    assert client.confirmed() == {1: 1, 2: 1}
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_proxy_that_buffers_parts(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """It reads the whole part at once and forwards it slowly; obsup waits for the response."""
    sandbox.add_fault("slow=100K,op=part,part=1-2,times=always")
    nginx = start(settings={"proxy_request_buffering": "on"})
    outcome = client.run(nginx.endpoint, "--stall-timeout", "5s")
    assert (outcome.code, outcome.err) == (0, "")
    assert "retry" not in client.log()
    client.check_done()


def test_slow_responses(client: Client, sandbox: Sandbox, start: MakeNginx) -> None:
    """A list that arrives slowly is not a stall."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=6,times=always")
    nginx = start()
    assert client.run(nginx.endpoint).code == 77
    sandbox.clear_faults()
    nginx.reload(settings={"limit_rate": "500"})
    outcome = client.run(nginx.endpoint, "--stall-timeout", "2s")
    assert (outcome.code, outcome.err) == (0, "")
    client.check_done()
