"""``--limit-rate`` as a user sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]


@pytest.mark.parametrize("words", [["--parts", "4"], ["--parts", "4", "--content-md5"], []], ids=" ".join)
def test_all_parts_together_keep_to_the_rate(
    words: list[str], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """600 kB at 1 MB/s take their time, less the 0.15 s of credit; reading for Content-MD5 costs none of it."""
    source = make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--limit-rate", "1MB", "--json", *words)
    assert outcome.code == 0, outcome.err
    assert outcome.json["seconds"] >= 0.45
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit-rate", "0"], "a rate of 0 would send nothing"),
        (["--limit-rate", "fast"], "9M"),
    ],
)
def test_what_cannot_be_limited_is_refused(
    words: list[str], said: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """One clear error, exit 2, nothing sent in vain."""
    make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", *words)
    assert outcome.code == 2
    assert said in " ".join(outcome.err.split())
    assert not [record for record in sandbox.requests if record.operation == "part"]
