"""The errors of single steps: what the user is told to do exists for the step, and nothing is sent in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obsup.api import abort_upload, complete_upload, initiate_upload, upload_file, upload_part
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import UploadGone, WrongUsage
from obsup.model import Credentials, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import Reply, ScriptedServer, response
from tests.support.in_process import Inside
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
GONE = ("--upload-id", "ABC")


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for two parts."""
    return make_file(300_000)


@pytest.fixture
def where(sandbox: Sandbox) -> dict[str, Any]:
    """The arguments of every step of the API."""
    return {
        "connecting": ConnectOptions(endpoint=sandbox.endpoint, provider="obs"),
        "credentials": Credentials(sandbox.access_key, sandbox.secret_key),
    }


def next_command(inside: Inside, err: str) -> int:
    """Run the command of the "Next:" line and return its exit code."""
    [line] = [line for line in err.splitlines() if line.startswith("Next:")]
    words = line.rpartition(": ")[2].split()
    assert words[0] == "obsup", line
    return inside.run(*words[1:]).code


@pytest.mark.parametrize(
    "step",
    [
        ("part", "bigfile", "bucket/key", *GONE, "--part-number", "1", "--parts", "2"),
        ("part", "bucket/key", *GONE, "--part-number", "1", "--copy-source", "bucket/old"),
        ("parts", "bucket/key", *GONE),
        ("complete", "bucket/key", *GONE),
        ("complete", "bigfile", "bucket/key", *GONE),
        ("parts", "bigfile", "bucket/key"),
        ("part", "bigfile", "bucket/key", "--part-number", "1"),
        ("complete", "bigfile", "bucket/key"),
    ],
)
def test_the_next_step_of_a_gone_upload_works(
    inside: Inside, sandbox: Sandbox, source: Path, step: tuple[str, ...]
) -> None:
    """With the checkpoint of a file, the file is sent; with an upload id, a new upload is initiated."""
    inside.run("upload", source, "bucket/old")
    if "--upload-id" not in step:
        upload_id = inside.run("init", source, "bucket/key", "--parts", "2").out.strip()
        [path] = source.parent.glob("*.obsup.json")
        saved = path.read_bytes()
        inside.run("abort", "bucket/key", "--upload-id", upload_id)
        path.write_bytes(saved)
    outcome = inside.run(*step)
    assert (outcome.code, "--restart" in outcome.err) == (69, False), outcome.err
    assert next_command(inside, outcome.err) == 0


@pytest.mark.parametrize("command", ["verify", "complete", "part", "parts"])
def test_a_source_that_is_no_file_is_not_to_be_uploaded(
    command: str, inside: Inside, sandbox: Sandbox, tmp_path: Path
) -> None:
    """No other command than upload and init advises to upload the directory, or to initiate an upload of it."""
    (tmp_path / "folder").mkdir()
    number = ("--part-number", "1") * (command == "part")
    outcome = inside.run(command, "folder", "bucket/key", *number)
    assert outcome.code == (2 if "part" in command else 66), outcome.err
    steps = ("Next:  Name the file", "Next:  Name a file", "Next:  Check SOURCE")
    assert any(step in outcome.err for step in steps), outcome.err


@pytest.mark.parametrize("is_gone", [False, True], ids=["verify", "part"])
def test_the_next_step_keeps_the_encryption(
    inside: Inside, sandbox: Sandbox, source: Path, is_gone: bool
) -> None:
    """Run as printed, it would otherwise publish in clear what was encrypted with the customer's key."""
    key = source.with_name("key")
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    key.chmod(0o600)
    encryption = ("--sse-c-key-file", key)
    if is_gone:
        upload_id = inside.run("init", source, "bucket/key", *encryption).out.strip()
        inside.run("abort", "bucket/key", "--upload-id", upload_id)
        failed = inside.run("part", source, "bucket/key", "--part-number", "1", *encryption)
    else:
        inside.run("upload", source, "bucket/key", *encryption)
        source.write_bytes(b"longer" * 100_000)
        failed = inside.run("verify", source, "bucket/key", *encryption)
    assert failed.code == (69 if is_gone else 65), failed.err
    assert next_command(inside, failed.err) == 0
    assert sandbox.object_path("bucket", "key").stat().st_size == source.stat().st_size
    assert sandbox.object_metadata("bucket", "key").attributes.customer_key_md5


@pytest.mark.parametrize("name", ["-r", "--json"])
def test_a_source_with_the_name_of_an_option(shell: Shell, name: str) -> None:
    """The printed command names it so that it is not taken for one."""
    (shell.folder / name).write_bytes(b"content")
    outcome = shell.run("verify", "--", name, "bucket/key")
    assert (outcome.code, f"obsup upload ./{name} bucket/key" in outcome.err) == (65, True), outcome.err
    assert shell.run("upload", f"./{name}", "bucket/key").code == 0


@pytest.mark.parametrize("command", ["part", "complete", "abort", "parts"])
def test_an_empty_upload_id_is_an_error(inside: Inside, sandbox: Sandbox, source: Path, command: str) -> None:
    """A failed $(obsup init …): a DELETE of the object's key with an empty uploadId could delete the object."""
    more = ("--part-number", "1", "--parts", "2") if command == "part" else ()
    for sources in ((), (source,)) if command != "part" else ((source,),):
        outcome = inside.run(command, *sources, "bucket/key", "--upload-id", "", *more)
        assert (outcome.code, "the upload id is empty" in outcome.err) == (2, True), outcome.err
    assert sandbox.requests == []


def test_an_empty_upload_id_is_an_error_in_the_api(
    sandbox: Sandbox, source: Path, where: dict[str, Any]
) -> None:
    """Every step."""
    for step in (
        lambda: upload_part(source, "bucket/key", 1, upload_id="", parts=2, **where),
        lambda: upload_part(b"x", "bucket/key", 1, upload_id="", **where),
        lambda: complete_upload("bucket/key", upload_id="", **where),
        lambda: abort_upload("bucket/key", upload_id="", **where),
    ):
        with pytest.raises(WrongUsage, match="the upload id is empty"):
            step()
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "options",
    [
        ("--sse", "kms", "--sse-c-key-file", "key"),
        ("--header", "x-obs-server-side-encryption: kms", "--sse-c-key-file", "key"),
    ],
)
@pytest.mark.parametrize("command", ["upload", "init", "dry-run", "batch"])
def test_two_encryptions_are_refused_before_anything_is_sent(
    inside: Inside, sandbox: Sandbox, source: Path, options: tuple[str, ...], command: str
) -> None:
    """A key of the store and a customer key, as options or as headers."""
    (source.parent / "key").write_bytes(bytes(32))
    (source.parent / "key").chmod(0o600)
    arguments: tuple[str | Path, ...] = ("upload", source, "bucket/key")
    if command == "init":
        arguments = ("init", source, "bucket/key")
    elif command == "dry-run":
        arguments = ("upload", "-n", source, "bucket/key")
    elif command == "batch":
        arguments = ("upload", source, source.parent / "key", "bucket/many/")
    outcome = inside.run(*arguments, *options)
    assert (outcome.code, "exclude each other" in outcome.err) == (2, True), outcome.err
    assert sandbox.requests == []


def test_two_encryptions_are_refused_in_the_api(
    sandbox: Sandbox, source: Path, tmp_path: Path, where: dict[str, Any]
) -> None:
    """The customer key is a file of the connection, the other encryption an option of the object."""
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    where["connecting"] = ConnectOptions(
        endpoint=sandbox.endpoint, provider="obs", customer_key_file=str(key)
    )
    for call in (
        lambda: upload_file(source, "bucket/key", options=ObjectOptions(sse="kms"), **where),
        lambda: initiate_upload("bucket/key", options=ObjectOptions(sse="AES256"), **where),
    ):
        with pytest.raises(WrongUsage, match="exclude each other"):
            call()
    assert sandbox.requests == []


def test_a_gone_upload_in_the_api(source: Path, where: dict[str, Any]) -> None:
    """The next step is a new upload."""
    with pytest.raises(UploadGone) as caught:
        upload_part(source, "bucket/key", 1, upload_id="ABC", parts=2, **where)
    assert caught.value.next_step is not None
    assert "--restart" not in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("options", "is_named"),
    [((), True), (("--provider", "obs"), False), (("--provider", "s3", "--region", "r"), False)],
)
def test_a_provider_that_was_assumed_is_named_if_the_store_refuses(
    shell: Shell, sandbox: Sandbox, source: Path, options: tuple[str, ...], is_named: bool
) -> None:
    """Nothing shows that the store is OBS: the user learns which option to try. SeaweedFS and Swift deny access."""
    for answer in ("403:SignatureDoesNotMatch", "403:AccessDenied"):
        sandbox.clear_faults()
        sandbox.add_fault(f"error={answer},op=put,times=always")
        outcome = shell.run("upload", source, "bucket/key", *options)
        assert (outcome.code, "if the store is not OBS, add --provider s3" in outcome.err) == (77, is_named)


def test_a_provider_that_a_success_confirms_is_not_doubted(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """The store has accepted requests: a later refusal has another cause."""
    sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    outcome = inside.run("upload", source, "bucket/key", "--parts", "2")
    assert (outcome.code, "add --provider s3" in outcome.err) == (77, False), outcome.err


def test_parts_that_are_too_small_for_the_store_at_hand(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """The message names neither OBS nor its versions."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    for number in ("1", "2"):
        inside.run(
            "part", source, "bucket/key", "--upload-id", upload_id, "--parts", "2", "--part-number", number
        )
    sandbox.add_fault("error=400:EntityTooSmall,op=complete")
    outcome = inside.run("complete", source, "bucket/key", "--upload-id", upload_id)
    assert (outcome.code, "OBS" in outcome.err) == (65, False), outcome.err
    assert "accepts no part of this size, except the last one" in outcome.err


@pytest.mark.parametrize("error", ["403:AccessDenied", "405:MethodNotAllowed", "501:NotImplemented"])
def test_abort_without_the_permission_to_list_parts(
    inside: Inside, sandbox: Sandbox, source: Path, error: str
) -> None:
    """The store confirmed the DELETE."""
    inside.run("init", source, "bucket/key", "--parts", "2")
    inside.run("part", source, "bucket/key", "--part-number", "1")
    sandbox.add_fault(f"error={error},op=parts,times=always")
    outcome = inside.run("abort", source, "bucket/key")
    assert (outcome.code, outcome.err) == (0, "")
    assert (sandbox.uploads(), list(source.parent.glob("*.obsup.json"))) == ([], [])


def test_the_login_page_of_a_proxy_is_no_success_redirect(shell: Shell, source: Path) -> None:
    """An older object of the same size would pass for the one that was not sent."""

    def answer(_: object) -> Reply:
        return response(303, headers={"Location": "http://portal.example/login"})

    with ScriptedServer(answer) as server:
        more = (
            "--success-redirect",
            "http://ok.example/",
            "--endpoint",
            server.endpoint,
            "--provider",
            "obs",
        )
        outcome = shell.run("upload", source, "bucket/key", *more, "--retry-for", "0s")
    assert (outcome.code, "redirected to http://portal.example/login" in outcome.err) == (69, True), (
        outcome.err
    )


def test_a_copy_that_is_answered_with_an_empty_body_is_not_retried_for_long(shell: Shell) -> None:
    """A store that cannot copy parts takes the request for an empty part: three requests, then 69."""

    def answer(_: object) -> Reply:
        return response(200, headers={"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'})

    with ScriptedServer(answer) as server:
        arguments = ("part", "bucket/key", "--upload-id", "ABC", "--part-number", "1")
        outcome = shell.run(*arguments, "--copy-source", "bucket/old", OBSUP_ENDPOINT=server.endpoint)
        copies = [one for one in server.received if one.method == "PUT"]
    assert (outcome.code, len(copies)) == (69, 3), outcome.err
    assert "the store may not support it" in outcome.err
    assert (
        "Next:  Send the part from a file if the store cannot copy; otherwise check the proxies, then"
        in outcome.err
    )


def test_the_reason_of_swift_is_shown(shell: Shell, source: Path) -> None:
    """Its <Message> only repeats the code."""
    body = "<Error><Code>InvalidRequest</Code><Message>Invalid request</Message><Reason>No slo here</Reason></Error>"
    with ScriptedServer(lambda _: response(400, body)) as server:
        outcome = shell.run("upload", source, "bucket/key", OBSUP_ENDPOINT=server.endpoint)
    assert (outcome.code, "Invalid request; No slo here" in outcome.err) == (69, True), outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("step", [("part", "--part-number", "1"), ("complete",)], ids=["part", "complete"])
def test_no_printed_command_uploads_without_the_options_of_init(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, step: tuple[str, ...]
) -> None:
    """The upload is gone: the file would be published in plain text, for all readers of the bucket."""
    make_file(300_000)
    options = ("--sse", "kms", "--acl", "private")
    upload_id = shell.run("init", "bigfile", "bucket/key", "--part-size", "100K", *options).out.strip()
    shell.run("abort", "bucket/key", "--upload-id", upload_id, HOME=str(shell.folder))
    name, *more = step
    gone = shell.run(name, "bigfile", "bucket/key", *more)
    assert gone.code == 69, gone.err
    assert (
        "with the object options (encryption, ACL, metadata and others) that were given to init" in gone.err
    )
    plain = shell.run("upload", "bigfile", "bucket/key")
    assert plain.code == 2, plain.err
    assert "--restart: obsup" not in plain.err
    assert not sandbox.object_path("bucket", "key").exists()
    done = shell.run("upload", "bigfile", "bucket/key", *options)
    assert done.code == 0, done.err
