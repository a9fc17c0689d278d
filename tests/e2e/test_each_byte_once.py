"""Each byte is read once and hashed once, whatever proves it and whatever happens: counted, not timed.

What the command reads is told by the kernel (``rchar`` of ``/proc/self/io``: reads and sendfile, and no sockets).
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
from tests.support.shell import Shell

MakeFile = Callable[..., Path]

MIB = 1024 * 1024
SMALL, LARGE = 3 * MIB, 11 * MIB
# Modules, the checkpoint, /proc: a little more or less from run to run.
BESIDES = 64 * 1024
NONE, MD5, CRC64 = (0, 0), (1, 0), (0, 1)
WAYS = {
    "none": (["--digest", "none"], NONE),
    "md5": ([], MD5),
    "crc64": (["--provider", "oss", "--region", "cn-hangzhou"], CRC64),
}

# The command with digests that count what they take in.
PROGRAM = """
import hashlib, json, sys
from fastcrc import crc64

sizes = {"md5": 0, "crc64": 0}
plain_md5, plain_xz = hashlib.md5, crc64.xz

class Counting:
    def __init__(self, data=b"", **options):
        self._plain = plain_md5(data, **options)
    def update(self, data):
        sizes["md5"] += len(data)
        self._plain.update(data)
    def __getattr__(self, name):
        return getattr(self._plain, name)

def counting_xz(data, initial=0):
    sizes["crc64"] += len(data)
    return plain_xz(data, initial)

hashlib.md5, crc64.xz = Counting, counting_xz
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
    """How a command ended, and how many bytes it read and hashed."""

    code: int
    read: int
    hashed: tuple[int, int]


def count(shell: Shell, *words: str, source: Path) -> Count:
    """Run ``obsup upload`` of *source* in parts of 1 MiB, and count."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "upload", str(source), "bucket/key", "--part-size", "1M", *words],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, read, md5, crc64 = json.loads(done.stdout)
    return Count(code, read, (md5, crc64))


def read_about(count: Count, beside: Count, more: int) -> bool:
    """Tell whether *count* read so many bytes more than *beside*."""
    return abs(count.read - beside.read - more) < BESIDES


def of(kinds: tuple[int, int], size: int) -> tuple[int, int]:
    """Return what is hashed of *size* bytes, by MD5 and by CRC-64."""
    return kinds[0] * size, kinds[1] * size


def sent_parts(sandbox: Sandbox) -> int:
    """Return how many bodies of parts came."""
    return sum(request.operation == "part" for request in sandbox.requests)


@pytest.fixture(params=["http", "https"])
def line(request: pytest.FixtureRequest, shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A shell whose store is reached by either."""
    if request.param == "http":
        yield shell
        return
    authority = Authority(tmp_path)
    with Sandbox(tls=authority.files("127.0.0.1")) as secure:
        near = Shell.against(secure, tmp_path)
        yield replace(near, environment={**near.environment, "OBSUP_CA_BUNDLE": str(authority.bundle)})


@pytest.mark.parametrize("way", WAYS)
def test_of_a_whole_upload(way: str, line: Shell, make_file: MakeFile) -> None:
    words, kinds = WAYS[way]
    small = count(line, *words, source=make_file(SMALL, "small"))
    large = count(line, *words, source=make_file(LARGE, "large"))
    assert (small.code, large.code) == (0, 0)
    assert (small.hashed, large.hashed) == (of(kinds, SMALL), of(kinds, LARGE))
    assert read_about(large, small, LARGE - SMALL)


@pytest.mark.parametrize("way", WAYS)
def test_of_what_was_missing(way: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Of what is stored nothing is read again: the checkpoint knows what it was."""
    words, kinds = WAYS[way]
    source = make_file(LARGE)
    beside = count(shell, *words, source=make_file(SMALL, "small"))
    sandbox.add_fault("error=403:AccessDenied,op=part,part=7,times=always")
    assert count(shell, *words, "-j", "1", source=source).code == 77
    sandbox.clear_faults()
    before = sent_parts(sandbox)
    resumed = count(shell, *words, source=source)
    left = (sent_parts(sandbox) - before) * MIB
    assert left <= LARGE - 6 * MIB
    assert (resumed.code, resumed.hashed) == (0, of(kinds, left))
    assert read_about(resumed, beside, left - SMALL)


@pytest.mark.parametrize("way", WAYS)
def test_of_a_part_that_is_tried_again(way: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Once for each time that it is sent: what went out is what was hashed."""
    words, kinds = WAYS[way]
    source = make_file(SMALL)
    beside = count(shell, *words, source=source)
    sandbox.add_fault("error=500:InternalError,op=part,part=2,times=2")
    again = count(shell, *words, source=source)
    assert (again.code, again.hashed) == (0, of(kinds, SMALL + 2 * MIB))
    assert read_about(again, beside, 2 * MIB)
