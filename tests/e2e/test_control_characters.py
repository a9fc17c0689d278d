"""Keys with characters that XML and terminals do not accept: uploads work, and the printed command resumes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.dialects.registry import DIALECTS
from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import every_dialect
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
KEY = "dir/\x1b[31m\u202ered\x07\r\n\x01it's\ufffe"
in_every_dialect = pytest.mark.parametrize("name", every_dialect())


@pytest.fixture
def store(name: str) -> Iterator[Sandbox]:
    """A sandbox that behaves like the dialect's vendor: its XML is invalid unless encoded keys are requested."""
    with Sandbox(aws_vendor="obs" if name.startswith("obs") else "s3") as running:
        yield running


def options(name: str) -> list[str]:
    dialect = DIALECTS[name]
    return [
        "--provider",
        dialect.provider,
        "--signature",
        dialect.signature,
        "--region",
        "eu-1",
        "--parts",
        "3",
    ]


@in_every_dialect
def test_the_printed_command_resumes_a_failed_upload(
    name: str, store: Sandbox, tmp_path: Path, make_file: MakeFile
) -> None:
    """bash passes on every byte; no control character is printed, and only the missing part is sent."""
    shell = Shell.against(store, tmp_path)
    source = make_file(3 * DIALECTS[name].limits.min_part)
    source = source.rename(source.with_name("big\x1b]0;file"))
    store.add_fault("error=500:InternalError,op=part,part=3,times=always")
    failed = shell.run("upload", source.name, f"bucket/{KEY}", "--retry-for", "0s", "-j", "1", *options(name))
    assert failed.code == 75
    assert failed.err.replace("\n", "").isprintable()
    store.clear_faults()
    _, separator, arguments = failed.err.rstrip().partition(": obsup ")
    assert separator
    first_request = len(store.requests)
    done = subprocess.run(
        ["bash", "-c", f"obsup {arguments}"],
        cwd=tmp_path,
        env={
            **os.environ,
            **shell.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert store.object_path("bucket", KEY).read_bytes() == source.read_bytes()
    assert [
        request.part_number for request in store.requests[first_request:] if request.operation == "part"
    ] == [3]
    assert store.uploads() == []


@in_every_dialect
def test_lost_responses_and_a_lost_checkpoint_are_recovered(
    name: str, store: Sandbox, tmp_path: Path, make_file: MakeFile
) -> None:
    """The upload is found by its key, which every vendor encodes in the list of uploads."""
    shell = Shell.against(store, tmp_path)
    source = make_file(3 * DIALECTS[name].limits.min_part)
    store.add_fault("drop-answer,op=initiate")
    store.add_fault("error=403:AccessDenied,op=part,part=3,times=2")
    failed = shell.run("upload", source, f"bucket/{KEY}", "-j", "1", *options(name))
    assert failed.code == 77
    assert len(store.uploads()) == 1
    for checkpoint in tmp_path.glob("*.obsup.json*"):
        checkpoint.unlink()
    store.add_fault("drop-answer,op=complete")
    done = shell.run("upload", source, f"bucket/{KEY}", *options(name))
    assert done.code == 0
    assert done.err.replace("\n", "").isprintable()
    assert store.object_path("bucket", KEY).read_bytes() == source.read_bytes()
    assert store.uploads() == []
    operations = {request.operation for request in store.requests}
    assert {"initiate", "parts", "uploads", "complete", "head"} <= operations


@in_every_dialect
def test_steps_and_lists_accept_such_keys(
    name: str, store: Sandbox, tmp_path: Path, make_file: MakeFile
) -> None:
    """Each upload is one line of output, and ``abort`` accepts the key of ``init``."""
    shell = Shell.against(store, tmp_path)
    connect = options(name)[:-2]
    upload_id = shell.run("init", f"bucket/{KEY}", *connect).out.strip()
    listed = shell.run("uploads", "bucket", *connect)
    assert listed.out.count("\n") == 1
    assert listed.out.replace("\n", "").replace("\t", "").isprintable()
    assert shell.run("uploads", "bucket", "--json", *connect).json["uploads"][0]["key"] == KEY
    assert shell.run("parts", f"bucket/{KEY}", "--upload-id", upload_id, *connect).code == 0
    aborted = shell.run("abort", f"bucket/{KEY}", "--upload-id", upload_id, *connect)
    assert (aborted.code, aborted.err) == (0, "")
    assert store.uploads() == []


@pytest.mark.parametrize("name", ["s3-v4"])
def test_response_that_is_not_xml_is_final_and_keeps_the_upload(
    name: str, store: Sandbox, tmp_path: Path, make_file: MakeFile
) -> None:
    """Three attempts, not all of --retry-for; the same command resumes once responses are valid again."""
    shell = Shell.against(store, tmp_path)
    source = make_file(3 * DIALECTS[name].limits.min_part)
    store.add_fault("error=403:AccessDenied,op=part,part=3,times=2")
    assert shell.run("upload", source, "bucket/key", *options(name)).code == 77
    store.add_fault("garble-answer,op=parts,times=always")
    first_request = len(store.requests)
    failed = shell.run("upload", source, "bucket/key", "--json", *options(name))
    assert failed.code == 69
    assert "not valid XML" in failed.err
    assert failed.json["reason"] == "refused"
    assert [request.operation for request in store.requests[first_request:]] == ["parts"] * 3
    store.clear_faults()
    done = shell.run("upload", source, "bucket/key", "--json", *options(name))
    assert (done.code, done.json["sentParts"]) == (0, 1)
