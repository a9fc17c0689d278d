"""Uploads through Squid, stunnel and a SOCKS server: logins, error pages, proxies that end or never answer."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from obsup.dialects.addressing import locate
from obsup.errors import NetworkError
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from tests.doubles.certificates import Authority
from tests.doubles.listener import Listener
from tests.doubles.nginx import Nginx
from tests.doubles.proxy_servers import (
    HOST,
    PASSWORD,
    USER,
    Daemon,
    SocksServer,
    Squid,
    Stunnel,
    login,
    resolving,
)
from tests.doubles.scripted_server import ScriptedServer, response
from tests.support.batch import assert_stored, make_files
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.proxies

MakeFile = Callable[..., Path]
KINDS = ("http", "https", "socks5", "socks5h")
PARTS = 6
SIZE = PARTS * 102_400 - 1
UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", "2", "-v", "--log-file", "run.log")


class Proxies:
    """Starts each proxy when it is asked for, and keeps it for the tests that follow."""

    def __init__(self, stack: ExitStack, authority: Authority) -> None:
        self._stack = stack
        self._authority = authority
        self._running: dict[tuple[str, bool], tuple[Daemon, Daemon]] = {}

    def get(self, kind: str, *, login: bool = False) -> tuple[Daemon, Daemon]:
        """Return the proxy of *kind*, and the server that writes its log."""
        if (kind, login) not in self._running:
            self._running[kind, login] = self._start(kind, login)
        return self._running[kind, login]

    def _start(self, kind: str, login: bool) -> tuple[Daemon, Daemon]:
        if kind == "https":
            _, squid = self.get("http", login=login)
            files = self._authority.files("127.0.0.1")
            return self._stack.enter_context(Stunnel(squid, files)), squid
        server = Squid(login=login) if kind == "http" else SocksServer(kind, login=login)
        self._stack.enter_context(server)
        return server, server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the certificates of proxies, stores and clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def proxies(authority: Authority) -> Iterator[Proxies]:
    """The proxies of this module."""
    with ExitStack() as stack:
        yield Proxies(stack, authority)


@dataclass
class Rig:
    """A store at HOST, and commands that find it."""

    store: Sandbox
    shell: Shell

    def upload(self, *words: str, **variables: str) -> Outcome:
        """Run the upload."""
        return self.shell.run(*UPLOAD, *words, **variables)

    def is_stored(self) -> bool:
        """Return whether the object is the source, and no upload is open."""
        stored = self.store.object_path("bucket", "key").read_bytes()
        return stored == (self.shell.folder / "bigfile").read_bytes() and self.store.uploads() == []

    def texts(self, outcome: Outcome) -> str:
        """Return everything that the command has written."""
        files = (path for path in self.shell.folder.iterdir() if path.is_file() and path.name != "bigfile")
        return outcome.out + outcome.err + "".join(path.read_text("latin-1") for path in files)


def make_rig(store: Sandbox, folder: Path, authority: Authority, scheme: str) -> Rig:
    """Return a rig for *store*; nss_wrapper resolves HOST for the commands."""
    (folder / "hosts").write_text(f"127.0.0.1 {HOST}\n")
    variables = {
        **Shell.against(store, folder).environment,
        "OBSUP_ENDPOINT": f"{scheme}://{HOST}:{store.port}",
        "OBSUP_ADDRESSING": "path",
        "OBSUP_PROVIDER": "obs",
        "OBSUP_CA_BUNDLE": str(authority.bundle),
        **resolving(folder),
    }
    return Rig(store, Shell(folder, variables))


@pytest.fixture(params=["http", "https"])
def rig(
    request: pytest.FixtureRequest, authority: Authority, tmp_path: Path, make_file: MakeFile
) -> Iterator[Rig]:
    """A store without and with TLS, and a source of several parts."""
    make_file(SIZE)
    with Sandbox(tls=authority.files(HOST) if request.param == "https" else None) as store:
        yield make_rig(store, tmp_path, authority, request.param)


def variables(proxy: Daemon, user: str = "") -> dict[str, str]:
    """Return the environment that names *proxy* for both schemes."""
    return {"HTTP_PROXY": proxy.url(user), "HTTPS_PROXY": proxy.url(user)}


def output(server: Daemon) -> str:
    """Return the access log of Squid, or what microsocks prints."""
    path = server.folder / ("access.log" if isinstance(server, Squid) else "output")
    return path.read_text() if path.exists() else ""


def assert_no_password(texts: str, password: str = PASSWORD) -> None:
    """Assert that *texts* contains the password in no form."""
    pair = base64.b64encode(f"{USER}:{password}".encode()).decode()
    for form in (password, quote(password, safe=""), pair):
        assert form not in texts


# Every kind of proxy and store.


@pytest.mark.parametrize("with_login", [False, True], ids=["open", "login"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_upload(kind: str, with_login: bool, rig: Rig, proxies: Proxies) -> None:
    """All bytes pass the proxy, and the password is in no output."""
    proxy, server = proxies.get(kind, login=with_login)
    before = len(output(server))
    outcome = rig.upload("--json", **variables(proxy, login() if with_login else ""))
    assert outcome.code == 0, outcome.err
    assert rig.is_stored()
    assert_no_password(rig.texts(outcome))
    resolved = "127.0.0.1" if kind == "socks5" else HOST
    wait_for(lambda: f"{resolved}:{rig.store.port}" in output(server)[before:])


@pytest.mark.parametrize("user", ["", login("another-word")], ids=["none", "wrong"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_login_that_the_proxy_rejects(kind: str, user: str, rig: Rig, proxies: Proxies) -> None:
    """Exit 78 without a retry, and the variable for it is named."""
    proxy, _ = proxies.get(kind, login=True)
    outcome = rig.upload(**variables(proxy, user))
    assert outcome.code == 78, outcome.err
    assert "SCHEME://USER:PASSWORD@HOST:PORT" in outcome.err
    assert "requires a user and a password" in outcome.err
    assert rig.store.requests == []
    assert_no_password(rig.texts(outcome), "another-word")


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_is_down(kind: str, rig: Rig) -> None:
    """Exit 75 after --retry-for, and the message is about the proxy."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = f"{kind}://127.0.0.1:{nobody.getsockname()[1]}"
        outcome = rig.upload("--retry-for", "1s", HTTP_PROXY=down, HTTPS_PROXY=down)
    assert outcome.code == 75, outcome.err
    assert "through the proxy: connection refused" in outcome.err
    assert "check --proxy, or the variable that names the proxy" in outcome.err.lower()


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
def test_a_proxy_that_never_answers(kind: str, rig: Rig) -> None:
    """--connect-timeout, --stall-timeout and --retry-for bound the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"{kind}://127.0.0.1:{silent.getsockname()[1]}"
        limits = ("--connect-timeout", "1s", "--stall-timeout", "1s", "--retry-for", "1s")
        outcome = rig.upload(*limits, HTTP_PROXY=proxy, HTTPS_PROXY=proxy)
    assert outcome.code == 75, outcome.err
    assert rig.store.requests == []


@pytest.mark.parametrize("kind", ["socks5h", "http"])
def test_many_small_files(kind: str, rig: Rig, proxies: Proxies) -> None:
    """They are sent by several processes."""
    names = [f"tree/{number}" for number in range(500)]
    make_files(rig.shell, *names)
    proxy, _ = proxies.get(kind, login=True)
    outcome = rig.shell.run("upload", "-r", "tree", "bucket/", **variables(proxy, login()))
    assert outcome.code == 0, outcome.err
    assert_stored(rig.shell, rig.store, "", names)


# Which proxy applies.


@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        ("http", "http_proxy"),
        ("http", "HTTP_PROXY"),
        ("https", "https_proxy"),
        ("https", "HTTPS_PROXY"),
        ("http", "all_proxy"),
        ("https", "ALL_PROXY"),
        ("https", "OBSUP_PROXY"),
        ("http", "--proxy"),
        ("http", "profile"),
    ],
)
def test_what_names_the_proxy(
    scheme: str, name: str, authority: Authority, proxies: Proxies, tmp_path: Path, make_file: MakeFile
) -> None:
    """Each spelling of curl, and those of obsup, with and without a scheme."""
    make_file(SIZE)
    proxy, server = proxies.get("http")
    url = proxy.url() if name.isupper() else proxy.url().removeprefix("http://")
    before = len(output(server))
    with Sandbox(tls=authority.files(HOST) if scheme == "https" else None) as store:
        rig = make_rig(store, tmp_path, authority, scheme)
        words: tuple[str, ...] = ()
        named = {name: url}
        if name == "--proxy":
            words, named = (name, url), {}
        elif name == "profile":
            (tmp_path / "config.toml").write_text(f'[profiles.office]\nproxy = "{url}"\n')
            words, named = ("--config", "config.toml", "--profile", "office"), {}
        outcome = rig.upload(*words, **named)
        assert outcome.code == 0, outcome.err
        wait_for(lambda: f"{HOST}:{store.port}" in output(server)[before:])


@pytest.mark.parametrize("no_proxy", [HOST, ".test", "elsewhere.test, *", "127.0.0.0/8 store.test:{port}"])
@pytest.mark.parametrize("named", ["HTTP_PROXY", "--proxy"])
def test_a_store_that_no_proxy_lists(
    named: str, no_proxy: str, authority: Authority, tmp_path: Path, make_file: MakeFile
) -> None:
    """It is reached directly, as curl does, whatever names the proxy; doctor shows no proxy."""
    make_file(SIZE)
    with Sandbox() as store:
        rig = make_rig(store, tmp_path, authority, "http")
        words = ("--proxy", "http://127.0.0.1:9") if named == "--proxy" else ()
        environment = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": no_proxy.format(port=store.port)}
        assert rig.upload(*words, **environment).code == 0
        outcome = rig.shell.run("doctor", "bucket", *words, **environment)
    assert outcome.code == 0, outcome.err
    assert "proxy" not in outcome.out


@pytest.mark.parametrize("kind", KINDS)
def test_doctor_names_the_proxy(kind: str, rig: Rig, proxies: Proxies) -> None:
    """Without its login."""
    proxy, _ = proxies.get(kind, login=True)
    outcome = rig.shell.run("doctor", "bucket", **variables(proxy, login()))
    assert outcome.code == 0, outcome.err
    assert f"through the proxy {proxy.url()}" in outcome.out
    assert_no_password(outcome.out + outcome.err)


def test_a_socks_proxy_with_an_address_that_does_not_answer(rig: Rig, proxies: Proxies) -> None:
    """Its other address is used within the same timeout."""
    proxy, _ = proxies.get("socks5h")
    with (rig.shell.folder / "hosts").open("a") as hosts:
        hosts.write("127.0.0.2 proxy.test\n127.0.0.1 proxy.test\n")
    url = f"socks5h://proxy.test:{proxy.port}"
    with socket.socket() as mute, ExitStack() as waiting:
        mute.bind(("127.0.0.2", proxy.port))
        mute.listen(0)  # the kernel drops packets because the queue is full
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(mute.getsockname())
        limits = ("--connect-timeout", "5s", "--retry-for", "0s")
        outcome = rig.upload(*limits, HTTP_PROXY=url, HTTPS_PROXY=url)
    assert outcome.code == 0, outcome.err
    assert rig.is_stored()


@pytest.fixture
def mute_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that waits for name servers which do not answer."""
    resolve, ended = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        if host in (HOST, HOST.encode()) and not more.get("flags", 0) & socket.AI_NUMERICHOST:
            ended.wait(60)
        return resolve(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "gethostbyname", getaddrinfo)
    yield
    ended.set()


def send_through(proxy: str) -> None:
    """Send a request to HOST through *proxy*."""
    settings = ConnectionSettings(connect_timeout_s=0.3, proxy=proxy)
    with closing(Transport(settings)) as transport:
        address = locate(f"http://{HOST}:9", "bucket", "key", "path")
        transport.exchange("GET", address, (), headers={}, body=b"", sign=None)


@pytest.mark.usefixtures("mute_resolver")
@pytest.mark.parametrize("kind", ["socks4", "socks5"])
def test_a_name_that_this_computer_resolves(kind: str) -> None:
    """--connect-timeout limits that, too, and the message names the store, not the proxy."""
    began_s = time.monotonic()
    hint = kind.replace("socks4", "socks4a").replace("socks5", "socks5h")
    expected = rf"host name {HOST} could not be resolved \(no name server .* {hint}:// lets the proxy"
    with pytest.raises(NetworkError, match=expected) as caught:
        send_through(f"{kind}://127.0.0.1:9")
    assert caught.value.kind == "resolve"
    assert time.monotonic() - began_s < 30


def test_an_address_that_socks_4_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has only one of IPv6."""
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 9, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(NetworkError, match="no IPv4 address, which SOCKS 4 requires"):
        send_through("socks4://127.0.0.1:9")


def test_a_proxy_that_closes_the_connection(rig: Rig, proxies: Proxies) -> None:
    """microsocks does so with SOCKS 4: the connection to the proxy itself did not fail."""
    proxy = proxies.get("socks5h")[0].url().replace("socks5h", "socks4a")
    outcome = rig.upload("--retry-for", "0s", HTTP_PROXY=proxy, HTTPS_PROXY=proxy)
    assert outcome.code == 75, outcome.err
    assert "the proxy closed the connection to it without a reply" in outcome.err


# What a proxy answers instead of the store.


@pytest.mark.parametrize(("status", "code"), [(403, 78), (502, 75), (504, 75), (429, 75)])
def test_a_page_of_the_proxy(status: int, code: int, rig: Rig) -> None:
    """Rejections are final and temporary failures are retried, with and without a tunnel; no HTML is printed."""
    settings = f"acl any src all\ndeny_info {status}:ERR_ACCESS_DENIED any\nhttp_access deny any\n"
    with Squid(settings) as proxy:
        outcome = rig.upload("--retry-for", "1s", **variables(proxy))
        assert {found for found, *_ in proxy.log()} == {status}
    assert outcome.code == code, outcome.err
    assert str(status) in outcome.err
    assert "proxy" in outcome.err
    assert "<" not in outcome.err
    assert rig.store.requests == []


def test_a_tunnel_that_the_proxy_refuses(authority: Authority, tmp_path: Path, make_file: MakeFile) -> None:
    """Debian's configuration of Squid permits tunnels to port 443 only: exit 78 at once."""
    make_file(SIZE)
    settings = "acl CONNECT method CONNECT\nacl secure port 443\nhttp_access deny CONNECT !secure\n"
    with Sandbox(tls=authority.files(HOST)) as store, Squid(settings) as proxy:
        outcome = make_rig(store, tmp_path, authority, "https").upload(**variables(proxy))
    assert outcome.code == 78, outcome.err
    assert "the proxy refused to connect (403)" in outcome.err
    assert "NO_PROXY" in outcome.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_is_down_behind_the_proxy(kind: str, rig: Rig, proxies: Proxies) -> None:
    """The network is retried, then exit 75; the same command succeeds when the store is there."""
    scheme = rig.shell.environment["OBSUP_ENDPOINT"].partition(":")[0]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"{scheme}://{HOST}:{nobody.getsockname()[1]}"
        proxy = variables(proxies.get(kind)[0])
        outcome = rig.upload("--retry-for", "1s", OBSUP_ENDPOINT=endpoint, **proxy)
    assert outcome.code == 75, outcome.err
    assert "proxy" in outcome.err


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_of_the_store(
    status: int, scheme: str, authority: Authority, proxies: Proxies, tmp_path: Path, make_file: MakeFile
) -> None:
    """It is not followed to another host: exit 78, and the host is named."""
    make_file(SIZE)
    proxy, server = proxies.get("http")
    redirect = response(status, headers={"Location": f"{scheme}://elsewhere.test/bucket/key"})
    tls = authority.context(HOST) if scheme == "https" else None
    with ScriptedServer(lambda _: redirect, tls=tls) as store, Sandbox() as sandbox:
        rig = make_rig(sandbox, tmp_path, authority, scheme)
        endpoint = f"{scheme}://{HOST}:{store.port}"
        outcome = rig.upload(OBSUP_ENDPOINT=endpoint, **variables(proxy))
    assert outcome.code == 78, outcome.err
    assert "elsewhere.test" in outcome.err
    assert "elsewhere" not in output(server)


# A proxy that ends in the middle.


def test_a_proxy_that_is_killed_and_started_again(rig: Rig) -> None:
    """The parts in flight are sent again, no other one."""
    rig.store.add_fault("slow=100K,op=part,times=always")
    with Squid() as proxy, rig.shell.begin(*UPLOAD, **variables(proxy)) as process:
        wait_for_parts(rig.store, 2, process)
        proxy.kill()
        proxy.start()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert rig.is_stored()
    assert_each_part_once(rig)


def test_a_proxy_that_is_killed(rig: Rig) -> None:
    """Exit 75, and the message names the proxy; once it runs again, the same command sends the missing parts."""
    rig.store.add_fault("slow=100K,op=part,times=always")
    with Squid() as proxy:
        with rig.shell.begin(*UPLOAD, "--retry-for", "1s", **variables(proxy)) as process:
            wait_for_parts(rig.store, 2, process)
            proxy.kill()
            _, err = process.communicate(timeout=60)
        assert process.returncode == 75, err
        assert "proxy" in err
        rig.store.clear_faults()
        proxy.start()
        outcome = rig.upload(**variables(proxy))
    assert outcome.code == 0, outcome.err
    assert rig.is_stored()
    assert_each_part_once(rig)


@pytest.mark.parametrize("operation", ["initiate", "part,part=2", "complete"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_response_that_is_lost(kind: str, operation: str, rig: Rig, proxies: Proxies) -> None:
    """The store has executed the request: it is looked up, and no second upload is initiated."""
    rig.store.add_fault(f"drop-answer,op={operation}")
    outcome = rig.upload(**variables(proxies.get(kind)[0]))
    assert outcome.code == 0, outcome.err
    assert rig.is_stored()
    assert [request.operation for request in rig.store.requests].count("initiate") == 1


def wait_for_parts(store: Sandbox, count: int, process: Any) -> None:
    """Wait until *store* has *count* parts."""
    wait_for(lambda: any(len(upload.parts) >= count for upload in store.uploads()), process=process)


def assert_each_part_once(rig: Rig) -> None:
    """Assert that every part was confirmed once, in all runs."""
    confirmed = [
        request.part_number
        for request in rig.store.requests
        if request.operation == "part" and request.status == 200
    ]
    assert set(confirmed) == set(range(1, PARTS + 1))
    log = (rig.shell.folder / "run.log").read_text()
    for number in range(1, PARTS + 1):
        assert log.count(f"UploadPart part={number} status=200") <= 1  # 0 if the answer was lost


# TLS of the proxy.


def test_a_certificate_of_the_proxy_that_is_not_trusted(
    rig: Rig, proxies: Proxies, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Exit 78, and the message is about the proxy, not about the store; its login was not sent."""
    other = Authority(tmp_path_factory.mktemp("other"))
    _, squid = proxies.get("http", login=True)
    with Stunnel(squid, other.files("127.0.0.1")) as proxy:
        outcome = rig.upload(**variables(proxy, login()))
    assert outcome.code == 78, outcome.err
    assert "the proxy's TLS certificate was not accepted" in outcome.err
    assert "--ca-bundle" in outcome.err
    assert "--endpoint" not in outcome.err
    assert rig.store.requests == []


def test_tls_to_a_proxy_without_it(rig: Rig, proxies: Proxies) -> None:
    """Exit 78, and the message names the proxy's URL."""
    proxy, _ = proxies.get("http")
    url = proxy.url().replace("http:", "https:")
    outcome = rig.upload(HTTP_PROXY=url, HTTPS_PROXY=url)
    assert outcome.code == 78, outcome.err
    assert "URL of the proxy begins with https" in outcome.err
    assert "--endpoint" not in outcome.err


def test_a_proxy_that_does_not_use_socks(rig: Rig) -> None:
    """Another server in a URL with socks5: exit 78."""
    listener = Listener(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    listener.start()
    url = f"socks5://{listener.address}"
    outcome = rig.upload(HTTP_PROXY=url, HTTPS_PROXY=url)
    listener.stop()
    assert outcome.code == 78, outcome.err
    assert "the proxy does not use SOCKS, but HTTP (" in outcome.err


def test_a_proxy_that_asks_for_a_client_certificate(rig: Rig, proxies: Proxies, authority: Authority) -> None:
    """Without one, exit 78 and the message is about the proxy; with one, the upload succeeds."""
    _, squid = proxies.get("http")
    certificate, key = authority.files("client")
    with Stunnel(squid, authority.files("127.0.0.1"), clients=authority.bundle) as proxy:
        outcome = rig.upload(**variables(proxy))
        assert outcome.code == 78, outcome.err
        assert "the proxy rejected the TLS connection" in outcome.err
        assert "--client-cert" in outcome.err
        options = ("--client-cert", str(certificate), "--client-key", str(key))
        outcome = rig.upload(*options, **variables(proxy))
    assert outcome.code == 0, outcome.err
    assert rig.is_stored()


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_asks_for_a_client_certificate(
    kind: str, authority: Authority, proxies: Proxies, tmp_path: Path, make_file: MakeFile
) -> None:
    """The store sees the certificate through every proxy; without one, the message is about the server."""
    make_file(SIZE)
    certificate, key = authority.files("client")
    proxy = variables(proxies.get(kind)[0])
    with Sandbox(tls=(*authority.files(HOST), authority.bundle)) as store:
        rig = make_rig(store, tmp_path, authority, "https")
        outcome = rig.upload(**proxy)
        assert outcome.code == 78, outcome.err
        assert "the server rejected the TLS connection: certificate required" in outcome.err
        outcome = rig.upload("--client-cert", str(certificate), "--client-key", str(key), **proxy)
        assert outcome.code == 0, outcome.err
        assert rig.is_stored()


def test_the_certificates_that_the_system_trusts(
    authority: Authority, proxies: Proxies, tmp_path: Path, make_file: MakeFile
) -> None:
    """For the store and for the proxy, without --ca-bundle, as with curl; here the directory is that of a variable."""
    make_file(SIZE)
    folder = tmp_path / "certificates"
    folder.mkdir()
    shutil.copy(authority.bundle, folder)
    subprocess.run(["openssl", "rehash", folder], check=True)
    with Sandbox(tls=authority.files(HOST)) as store:
        rig = make_rig(store, tmp_path, authority, "https")
        shell = Shell(tmp_path, {**rig.shell.environment, "OBSUP_CA_BUNDLE": "", "SSL_CERT_DIR": str(folder)})
        for proxy in ({}, variables(proxies.get("https")[0])):
            outcome = shell.run("doctor", "bucket", **proxy)
            assert outcome.code == 0, outcome.err


# An endpoint with a path.


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_an_endpoint_with_a_path(
    kind: str | None,
    authority: Authority,
    proxies: Proxies,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_file: MakeFile,
) -> None:
    """nginx serves the store below a path, with TLS; obsup reaches it directly and through each kind of proxy."""
    make_file(SIZE)
    settings = {"rewrite": "^/storage/v1/s3(/.*)$ $1 break"}
    folder = tmp_path_factory.mktemp("nginx") / "nginx"
    with (
        Sandbox() as store,
        Nginx(folder, f"127.0.0.1:{store.port}", tls=authority.files(HOST), settings=settings) as nginx,
    ):
        rig = make_rig(store, tmp_path, authority, "https")
        endpoint = f"https://{HOST}:{nginx.port}/storage/v1/s3"
        proxy = {} if kind is None else variables(proxies.get(kind)[0])
        outcome = rig.upload(OBSUP_ENDPOINT=endpoint, **proxy)
        assert outcome.code == 0, outcome.err
        assert rig.is_stored()
        for command in (("verify", "bigfile", "bucket/key"), ("uploads", "bucket")):
            assert rig.shell.run(*command, OBSUP_ENDPOINT=endpoint, **proxy).code == 0
