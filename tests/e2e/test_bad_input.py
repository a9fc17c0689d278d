"""Invalid input: one clear message, the documented exit code, no traceback, and no request or loss of data."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import ScriptedServer, response
from tests.support.in_process import Inside
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]


def check_error(outcome: Outcome, code: int, *texts: str) -> None:
    """Check that *outcome* is one clear error with *code* that contains *texts*."""
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.err.count("Error:") == 1
    for text in texts:
        assert text in outcome.err


@pytest.mark.parametrize(
    ("arguments", "code", "messages"),
    [
        (["missing", "bucket/key"], 66, ["missing", "No such file"]),
        ([".", "bucket/key"], 66, ["is a directory"]),
        (["/dev/null", "bucket/key"], 66, ["not a regular file"]),
        (["bigfile", "bucket"], 2, ["has no key", "bucket/bigfile"]),
        (["bigfile", "s3://bucket"], 2, ["has no key", "Use s3://bucket/bigfile"]),
        (["bigfile", "bucket/\udcff"], 2, [r"invalid key $'\377'", "in UTF-8"]),
        (["bigfile", "My_Bucket/key"], 2, ["invalid bucket name 'My_Bucket'", "Did you mean my-bucket?"]),
        (["bigfile", "ftp://bucket/key"], 2, ["unknown scheme ftp://"]),
        (["bigfile", "bucket/" + "k" * 1025], 2, ["too long", "to 1024 characters"]),
        (["bigfile", "bucket/key", "--parts", "0"], 2, ["between 1 and 10000", "--parts 1"]),
        (["bigfile", "bucket/key", "--parts", "10001"], 2, ["--parts 9"]),
        (["bigfile", "bucket/key", "--parts", "50"], 2, ["100.0 KiB", "--parts 9"]),
        (["bigfile", "bucket/key", "--part-size", "1K"], 2, ["--part-size 100K"]),
        (["bigfile", "bucket/key", "--part-size", "6G"], 2, ["--part-size 5G"]),
        (["bigfile", "bucket/key", "--part-size", "lots"], 2, ["invalid size"]),
        (["bigfile", "bucket/key", "--parts", "2", "--part-size", "1M"], 2, ["exclude each other"]),
        (["bigfile", "bucket/key", "--storage-class", "FROZEN"], 2, ["FROZEN", "STANDARD"]),
        (["bigfile", "bucket/key", "--until", "25:99"], 2, ["HH:MM"]),
        (
            ["bigfile", "bucket/key", "--stall-timeout", "0s"],
            2,
            ["--stall-timeout must be more than 0s and at most 1d, not 0s"],
        ),
        (
            ["bigfile", "bucket/key", "--connect-timeout", "30d"],
            2,
            ["sockets do not support very long timeouts"],
        ),
        (["bigfile", "bucket/key", "--max-time", "9" * 15 + "d"], 2, ["longer than 100 years"]),
        (["bigfile", "bucket/key", "--part-size", "9" * 20 + "T"], 2, ["is too large"]),
        (["bigfile", "bucket/key", "--endpoint", "ftp://x"], 2, []),
        (["bigfile", "bucket/key", "--part"], 2, []),
        (["bigfile"], 2, ["TARGET"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_invalid_arguments(
    arguments: list[str], code: int, messages: list[str], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Nothing is sent for an invalid command line."""
    make_file(1_000_000)
    check_error(shell.run("upload", *arguments), code, *messages)
    assert sandbox.requests == []
    assert [path.name for path in shell.folder.iterdir()] == ["bigfile"]


@pytest.mark.parametrize(
    "target", ["s3://key:swordfish@bucket/key", "key:swordfish@bucket/key", "https://key:swordfish@host/b/k"]
)
@pytest.mark.parametrize("command", ["upload bigfile", "abort", "uploads", "verify bigfile"])
def test_a_password_in_the_target_is_not_repeated(
    command: str, target: str, inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Other tools read keys from such a URL."""
    make_file(10)
    outcome = inside.run(*command.split(), target)
    check_error(outcome, 2, "the target contains a password")
    assert "swordfish" not in outcome.err
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "command",
    [
        "upload bigfile URL --json",
        "upload URL bucket/key --json",
        "upload -r URL bucket/key/ --json --max-time 0.1s --endpoint http://127.0.0.1:9",
        "upload bigfile bucket/key --jobs URL --json",
        "part URL bucket/key --part-number 1",
        "part bigfile bucket/key --copy-source URL --part-number 1",
        "uploads URL",
        "URL",
        "upload NAME bucket/key --json",
        "upload -r NAME bucket/key/ --json --max-time 0.1s --endpoint http://127.0.0.1:9",
        "upload bigfile NAME --endpoint http://127.0.0.1:9 --retry-for 0s --json --log-file log",
    ],
)
def test_a_presigned_url_is_not_repeated_with_its_signature(
    command: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Neither in an error of Click, nor in JSON, nor in the command of "Next:". NAME is one without a scheme."""
    make_file(10)
    name = (
        "bucket.example/key?X-Amz-Credential=AK%2F2026&X-Amz-Signature=SECRET0123"
        "&X-Amz-Security-Token=SECRET%2Ftoken"
    )
    words = {"NAME": name, "URL": f"https://user:SECRET-word@{name}"}
    outcome = shell.run(*(words.get(word, word) for word in command.split()))
    assert outcome.code in (2, 65, 66, 75)
    log = shell.folder / "log"
    assert "SECRET" not in outcome.err + outcome.out + (log.read_text() if log.exists() else "")
    assert sandbox.requests == []


def test_no_command_names_a_key_that_is_masked(shell: Shell, make_file: MakeFile) -> None:
    """It would upload the file to another key."""
    make_file(10)
    outcome = shell.run("verify", "bigfile", "bucket/key?Signature=SECRET")
    assert (outcome.code, outcome.err.splitlines()[-1]) == (65, "Next:  Upload it.")


def test_a_name_with_a_parameter_is_not_a_url(shell: Shell, sandbox: Sandbox) -> None:
    """It is shown as it is, and "Next:" has the command."""
    (shell.folder / "report?token=7").touch()
    outcome = shell.run("upload", "report?token=7", "bucket/key", "--max-time", "0s")
    assert "obsup upload 'report?token=7' bucket/key" in outcome.err
    assert sandbox.requests == []


def test_an_unreadable_source(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The permission is checked before anything is initiated."""
    make_file(1000).chmod(0)
    if os.access(shell.folder / "bigfile", os.R_OK):  # root reads everything
        (shell.folder / "bigfile").unlink()
        (shell.folder / "bigfile").symlink_to("bigfile")
    check_error(shell.run("upload", "bigfile", "bucket/key"), 66, "cannot read bigfile")
    assert sandbox.requests == []


def test_no_credentials(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The message names the variables that were searched."""
    make_file(1000)
    bare = Shell(shell.folder, {"OBSUP_ENDPOINT": sandbox.endpoint})
    check_error(
        bare.run("upload", "bigfile", "bucket/key"),
        77,
        "AccessKeyID",
        "SecretAccessKey",
        "OBSUP_ACCESS_KEY_ID",
    )
    assert sandbox.requests == []


def test_no_endpoint(shell: Shell, make_file: MakeFile) -> None:
    """The message names the option."""
    make_file(1000)
    check_error(
        Shell(shell.folder).run("upload", "bigfile", "bucket/key"), 78, "--endpoint", "OBSUP_ENDPOINT"
    )


def test_wrong_credentials(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Exit 77, with the error code of the store and the origin of the credentials, and no upload remains."""
    make_file(1_000_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", SecretAccessKey="wrong")
    check_error(
        outcome,
        77,
        "SignatureDoesNotMatch",
        "credentials from environment variable AccessKeyID",
        "request id",
    )
    assert "'obsup doctor'" in outcome.err
    assert "path of --endpoint" not in outcome.err
    assert "Note:" not in outcome.err  # the list of open uploads was rejected before, for the same reason
    assert sandbox.uploads() == []


def test_a_rejection_at_an_endpoint_with_a_path(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Behind a wrong path the signature is that of another resource."""
    make_file(1000)
    endpoint = f"{sandbox.endpoint}/storage/v1"
    outcome = shell.run("upload", "bigfile", "bucket/key", "--endpoint", endpoint)
    check_error(outcome, 77, "SignatureDoesNotMatch", "or, check the path of --endpoint")


def test_a_signature_that_is_wrong_for_the_list_alone(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A proxy may change the query: the upload succeeds, with a note."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:SignatureDoesNotMatch,op=uploads,times=always")
    outcome = inside.run("upload", "bigfile", "bucket/key", "--parts", "2")
    assert (outcome.code, outcome.err.count("Note:  cannot list the open uploads")) == (0, 1), outcome.err


def test_a_current_directory_that_was_removed(shell: Shell, make_file: MakeFile) -> None:
    """Exit 66: a relative path cannot be resolved there. An absolute one works."""
    make_file(1000)
    outcome = shell.run_script("mkdir gone; cd gone; rmdir ../gone; obsup upload ../bigfile bucket/key")
    check_error(
        outcome, 66, "the current directory does not exist", "Change to a directory that exists, then run"
    )
    script = f"mkdir gone; cd gone; rmdir ../gone; obsup upload {shell.folder}/bigfile bucket/key"
    assert shell.run_script(script).code == 0


def test_connection_refused(shell: Shell, make_file: MakeFile) -> None:
    """Exit 75: the next step is the same command."""
    make_file(1_000_000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        arguments = (
            "upload",
            "bigfile",
            "bucket/key",
            "--parts",
            "5",
            "--retry-for",
            "1s",
            "--endpoint",
            endpoint,
        )
        outcome = shell.run(*arguments)
    check_error(
        outcome,
        75,
        f"nothing is listening on {endpoint.removeprefix('http://')}",
        "Check --endpoint and the network, then run",
        "obsup upload bigfile bucket/key --parts 5",
    )


def test_no_such_bucket(tmp_path: Path, make_file: MakeFile) -> None:
    """Exit 69: the service rejected the request permanently."""
    make_file(1_000_000)
    with Sandbox(buckets=["other"]) as sandbox:
        outcome = Shell.against(sandbox, tmp_path).run("upload", "bigfile", "bucket/key", "--parts", "5")
    check_error(outcome, 69, "NoSuchBucket", "--endpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["bigfile"]


def test_verify_names_a_missing_bucket(tmp_path: Path, make_file: MakeFile) -> None:
    """HEAD returns 404 for a missing bucket as well, without a body: one list shows it, also of many files."""
    make_file(10)
    (tmp_path / "folder").mkdir()
    for name in ("a", "b"):
        (tmp_path / "folder" / name).write_bytes(b"x")
    for sources, target in ((("bigfile",), "bucket/key"), (("-r", "folder"), "bucket/")):
        with Sandbox(buckets=["other"]) as sandbox:
            outcome = Shell.against(sandbox, tmp_path).run("verify", *sources, target, "--provider", "s3")
            assert [one.method for one in sandbox.requests].count("GET") == 1
        check_error(outcome, 69, "NoSuchBucket", "The bucket does not exist", "--endpoint")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [(("verify", "-", "bucket/key"), "upload --receipt"), (("status", "-"), "'obsup uploads BUCKET'")],
)
def test_a_command_that_reads_no_stream(
    inside: Inside, sandbox: Sandbox, tmp_path: Path, arguments: tuple[str, ...], advice: str
) -> None:
    """A hyphen is a file only if there is one."""
    check_error(inside.run(*arguments), 66, "Error: - is not a file", "standard input", advice)
    assert sandbox.requests == []
    (tmp_path / "-").write_bytes(b"x")
    assert "is not a file" not in inside.run(*arguments).err


def test_a_source_before_the_target_of_a_command(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The surplus argument is named, not a key that SOURCE lacks."""
    words = ["upload", "--from-command", "data", "bucket/key", "--", "cat", "file"]
    monkeypatch.setattr("sys.argv", ["obsup", *words])
    check_error(inside.run(*words), 2, "without a SOURCE: leave out data")


def test_a_checkpoint_directory_that_cannot_be_written(inside: Inside, make_file: MakeFile) -> None:
    """The advice names both options: another --checkpoint alone would exclude this one."""
    make_file(500_000)
    outcome = inside.run(
        "upload", "bigfile", "bucket/key", "--parts", "3", "--checkpoint-dir", "missing/folder"
    )
    check_error(outcome, 73, "another directory with --checkpoint-dir")


def test_verify_names_an_endpoint_that_is_not_the_store(shell: Shell, make_file: MakeFile) -> None:
    """The response of a web server to HEAD, 404, does not show that the object is missing."""
    make_file(10)
    with ScriptedServer(lambda _: response(404, "<html>not here</html>")) as server:
        outcome = shell.run("verify", "bigfile", "bucket/key", "--endpoint", server.endpoint)
    check_error(outcome, 69, "404", "it may not be the store", "Check --endpoint")


def test_directory_needs_recursive(shell: Shell) -> None:
    """The error shows the command."""
    (shell.folder / "my photos").mkdir()
    outcome = shell.run("upload", "my photos", "bucket/key")
    assert outcome.code == 66
    assert outcome.err.endswith("obsup upload -r 'my photos' BUCKET/PREFIX/\n")


def test_failure_as_json(shell: Shell, make_file: MakeFile) -> None:
    """It has status, exitCode, reason and retryable."""
    make_file(1000)
    outcome = shell.run("upload", "missing", "bucket/key", "--json")
    assert outcome.code == 66
    assert outcome.json["status"] == "failed"
    assert outcome.json["exitCode"] == 66
    assert outcome.json["reason"] == "source"
    assert outcome.json["retryable"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("upload", "f", "bucket/key", "--config", "missing", "--json"), 78, "configuration"),
        (("config", "show", "--profile", "missing", "--json"), 78, "configuration"),
        (("gc", "bucket"), 2, "usage"),
    ],
    ids=["configuration", "profile", "usage"],
)
def test_failure_before_the_work_as_json(
    shell: Shell, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    """Of the configuration and the command line, too, by option or variable."""
    outcome = shell.run(*arguments, OBSUP_JSON="true" if "--json" not in arguments else "")
    assert (outcome.code, outcome.json["exitCode"], outcome.json["reason"]) == (code, code, reason)
    assert outcome.json["command"] == ("config show" if arguments[0] == "config" else arguments[0])
    assert outcome.json["message"].partition(".")[0] in outcome.err
    assert outcome.json.get("sentParts") == (0 if arguments[0] == "upload" else None)


def test_failure_before_the_work_as_text(shell: Shell) -> None:
    """Without --json, and of a command line whose --json belongs to CMD, nothing is on stdout."""
    for arguments in (("gc", "bucket"), ("upload", "--from-command", "bucket", "--", "echo", "--json")):
        outcome = shell.run(*arguments)
        assert (outcome.code, outcome.out) == (2, "")


def test_name_with_control_characters_is_quoted(shell: Shell) -> None:
    """A file name must not control the terminal."""
    outcome = shell.run("upload", "evil\x1b[2J\nname", "bucket/key")
    assert outcome.code == 66
    assert "\x1b" not in outcome.err
    assert r"\033" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [("upload", "a\x1b[2J", "b\x1b]0;t\x07", "\u202ebucket"), ("init", "a", "b", "c\x1b[2J"), ("\x1b[2J",)],
    ids=["several sources", "too many arguments", "no such command"],
)
def test_usage_errors_escape_control_characters(shell: Shell, arguments: tuple[str, ...]) -> None:
    """Usage errors contain arguments of the command line."""
    outcome = shell.run(*arguments)
    assert outcome.code == 2
    assert "Error: " in outcome.err
    assert outcome.err.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("faults", "code", "is_recorded"),
    [
        (["error=403:AccessDenied,op=initiate,times=always"], 77, False),
        (
            ["drop-answer,op=initiate,times=always", "error=403:AccessDenied,op=uploads,times=always"],
            75,
            True,
        ),
    ],
    ids=["refused", "in doubt"],
)
def test_checkpoint_remains_only_if_an_upload_may_exist(
    faults: list[str], code: int, is_recorded: bool, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A rejected Initiate leaves no checkpoint; a lost response does, because the upload may exist."""
    make_file(1_000_000)
    for fault in faults:
        sandbox.add_fault(fault)
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "5")
    check_error(shell.run(*arguments, "--retry-for", "0s"), code)
    assert bool(list(shell.folder.glob("*.obsup.json"))) == is_recorded
    sandbox.clear_faults()
    assert shell.run(*arguments).code == 0
    assert sandbox.uploads() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "", "bucket/key"),
        ("upload", "-r", "", "bucket/prefix/"),
        ("upload", "bigfile", ""),
        ("init", "", "bucket/key"),
        ("part", "", "bucket/key", "--part-number", "1"),
        ("complete", ""),
        ("abort", "", "bucket/key"),
        ("parts", ""),
        ("uploads", ""),
        ("gc", "", "--older-than", "1d"),
        ("status", ""),
        ("verify", "", "bucket/key"),
        ("doctor", ""),
        ("upload", "bigfile", "bucket/key", "--checkpoint", ""),
    ],
    ids=" ".join,
)
def test_an_empty_argument_is_an_error(
    arguments: tuple[str, ...], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """An unset variable in a script must not mean the current directory, or everything."""
    make_file(1000)
    outcome = shell.run(*arguments)
    assert outcome.code == 2
    assert "empty" in outcome.err
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "bucket/key", "dir/bigfile"),
        ("upload", "bucket/key", "-"),
        ("init", "bucket/key", "dir/bigfile"),
        ("part", "bucket/key", "dir/bigfile", "--part-number", "1"),
        ("complete", "bucket/key", "dir/bigfile"),
        ("abort", "bucket/key", "dir/bigfile"),
        ("parts", "bucket/key", "dir/bigfile"),
        ("status", "bucket/key", "dir/bigfile"),
        ("verify", "bucket/key", "dir/bigfile"),
    ],
    ids=" ".join,
)
def test_swapped_arguments_are_recognised(
    arguments: tuple[str, ...], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The message shows the right order, and nothing is sent."""
    (shell.folder / "dir").mkdir()
    make_file(1000, "dir/bigfile")
    outcome = shell.run(*arguments)
    assert outcome.code == 2
    right = "SOURCE comes first"
    if arguments[2] != "-":
        right += f", as in obsup {arguments[0]} dir/bigfile bucket/key"
    assert right in " ".join(outcome.err.split())
    assert sandbox.requests == []


def test_a_command_that_is_a_file_is_not_a_swapped_source(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """TARGET comes before the command."""
    script = make_file(0, "script")
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    outcome = shell.run("upload", "--from-command", "bucket/key", "--", "./script")
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("target", "example"),
    [
        ("bucket/key", "--endpoint https://obs.eu-de.otc.t-systems.com"),
        ("s3://bucket/key", "--endpoint https://s3.REGION.amazonaws.com, or only --region REGION"),
        ("oss://bucket/key", "--endpoint https://oss-REGION.aliyuncs.com, or only --region REGION"),
    ],
)
def test_a_missing_endpoint_shows_one_of_the_provider(
    target: str, example: str, shell: Shell, make_file: MakeFile
) -> None:
    """It also names the command that creates a file for it."""
    make_file(1000)
    environment = {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}
    outcome = replace(shell, environment=environment).run("upload", "bigfile", target)
    assert outcome.code == 78
    store = "or the name of the store, for example --provider r2"
    assert f"Give one, for example {example}, {store}; 'obsup config init'" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "bigfile", "bucket/key", "--receipt", "bigfile"),
        ("upload", "bigfile", "bucket/key", "--log-file", "./bigfile"),
        ("upload", "bigfile", "bigfile", "bucket/p/", "--failed-list", "bigfile"),
        ("upload", "-r", "tree", "bucket/p/", "--log-file", "tree/file"),
        ("upload", "-r", "tree", "bucket/p/", "--failed-list", "tree/new"),
        ("init", "bigfile", "bucket/key", "--log-file", "bigfile"),
        ("part", "bigfile", "bucket/key", "--part-number", "1", "--log-file", "bigfile"),
        ("verify", "bigfile", "bucket/key", "--log-file", "link"),
        ("upload", "run.log.5", "bucket/key", "--log-file", "run.log"),
    ],
    ids=" ".join,
)
def test_a_file_to_write_must_not_be_the_source(
    arguments: tuple[str, ...], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Exit 2 before anything is opened or sent; the source is unchanged."""
    source = make_file(1000)
    content = source.read_bytes()
    (shell.folder / "link").symlink_to(source)
    (shell.folder / "run.log.5").hardlink_to(source)
    (shell.folder / "tree").mkdir()
    (shell.folder / "tree" / "file").write_bytes(content)
    outcome = shell.run(*arguments)
    assert outcome.code == 2
    assert "Name another file" in outcome.err
    assert source.read_bytes() == content
    assert [path.name for path in (shell.folder / "tree").iterdir()] == ["file"]
    assert (shell.folder / "tree" / "file").read_bytes() == content
    assert sandbox.requests == []


@pytest.mark.parametrize("option", ["--log-file", "--checkpoint", "--metrics", "--checkpoint-dir"])
def test_a_path_that_is_too_long_is_refused(inside: Inside, make_file: MakeFile, option: str) -> None:
    """The system rejects it even for the question whether the file exists."""
    outcome = inside.run("upload", make_file(10), "bucket/key", option, "x" * 300)
    assert (outcome.code, "File name too long" in outcome.err) == (2, True)


def test_a_source_whose_name_is_too_long_is_refused(shell: Shell) -> None:
    """As is any other path that is not the value of an option."""
    for command in ("upload", "verify", "init"):
        outcome = shell.run(command, "x" * 300, "bucket/key")
        assert (outcome.code, "too long" in outcome.err) == (2, True), outcome.err


def test_a_file_to_write_that_has_no_name_is_an_error(inside: Inside, make_file: MakeFile) -> None:
    """The current directory, for example."""
    outcome = inside.run("upload", make_file(10), "bucket/key", "--metrics", ".")
    assert (outcome.code, "the metrics . cannot be written" in outcome.err) == (74, True)
