"""nginx in front of a store: a separate process on 127.0.0.1 with a free port and its own folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers.free_ports import find_ports
from tests.support.waiting import wait_for

# On Debian it is not in the PATH of every user.
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
_DEFAULTS = {"client_max_body_size": "0", "proxy_request_buffering": "off"}
_HEAD = """
worker_processes 1;
worker_shutdown_timeout 20s;
error_log error.log info;
pid nginx.pid;
events {{ worker_connections 256; }}
http {{
    log_format entry '$request_method $arg_partNumber $status $connection $connection_requests';
    access_log access.log entry;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {http}
    upstream store {{ server {store}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{
            proxy_pass http://store;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            {location}
        }}
    }}
}}
"""


@dataclass(frozen=True)
class LogEntry:
    """One line of the access log. ``nth``: the number of the request on its connection."""

    method: str
    part_number: int | None
    status: int
    connection: int
    nth: int


class Nginx:
    """Runs nginx in *folder* in front of the store at *store* (HOST:PORT). *tls*: the files of certificate and key.

    *settings* are directives of the location; *http* is text for the http block.
    """

    def __init__(
        self,
        folder: Path,
        store: str,
        *,
        tls: tuple[Path, Path] | None = None,
        settings: Mapping[str, str] | None = None,
        http: str = "",
    ) -> None:
        self.folder = folder
        self.store = store
        self.tls = tls
        self.settings = dict(settings or {})
        self.http = http
        [self.port] = find_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The URL of nginx."""
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.folder.mkdir()
        self._configure()
        self._process = subprocess.Popen(
            [*self._command, "-g", "daemon off;"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._listens():
            assert self._process.poll() is None, (self.folder / "error.log").read_text()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    @property
    def _command(self) -> list[str]:
        return [NGINX, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", "error.log"]

    def _configure(self) -> None:
        tls = ""
        if self.tls is not None:
            tls = f" ssl; ssl_certificate {self.tls[0]}; ssl_certificate_key {self.tls[1]}"
        text = _HEAD.format(
            http=self.http,
            store=self.store,
            port=self.port,
            tls=tls,
            location=" ".join(f"{name} {value};" for name, value in (_DEFAULTS | self.settings).items()),
        )
        # Root starts workers as user nobody, who cannot write to the folder of the tests.
        (self.folder / "nginx.conf").write_text(("user root;" if os.geteuid() == 0 else "") + text)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def reload(self, **changes: object) -> None:
        """Change attributes and run ``nginx -s reload``.

        Waits until a new worker serves and the old ones, which have the old configuration, accept no connection.
        """
        for name, value in changes.items():
            setattr(self, name, value)
        self._configure()
        before = set(self.workers())
        subprocess.run([*self._command, "-s", "reload"], check=True, capture_output=True)
        wait_for(lambda: set(self.workers()) - before and all(map(_is_draining, before)))

    def kill_workers(self) -> None:
        """Kill the workers with SIGKILL; nginx starts new ones."""
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def access_log(self) -> list[LogEntry]:
        """Return the access log."""
        lines = (line.split() for line in (self.folder / "access.log").read_text().splitlines())
        return [
            LogEntry(method, None if part == "-" else int(part), int(status), int(connection), int(nth))
            for method, part, status, connection, nth in lines
        ]


def _is_draining(pid: int) -> bool:
    """Return whether a worker has ended or, by its process title, accepts no more connections."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return not title or b"is shutting down" in title
