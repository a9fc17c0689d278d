"""The sink of the benchmarks responds like a store and counts what it receives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import sinks
from tests.benchmarks.peers import OSS, S3
from tests.benchmarks.sinks import HERE, Sinks
from tests.benchmarks.sources import make_random
from tests.support.shell import Shell

MIB = 1024 * 1024
PART = 5 * MIB
SIZE = 5 * PART + 17


@pytest.fixture(params=["best", "Python"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Sinks:
    """The best sink for this machine (C if there is a compiler), and the Python sink."""
    best = sinks.build(tmp_path)
    python = Sinks((sys.executable, str(HERE / "python_sink.py")), "Python", best.certificate)
    return python if request.param == "Python" else best


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "verified"),
    [(("--digest", "md5"), "etag"), ((), "crc64"), (OSS, "crc64"), (S3, "crc64nvme")],
    ids=["md5", "obs", "oss", "s3"],
)
@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_obsup_verifies_an_upload_to_the_sink(
    sink: Sinks, https: bool, arguments: tuple[str, ...], verified: str, tmp_path: Path
) -> None:
    """The sink returns the digests of the file; otherwise obsup would fail. That in Python has no CRC-64/NVME."""
    source = make_random(tmp_path, SIZE, PART)
    trust = ["--ca-bundle", str(sink.certificate)] if https else []
    with sinks.serve(sink, source.digests, https=https) as running:
        keys = {"OBSUP_ENDPOINT": running.endpoint, "AccessKeyID": "access", "SecretAccessKey": "secret"}
        done = Shell(tmp_path, keys).run(
            "upload", source.path, "bucket/key", "--part-size", "5M", "-j", "3", "--json", *trust, *arguments
        )
    assert done.code == 0, done.err
    expected = "etag" if sink.language == "Python" and verified == "crc64nvme" else verified
    assert (done.json["parts"], done.json["verified"]) == (6, expected)
    assert running.content == SIZE
    assert 1 <= running.at_once <= 3
    assert 1 <= running.connections <= 4


@pytest.mark.slow
def test_obsup_detects_other_content(sink: Sinks, tmp_path: Path) -> None:
    source = make_random(tmp_path, SIZE, PART)
    with source.path.open("r+b") as file:
        file.write(b"another content")
    with sinks.serve(sink, source.digests) as running:
        keys = {"OBSUP_ENDPOINT": running.endpoint, "AccessKeyID": "access", "SecretAccessKey": "secret"}
        done = Shell(tmp_path, keys).run("upload", source.path, "bucket/key", "--part-size", "5M")
    assert done.code == 65, done.err
