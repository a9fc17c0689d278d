"""Slow connections are awaited, stalled ones are closed and the request retried, in both directions."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.errors import NotFinished
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import LONG_TIMEOUT_FACTOR
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import Reply, ScriptedServer
from tests.doubles.slow_network import Direction, SlowNetwork, Stall
from tests.doubles.tls_proxy import TlsProxy
from tests.support.matrix import mostly_slow
from tests.support.upload_rig import IMPATIENT, PART, PATIENT, Rig
from tests.support.waiting import wait_for

STALL_S = 0.4
MIB = 1024 * 1024
NETWORK = ConnectionSettings(stall_timeout_s=STALL_S)
# Operations whose connection stalls (the sandbox's names), and a pattern for the request line.
REQUESTS = {
    "initiate": r"^POST .*\?uploads[& ]",
    "part": r"^PUT .*partNumber=2&",
    "complete": r"^POST .*\?uploadId=",
    "put": r"^PUT /bucket/key ",
}


@pytest.fixture
def rig(sandbox: Sandbox, tmp_path: Path) -> Rig:
    """A source of three parts."""
    source = tmp_path / "bigfile"
    source.write_bytes(bytes(2 * PART + 50_000))
    return Rig(sandbox, source)


def retries(rig: Rig) -> list[events.Retried]:
    """Return the retries of this run."""
    return [event for event in rig.observed if isinstance(event, events.Retried)]


@pytest.mark.parametrize("way", mostly_slow(["http", "https", "proxy"], "http"))
def test_a_slow_connection_is_never_aborted(tmp_path: Path, sandbox: Sandbox, rig: Rig, way: str) -> None:
    """A part takes ten times --stall-timeout, and its last bytes stay in the local send buffer for long.

    To a store without and with TLS, and to one with TLS through a proxy that is itself reached over TLS.
    """
    rig.source.write_bytes(bytes(4 * MIB))
    rig.part_size = 4 * MIB
    with ExitStack() as stack:
        authority = Authority(tmp_path)
        tls = None if way == "http" else authority.files("127.0.0.1")
        store = stack.enter_context(Sandbox(tls=tls))
        slow_port, network = store.port, replace(NETWORK, ca_bundle=str(authority.bundle))
        if way == "proxy":
            slow_port = stack.enter_context(TlsProxy(*authority.files("127.0.0.1"))).port
        relay = stack.enter_context(SlowNetwork(slow_port, up=MIB))
        secure_relay = relay.endpoint.replace("http:", "https:")
        rig.sandbox = store
        rig.endpoint = relay.endpoint if way == "http" else secure_relay
        if way == "proxy":
            rig.endpoint, network = store.endpoint, replace(network, proxy=secure_relay)
        result = rig.run(replace(PATIENT, network=network), parts=1, part_size=None)
        assert result.seconds > 8 * STALL_S
        assert retries(rig) == []
        assert rig.is_stored()


@pytest.mark.slow
def test_a_stalled_connection_through_a_proxy_with_tls_is_aborted(tmp_path: Path, rig: Rig) -> None:
    """The session tickets of the store, which arrive during the first request of the connection, are no progress."""
    rig.source.write_bytes(bytes(8 * MIB))
    rig.part_size = None
    authority = Authority(tmp_path)
    stall = Stall("", "up", after=MIB)
    with (
        Sandbox(tls=authority.files("127.0.0.1")) as store,
        TlsProxy(*authority.files("127.0.0.1")) as proxy,
        SlowNetwork(proxy.port, stall=stall) as relay,
    ):
        rig.sandbox, rig.endpoint = store, store.endpoint
        url = relay.endpoint.replace("http:", "https:")
        network = replace(NETWORK, ca_bundle=str(authority.bundle), proxy=url)
        rig.run(replace(PATIENT, network=network))
        assert stall.stalled
        assert len(retries(rig)) == 1
        assert rig.is_stored()


@pytest.mark.slow
def test_a_slow_response_is_awaited(sandbox: Sandbox, rig: Rig) -> None:
    """Each response takes longer than --stall-timeout, but its bytes keep moving."""
    with SlowNetwork(sandbox.port, down=500) as relay:
        rig.endpoint = relay.endpoint
        result = rig.run(replace(PATIENT, network=NETWORK))
    assert result.seconds > 4 * STALL_S
    assert retries(rig) == []
    assert rig.is_stored()


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("operation", REQUESTS)
def test_a_stalled_connection_is_aborted(
    sandbox: Sandbox, rig: Rig, operation: str, direction: Direction
) -> None:
    """The request is retried or found to be executed; the upload continues."""
    if operation == "put":
        rig.source.write_bytes(bytes(50_000))
        rig.part_size = None
    after = 20_000 if (direction, operation) in (("up", "part"), ("up", "put")) else 20
    stall = Stall(REQUESTS[operation], direction, after)
    with SlowNetwork(sandbox.port, stall=stall) as relay:
        rig.endpoint = relay.endpoint
        result = rig.run(replace(PATIENT, network=NETWORK))
    assert stall.stalled
    assert result.seconds > STALL_S * (LONG_TIMEOUT_FACTOR if operation == "complete" else 1)
    sent = {"part": 4, "put": 2}.get(operation, 1)
    # The store sees the aborted request only when the relay closes its side of the connection.
    wait_for(lambda: len(rig.requests(operation)) >= sent)
    assert len(rig.requests(operation)) == sent
    assert rig.is_stored()
    assert rig.open_ids() == []


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_stalled_presigned_part_is_aborted(sandbox: Sandbox, rig: Rig, direction: Direction) -> None:
    """Workers without credentials use the same timeout."""
    stall = Stall(REQUESTS["part"], direction, after=20)
    with SlowNetwork(sandbox.port, stall=stall) as relay:
        rig.endpoint = relay.endpoint
        rig.run(replace(PATIENT, network=NETWORK), executor="processes", presign=True, jobs=1)
    assert stall.stalled
    assert rig.is_stored()


def test_complete_has_a_longer_timeout(sandbox: Sandbox, rig: Rig) -> None:
    """A store may need minutes to assemble ten thousand parts; a delayed response to a part is a stall."""
    sandbox.add_fault(f"delay={3 * STALL_S},op=complete")
    rig.run(replace(PATIENT, network=NETWORK))
    assert retries(rig) == []
    sandbox.add_fault(f"delay={3 * STALL_S},op=part,part=2")
    rig.run(replace(PATIENT, network=NETWORK))
    assert [event.number for event in retries(rig)] == [2]
    assert rig.is_stored()


def after_part(number: int, act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that acts when part *number* is stored."""

    def observe(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == number:
            act()

    return observe


def check_resumes(rig: Rig, code: int) -> None:
    """Assert that the run exited with 75 and kept the upload, and that the same command sends the missing part."""
    assert code == 75
    assert rig.checkpoint.exists()
    assert rig.run(replace(PATIENT, addressing="path")).sent_parts == 1
    assert rig.is_stored()
    assert rig.open_ids() == []


def test_a_store_that_is_unavailable_for_some_time(tmp_path: Path, rig: Rig) -> None:
    """Connections are refused; stored parts are kept."""
    access, secret, folder = rig.sandbox.access_key, rig.sandbox.secret_key, tmp_path / "store"
    with ExitStack() as running:
        rig.sandbox = running.enter_context(Sandbox(folder, access_key=access, secret_key=secret))
        code = rig.code(IMPATIENT, observer=after_part(2, running.close))
    port = rig.sandbox.port
    with Sandbox(folder, port=port, access_key=access, secret_key=secret) as rig.sandbox:
        check_resumes(rig, code)


def test_a_host_name_that_no_longer_resolves(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS fails when a new connection is needed; stored parts are kept."""
    resolve, is_resolvable = socket.getaddrinfo, [True]

    def getaddrinfo(host: str | bytes | None, *args: Any, **more: Any) -> Any:
        if host not in ("store.test", b"store.test"):
            return resolve(host, *args, **more)
        if is_resolvable[0]:
            return resolve("127.0.0.1", *args, **more)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    rig.endpoint = f"http://store.test:{rig.sandbox.port}"
    rig.sandbox.add_fault("reset,op=part,part=3")
    by_path = replace(IMPATIENT, addressing="path")
    with pytest.raises(NotFinished, match="could not be resolved") as caught:
        rig.run(by_path, observer=after_part(2, lambda: is_resolvable.__setitem__(0, False)))
    is_resolvable[0] = True
    check_resumes(rig, caught.value.exit_code)


def test_a_response_that_trickles_in_ends_after_the_retry_time(rig: Rig) -> None:
    """A server that keeps a connection alive with single bytes cannot hold obsup for longer than --retry-for."""
    pieces = [b"HTTP/1.1 200 OK\r\nETag: ", *[b"a"] * 10_000]
    with ScriptedServer(lambda _: Reply(pieces, pause_s=0.01)) as server:
        rig.endpoint = server.endpoint
        with pytest.raises(NotFinished, match="too slowly"):
            rig.run(replace(PATIENT, retry_for_s=0.5, network=NETWORK))
        assert len(server.received) < 5


def test_the_last_attempt_does_not_outlast_the_retry_time(sandbox: Sandbox, rig: Rig) -> None:
    """However long --stall-timeout is: it limits the first attempt, --retry-for all that follow."""
    sandbox.add_fault("error=500:InternalError,op=part,part=2")
    with SlowNetwork(sandbox.port) as relay:
        rig.endpoint = relay.endpoint

        def stall(event: events.Event) -> None:
            if isinstance(event, events.Retried):
                relay.stall = Stall(REQUESTS["part"], "down")

        began_s = time.monotonic()
        with pytest.raises(NotFinished, match="idle for too long"):
            rig.run(replace(PATIENT, retry_for_s=0.2), observer=stall)
    assert time.monotonic() - began_s < ConnectionSettings().stall_timeout_s / 2


@pytest.mark.slow
def test_the_last_attempt_to_connect_does_not_outlast_the_retry_time(rig: Rig) -> None:
    """The same for --connect-timeout, with a server that stops accepting connections."""
    network = replace(NETWORK, connect_timeout_s=60.0)
    with socket.socket() as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        rig.endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"

        def fill(event: events.Event) -> None:
            if isinstance(event, events.Retried):
                server.listen(0)
                for _ in range(4):
                    client = waiting.enter_context(socket.socket())
                    client.setblocking(False)
                    client.connect_ex(server.getsockname())

        began_s = time.monotonic()
        with pytest.raises(NotFinished, match=r"no connection to .* within"):
            rig.run(replace(PATIENT, retry_for_s=0.2, network=network), observer=fill)
    assert time.monotonic() - began_s < network.connect_timeout_s / 2
