"""The store that keeps nothing, built and run: in C where there is a compiler, in Python where there is none."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sinks:
    """How to start a sink, and the certificate with which it speaks https, where it can."""

    command: tuple[str, ...]
    language: str
    certificate: Path | None


@dataclass
class Running:
    """A sink that serves, and what it has seen, known at its end.

    ``at_once``: the most bodies that it received at once; ``content``: the bytes that all PUTs brought.
    """

    endpoint: str
    connections: int = 0
    at_once: int = 0
    content: int = 0


def build(folder: Path) -> Sinks:
    """Return what there is on this machine: with gcc and OpenSSL's headers the best, without them the next."""
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
    """Return a file with a key and its certificate for 127.0.0.1, or None where there is no openssl."""
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
    sinks: Sinks, digests: Path | None, *, kept: Path | None = None, https: bool = False, rate: float = 0
) -> Iterator[Running]:
    """Run a sink while inside; *rate* is bytes a second of each connection, 0 for no limit.

    It answers with *digests*, or with those of what arrives, and writes a line for each object to *kept*.
    """
    words = [*sinks.command, "--rate", str(rate)]
    words += ["--digests", str(digests)] if digests is not None else []
    words += ["--kept", str(kept)] if kept is not None else []
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
            said = process.stdout.read().split()
            if len(said) == 6:
                running.connections, running.at_once, running.content = map(int, said[1::2])
