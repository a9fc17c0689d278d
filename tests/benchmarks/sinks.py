"""Build and run the sink, a store that discards everything: in C if there is a compiler, otherwise in Python."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sinks:
    """The command of the sink, and the certificate for https if the sink supports it."""

    command: tuple[str, ...]
    language: str
    certificate: Path | None


@dataclass
class Running:
    """A running sink. The counts are known after it has ended.

    ``at_once`` is the largest number of bodies received at once, ``content`` the bytes of all PUT requests; ``lists``
    and ``heads`` are requests for the objects that the sink had from the start.
    """

    endpoint: str
    connections: int = 0
    at_once: int = 0
    content: int = 0
    lists: int = 0
    heads: int = 0


def build(folder: Path) -> Sinks:
    """Build the best sink for this machine: C with TLS, C without TLS (no OpenSSL headers), or Python (no gcc)."""
    certificate = _make_certificate(folder)
    target = folder / "sink"
    gcc = ["gcc", "-O2", "-o", str(target), str(HERE / "sink.c"), "-lpthread"]
    with_tls = [*gcc, "-DTLS", "-lssl", "-lcrypto"]
    if shutil.which("gcc"):
        if subprocess.run(with_tls, capture_output=True).returncode == 0:
            return Sinks((str(target),), "C", certificate)
        if subprocess.run(gcc, capture_output=True).returncode == 0:
            return Sinks((str(target),), "C", None)
    return Sinks((sys.executable, str(HERE / "python_sink.py")), "Python", certificate)


def _make_certificate(folder: Path) -> Path | None:
    """Return a file with a key and a certificate for 127.0.0.1, or None without openssl."""
    made = folder / "certificate.pem"
    if shutil.which("openssl") is None:
        return None
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(made), "-out", str(folder / "chain.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    with made.open("a") as file:
        file.write((folder / "chain.pem").read_text())
    return made


@contextmanager
def serve(
    sinks: Sinks,
    digests: Path | None,
    *,
    record: Path | None = None,
    https: bool = False,
    rate: float = 0,
    others: Sequence[str] = (),
) -> Iterator[Running]:
    """Run a sink while inside. *rate* limits each connection to that many bytes per second; 0 is no limit.

    It returns the digests in the file *digests*. With *record* it computes them and writes a line per object.
    *others* are further options of the sink in C.
    """
    words = [*sinks.command, "--rate", str(rate), *others]
    words += ["--digests", str(digests)] if digests is not None else []
    words += ["--record", str(record)] if record is not None else []
    if https:
        words += ["--cert", str(sinks.certificate), "--key", str(sinks.certificate)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        running = Running(f"{'https' if https else 'http'}://127.0.0.1:{port}")
        try:
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            counts = process.stdout.read().split()
            for name, value in zip(counts[::2], counts[1::2], strict=True):
                setattr(running, name.replace("-", "_"), int(value))
