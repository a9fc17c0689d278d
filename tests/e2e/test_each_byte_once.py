"""Each byte is read once and hashed once, with every digest and after every failure. Bytes are counted, not timed.

Without the extension module, which reads parts in advance because hashing several at once costs less than reading them.

The kernel counts what the command reads (``rchar`` of ``/proc/self/io`` includes reads and sendfile, not sockets).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

MakeFile = Callable[..., Path]

MIB = 1024 * 1024
SMALL, LARGE = 3 * MIB, 11 * MIB
# Reads of modules, the checkpoint and /proc vary from run to run.
TOLERANCE_BYTES = 64 * 1024
NONE, MD5, CRC64 = (0, 0), (1, 0), (0, 1)
DIGESTS = {
    "none": (["--digest", "none"], NONE),
    "md5": (["--digest", "md5"], MD5),
    "crc64": (["--provider", "oss", "--region", "cn-hangzhou"], CRC64),
}

# The command with digests that count the bytes they hash.
PROGRAM = """
import hashlib, json, sys
import anycrc

sys.modules["obsup.local.source._fast_digest"] = None
sizes = {"md5": 0, "crc64": 0}
plain_md5, plain_xz = hashlib.md5, anycrc.Model("CRC64-XZ").calc

class Counting:
    def __init__(self, data=b"", **options):
        self._plain = plain_md5(data, **options)
    def update(self, data):
        sizes["md5"] += len(data)
        self._plain.update(data)
    def __getattr__(self, name):
        return getattr(self._plain, name)

class CountingModel:
    def __init__(self, name):
        assert name == "CRC64-XZ"
    def calc(self, data, initial=0):
        sizes["crc64"] += len(data)
        return plain_xz(data, initial)
    combine = staticmethod(anycrc.Model("CRC64-XZ").combine)

plain_new = hashlib.new

def new(name, data=b"", **options):
    return Counting(data, **options) if name == "md5" else plain_new(name, data, **options)

hashlib.md5, hashlib.new, anycrc.Model = Counting, new, CountingModel
import obsup.cli.main as main

def read_so_far():
    with open("/proc/self/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("rchar"))

before = read_so_far()
code = main._run()
print(json.dumps([code, read_so_far() - before, sizes["md5"], sizes["crc64"]]))
"""


@dataclass(frozen=True)
class Count:
    """The exit code of a command, and how many bytes it read and hashed."""

    code: int
    read: int
    hashed: tuple[int, int]


def count(shell: Shell, *arguments: str, source: Path) -> Count:
    """Run ``obsup upload`` of *source* in parts of 1 MiB; return its counts."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "upload", str(source), "bucket/key", "--part-size", "1M", *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, read, md5, crc64 = json.loads(done.stdout)
    return Count(code, read, (md5, crc64))


def has_read_more(count: Count, baseline: Count, more: int) -> bool:
    """Return whether *count* read about *more* bytes more than *baseline*."""
    return abs(count.read - baseline.read - more) < TOLERANCE_BYTES


def hashed_bytes(kinds: tuple[int, int], size: int) -> tuple[int, int]:
    """Return how many bytes MD5 and CRC-64 hash if *size* bytes are sent."""
    return kinds[0] * size, kinds[1] * size


def sent_parts(sandbox: Sandbox) -> int:
    """Return the number of parts that the store received."""
    return sum(request.operation == "part" for request in sandbox.requests)


@pytest.fixture(params=["http", "https"])
def scheme_shell(request: pytest.FixtureRequest, shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A shell whose store uses HTTP or HTTPS."""
    if request.param == "http":
        yield shell
        return
    authority = Authority(tmp_path)
    with Sandbox(tls=authority.files("127.0.0.1")) as secure:
        secure_shell = Shell.against(secure, tmp_path)
        yield replace(
            secure_shell, environment={**secure_shell.environment, "OBSUP_CA_BUNDLE": str(authority.bundle)}
        )


@pytest.mark.parametrize("digest", mostly_slow(DIGESTS, "md5"))
def test_a_complete_upload(digest: str, scheme_shell: Shell, make_file: MakeFile) -> None:
    arguments, kinds = DIGESTS[digest]
    small = count(scheme_shell, *arguments, source=make_file(SMALL, "small"))
    large = count(scheme_shell, *arguments, source=make_file(LARGE, "large"))
    assert (small.code, large.code) == (0, 0)
    assert (small.hashed, large.hashed) == (hashed_bytes(kinds, SMALL), hashed_bytes(kinds, LARGE))
    assert has_read_more(large, small, LARGE - SMALL)


@pytest.mark.parametrize("digest", mostly_slow(DIGESTS, "md5"))
def test_a_resumed_upload(digest: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Stored parts are not read again, because the checkpoint has their digests."""
    arguments, kinds = DIGESTS[digest]
    source = make_file(LARGE)
    baseline = count(shell, *arguments, source=make_file(SMALL, "small"))
    sandbox.add_fault("error=403:AccessDenied,op=part,part=7,times=always")
    assert count(shell, *arguments, "-j", "1", source=source).code == 77
    sandbox.clear_faults()
    before = sent_parts(sandbox)
    resumed = count(shell, *arguments, source=source)
    sent_bytes = (sent_parts(sandbox) - before) * MIB
    assert sent_bytes <= LARGE - 6 * MIB
    assert (resumed.code, resumed.hashed) == (0, hashed_bytes(kinds, sent_bytes))
    assert has_read_more(resumed, baseline, sent_bytes - SMALL)


@pytest.mark.parametrize("digest", mostly_slow(DIGESTS, "md5"))
def test_a_retried_part(digest: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Once per attempt: the bytes that are sent are those that were hashed."""
    arguments, kinds = DIGESTS[digest]
    source = make_file(SMALL)
    baseline = count(shell, *arguments, source=source)
    sandbox.add_fault("error=500:InternalError,op=part,part=2,times=2")
    again = count(shell, *arguments, source=source)
    assert (again.code, again.hashed) == (0, hashed_bytes(kinds, SMALL + 2 * MIB))
    assert has_read_more(again, baseline, 2 * MIB)
