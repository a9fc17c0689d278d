"""Real proxies: Squid, stunnel for TLS before it, and microsocks. Separate processes on 127.0.0.1, with free ports.

They resolve HOST with Debian's nss_wrapper or a hosts file, because a store on loopback is reached without a proxy of
the environment.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.servers.free_ports import find_ports
from tests.support.waiting import wait_for

HOST = "store.test"
USER = "someone"
PASSWORD = "pass-word:1@x"  # two of its characters are delimiters of a URL
# openssl passwd -apr1 -salt obsup PASSWORD
_PASSWORD_HASH = "$apr1$obsup$PWU.YpQ8YZ7JMHfCDQLik0"
_SQUID = """
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
access_log stdio:{folder}/access.log squid
cache_log {folder}/cache.log
coredump_dir {folder}
hosts_file {folder}/hosts
visible_hostname proxy.test
shutdown_lifetime 0 seconds
cache deny all
{settings}
http_access allow all
"""
_LOGIN = """
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/users
auth_param basic children 2 startup=1
acl known proxy_auth REQUIRED
http_access deny !known
"""
_STUNNEL = """
foreground = yes
syslog = no
pid =
output = {folder}/stunnel.log
[proxy]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{target}
cert = {certificate}
key = {key}
{clients}
"""


class Daemon:
    """A server process in a folder of its own. Subclasses give the command, after they have written its files."""

    scheme = "http"
    # Squid gives up the rights of root, and cannot read the folders of the tests then.
    user = ""

    def __init__(self) -> None:
        [self.port] = find_ports(1)

    def command(self) -> Sequence[str]:
        """Return the command line, which does not go into the background."""
        raise NotImplementedError

    def url(self, login: str = "") -> str:
        """Return the URL of the proxy; *login* is USER:PASSWORD."""
        return f"{self.scheme}://{login}{'@' if login else ''}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="obsup-proxy-", dir="/tmp"))
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {HOST}\n")
        (self.folder / "users").write_text(f"{USER}:{_PASSWORD_HASH}\n")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start the process and wait until it accepts connections."""
        command = self.command()
        if self.user and os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                command, env={**os.environ, **resolving(self.folder)}, stdout=output, stderr=output
            )
        wait_for(self._listens, process=self.process)

    def kill(self) -> None:
        """End the process, with all connections, by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Squid(Daemon):
    """Squid. *login*: it requires USER and PASSWORD; *settings* are lines of its configuration."""

    user = "proxy"

    def __init__(self, settings: str = "", *, login: bool = False) -> None:
        super().__init__()
        self.settings = (_LOGIN if login else "") + settings

    def command(self) -> Sequence[str]:
        """Return the command line."""
        settings = self.settings.format(folder=self.folder)
        text = _SQUID.format(port=self.port, folder=self.folder, settings=settings)
        (self.folder / "squid.conf").write_text(text)
        return ["/usr/sbin/squid", "--foreground", "-C", "-N", "-f", str(self.folder / "squid.conf")]

    def log(self) -> list[tuple[int, str, str]]:
        """Return status, method and target of each request so far."""
        path = self.folder / "access.log"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        entries = [(int(words[3].rpartition("/")[2]), words[5], words[6]) for words in lines]
        return [
            entry for entry in entries if entry[0]
        ]  # 0: a connection without a request, as that of start()


class Stunnel(Daemon):
    """TLS before the proxy at *target*, with the *files* of a certificate and its key.

    *clients*: the authority of client certificates, which are then required.
    """

    scheme = "https"

    def __init__(self, target: Daemon, files: tuple[Path, Path], *, clients: Path | None = None) -> None:
        super().__init__()
        self.target = target
        self.files = files
        self.clients = clients

    def command(self) -> Sequence[str]:
        """Return the command line."""
        clients = f"CAfile = {self.clients}\nverifyChain = yes\nrequireCert = yes" if self.clients else ""
        certificate, key = self.files
        (self.folder / "stunnel.conf").write_text(
            _STUNNEL.format(
                folder=self.folder,
                port=self.port,
                target=self.target.port,
                certificate=certificate,
                key=key,
                clients=clients,
            )
        )
        return ["/usr/bin/stunnel4", str(self.folder / "stunnel.conf")]


class SocksServer(Daemon):
    """microsocks. *login*: it requires USER and PASSWORD; *scheme* says who resolves the host of the store."""

    def __init__(self, scheme: str = "socks5h", *, login: bool = False) -> None:
        super().__init__()
        self.scheme = scheme
        self.login = login

    def command(self) -> Sequence[str]:
        """Return the command line."""
        login = ["-u", USER, "-P", PASSWORD] if self.login else []
        return ["/usr/bin/microsocks", "-i", "127.0.0.1", "-p", str(self.port), *login]


def login(password: str = PASSWORD) -> str:
    """Return the login for the URL of a proxy."""
    return f"{USER}:{quote(password, safe='')}"


def resolving(folder: Path) -> dict[str, str]:
    """Return the variables with which a process resolves the names of the file "hosts" in *folder*."""
    return {"LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_HOSTS": str(folder / "hosts")}
