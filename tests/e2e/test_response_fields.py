"""The keys of --json that repeat the store's response: on success and on failure, of every command with a store."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.engine.batch.loop import MAX_FAILURES_IN_A_ROW
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.matrix import mostly_slow

MakeFile = Callable[..., Path]
ON_SUCCESS = {"requestId", "hostId", "location", "sseKms", "sseKmsKey", "sseC", "sseCKeyMd5"}
ON_FAILURE = {"httpStatus", "errorCode", "errorMessage", "requestId", "hostId"}
KMS = ("--sse", "kms", "--sse-kms-key-id", "key-1")
# The operation of each command that the store refuses, if its name is another one.
REFUSED = {"init": "initiate", "gc": "uploads", "verify": "head", "doctor": "part", "upload": "put"}
COMMANDS = (
    "init",
    "part",
    "copy",
    "parts",
    "uploads",
    "complete",
    "verify",
    "abort",
    "gc",
    "doctor",
    "upload",
)


def prepare(inside: Inside, name: str, source: Path) -> tuple[str | Path, ...]:
    """Return a command line of the command *name*, after what it needs has been done."""
    upload_id = inside.run("init", "bucket/key").out.strip() if name != "init" else ""
    chosen = ("bucket/key", "--upload-id", upload_id)
    sending = ("part", source, *chosen, "--part-number", "1", "--offset", "0")
    lines: dict[str, tuple[str | Path, ...]] = {
        "init": ("init", "bucket/key"),
        "part": sending,
        "copy": ("part", *chosen, "--part-number", "1", "--copy-source", "bucket/old"),
        "complete": ("complete", *chosen),
        "abort": ("abort", *chosen),
        "parts": ("parts", *chosen),
        "uploads": ("uploads", "bucket"),
        "gc": ("gc", "bucket", "--older-than", "7d"),
        "verify": ("verify", source, "bucket/old"),
        "doctor": ("doctor", "bucket"),
        "upload": ("upload", source, "bucket/new"),
    }
    if name == "complete":
        assert inside.run(*sending).code == 0
    assert inside.run("upload", source, "bucket/old").code == 0
    return (*lines[name], "--json")


@pytest.mark.parametrize("name", mostly_slow(COMMANDS, "init", "copy", "abort", "gc"))
def test_every_command_repeats_the_response(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, name: str
) -> None:
    """The ids are those of a request that the store has answered."""
    outcome = inside.run(*prepare(inside, name, make_file(1000)))
    assert outcome.code == 0, outcome.err
    assert outcome.json.keys() >= ON_SUCCESS
    assert outcome.json["requestId"]
    assert outcome.json["hostId"]


@pytest.mark.parametrize("name", mostly_slow(COMMANDS, "parts", "verify"))
def test_every_command_repeats_the_error(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, name: str
) -> None:
    """Status, code, message and both ids of the request that failed."""
    words = prepare(inside, name, make_file(1000))
    sandbox.add_fault(f"error=403:AccessDenied,op={REFUSED.get(name, name)},times=always")
    outcome = inside.run(*words)
    assert outcome.code == 77, outcome.err
    fields = outcome.json
    assert fields.keys() >= ON_FAILURE
    assert (fields["httpStatus"], fields["exitCode"], fields["errorCode"]) == (403, 77, "AccessDenied")
    assert fields["requestId"]
    assert fields["hostId"]


@pytest.mark.parametrize("name", mostly_slow(["init", "part", "complete", "upload"], "init"))
def test_the_encryption_is_repeated(inside: Inside, sandbox: Sandbox, make_file: MakeFile, name: str) -> None:
    """KMS with the id of the key, or the MD5 of a customer key."""
    source, key = make_file(1000), make_file(32, "key", 3)
    key.chmod(0o600)
    for options, expected in (
        (KMS, {"sseKms": "kms", "sseKmsKey": "key-1", "sseC": None, "sseCKeyMd5": None}),
        (
            ("--sse-c-key-file", str(key)),
            {
                "sseKms": None,
                "sseKmsKey": None,
                "sseC": "AES256",
                "sseCKeyMd5": base64.b64encode(hashlib.md5(key.read_bytes()).digest()).decode(),
            },
        ),
    ):
        target = f"bucket/key{options[0]}"
        begun = inside.run("init", target, *options, "--json").json
        steps = options if options[0] == "--sse-c-key-file" else ()
        chosen = (target, "--upload-id", begun["uploadId"], *steps, "--json")
        found = {"init": begun, "upload": inside.run("upload", source, "bucket/new", *options, "--json").json}
        found["part"] = inside.run("part", source, *chosen, "--part-number", "1", "--offset", "0").json
        found["complete"] = inside.run("complete", *chosen).json
        assert {field: found[name][field] for field in expected} == expected


def test_the_redirect_of_a_stored_object_is_its_location(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The response 303 has it in a header, not in a body."""
    source, url = make_file(1000), "https://done.example/?file=1"
    fields = inside.run("upload", source, "bucket/key", "--success-redirect", url, "--json").json
    assert (fields["status"], fields["location"]) == ("completed", url)


def test_a_command_without_a_store_has_no_response(inside: Inside, make_file: MakeFile) -> None:
    """status asks nobody."""
    assert inside.run("status", make_file(1000), "--json").json.keys().isdisjoint(ON_SUCCESS)


def test_a_batch_repeats_the_error_that_ended_it(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """In the objects of its files and in the last one, that of the whole batch."""
    names = [f"file{number}" for number in range(MAX_FAILURES_IN_A_ROW)]
    for name in names:
        make_file(1000, name)
    sandbox.add_fault("error=404:NoSuchBucket,op=put,times=always")
    outcome = inside.run("upload", *names, "bucket/", "-j", "1", "--json")
    assert outcome.code == 69
    for line in outcome.out.splitlines():
        fields = json.loads(line)
        assert fields.keys() >= ON_FAILURE
        assert (fields["httpStatus"], fields["errorCode"]) == (404, "NoSuchBucket"), fields
