"""Search the output, files, command lines and file names of a run for secrets, in plain and in encoded form."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome
from tests.support.upload_rig import PART

SECRET = "sk+/=%&'\"" + secrets.token_hex(16)
TOKEN = "tok/+=%&" + secrets.token_hex(24)
PROXY_PASSWORD = "pw" + secrets.token_hex(16)
CUSTOMER_KEY = b"\x00\xff" + secrets.token_bytes(30)
ALL = (SECRET.encode(), TOKEN.encode(), PROXY_PASSWORD.encode(), CUSTOMER_KEY)
# Whoever has a signature can send the request that it signs.
SIGNATURE = re.compile(
    rb"""(?i)signature['"]?\s*[=:,]\s*['"]?[a-z0-9+/%=]{20,}"""
    rb"""|authorization: *(?:basic |\w+ [^:\s]+:)[a-z0-9+/=]{12,}"""
)
SIZE = 2 * PART + 50_000
UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-v", "-v", "--log-file", "log")
OUTPUT_OPTIONS = ("--json", "--receipt", "receipt", "--progress", "json")


def encodings(secret: bytes) -> Iterator[bytes]:
    """Yield *secret* in every encoding in which it may have been written."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode())
    text = secret.decode("latin-1")
    yield from (json.dumps(text)[1:-1].encode(), quote(secret).encode(), quote_plus(secret, safe="").encode())
    yield from (quote(secret).lower().encode(), repr(secret)[2:-1].encode(), repr(text)[1:-1].encode())
    for offset in range(3):
        # The first and the last characters also depend on the bytes before and after the secret.
        encoded = base64.b64encode(bytes(offset) + secret)[4 if offset else 0 :].rstrip(b"=")[:-2]
        yield from (encoded, encoded.translate(bytes.maketrans(b"+/", b"-_")))


ENCODED_SECRETS = {encoding for secret in ALL for encoding in encodings(secret)}


def check(data: bytes, description: str) -> None:
    """Assert that *data* contains no secret and no signature."""
    for encoded in ENCODED_SECRETS:
        assert encoded not in data, f"a secret in {description}"
    match = SIGNATURE.search(data)
    assert match is None, f"a signature in {description}: {match[0]!r}"


@dataclass
class Machine:
    """A machine: a home, a working folder, and a vault for secrets, which is not searched."""

    folder: Path
    sandbox: Sandbox
    output: list[bytes] = field(default_factory=list)
    unchecked: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in ("home", "work", "vault"):
            (self.folder / name).mkdir()
        (self.work / "bigfile").write_bytes(bytes(SIZE))

    @property
    def work(self) -> Path:
        """The working folder of commands."""
        return self.folder / "work"

    @property
    def keys(self) -> dict[str, str]:
        """The variables of the credentials."""
        return {
            "AccessKeyID": self.sandbox.access_key,
            "SecretAccessKey": self.sandbox.secret_key,
            "SecurityToken": TOKEN,
        }

    def start_process(
        self, *arguments: str, keys: dict[str, str] | None = None, program: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start ``obsup ARGUMENTS``, or *program* with these arguments."""
        environment = {**os.environ, "HOME": str(self.folder / "home"), "PYTHONFAULTHANDLER": "1"}
        environment |= {"OBSUP_ENDPOINT": self.sandbox.endpoint, **(self.keys if keys is None else keys)}
        command = ["-c", program] if program else ["-m", "obsup"]
        return subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, **options: Any) -> Outcome:
        """Run to the end, and record the command lines of the process and its children."""
        with self.start_process(*arguments, **options) as process, self.recording(process.pid):
            out, err = process.communicate(timeout=60)
        self.output += [out, err]
        return Outcome(process.returncode, out.decode(), err.decode())

    def recording(self, pid: int) -> _CommandLineRecorder:
        """Record the command lines of a process and its children while the block runs."""
        return _CommandLineRecorder(pid, self.output)

    def check(self) -> None:
        """Assert that neither the output nor any file contains a secret."""
        assert self.output
        for data in self.output:
            check(data, f"{data.decode(errors='replace')[:2000]}")
        for path in (*self.work.rglob("*"), *(self.folder / "home").rglob("*")):
            check(os.fsencode(path), f"the name {path}")
            if path.is_file() and path not in self.unchecked:
                check(path.read_bytes(), f"the file {path}")


class _CommandLineRecorder:
    def __init__(self, pid: int, output: list[bytes]) -> None:
        self._pid = pid
        self._output = output
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._record)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _record(self) -> None:
        command_lines: set[bytes] = set()
        while not self._ended.wait(0.03):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    if self._pid in (int(path.name), parent):
                        command_lines.add((path / "cmdline").read_bytes())
                except OSError:
                    continue
        self._output += command_lines
