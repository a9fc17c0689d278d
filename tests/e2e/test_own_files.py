"""Files that obsup writes are never damaged or sent as sources, and files that only look like its own are sent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from obsup.api import upload_file
from obsup.errors import WrongUsage
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import json_results, make_files, stored_keys
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

OUTPUTS = [
    "--log-file",
    *(pytest.param(one, marks=pytest.mark.slow) for one in ("--failed-list", "--metrics", "--checkpoint")),
]


@pytest.mark.parametrize("option", OUTPUTS)
def test_a_source_of_the_list_that_an_option_would_write(shell: Shell, sandbox: Sandbox, option: str) -> None:
    """Exit 2; the file is unchanged, and nothing is sent."""
    make_files(shell, "tree/a", "tree/b")
    (shell.folder / "link").symlink_to("tree/b")
    (shell.folder / "list").write_text("tree/a\nlink\n")
    before = (shell.folder / "tree/b").read_bytes()
    outcome = shell.run("upload", "--from-list", "list", "bucket/p/", option, "tree/b")
    assert (outcome.code, stored_keys(sandbox)) == (2, [])
    assert option in outcome.err
    assert (shell.folder / "tree/b").read_bytes() == before


@pytest.mark.parametrize("option", OUTPUTS)
def test_a_list_from_standard_input_with_such_a_source(shell: Shell, sandbox: Sandbox, option: str) -> None:
    """The same; a list without one is read to its end and sent."""
    make_files(shell, "tree/a", "tree/b")
    before = (shell.folder / "tree/b").read_bytes()

    def run(names: bytes, path: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "obsup", "upload", "--from-list", "-", "bucket/p/", option, path],
            cwd=shell.folder,
            env={**os.environ, **shell.environment},
            input=names,
            capture_output=True,
            timeout=60,
            check=False,
        )

    done = run(b"tree/a\ntree/b\n", "tree/b")
    assert (done.returncode, stored_keys(sandbox)) == (2, []), done.stderr
    assert (shell.folder / "tree/b").read_bytes() == before
    if option != "--checkpoint":
        (shell.folder / "written").touch()
        done = run(b"tree/a\ntree/b\n", "written")
        assert (done.returncode, stored_keys(sandbox)) == (0, ["p/tree/a", "p/tree/b"]), done.stderr


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ("--sse-c-key-file", "--receipt"),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in (
                ("--sse-c-key-file", "--checkpoint"),
                ("--config", "--log-file"),
                ("--ca-bundle", "--metrics"),
                ("--from-list", "--log-file"),
            )
        ),
    ],
)
def test_a_file_that_one_option_reads_and_another_would_write(
    shell: Shell, sandbox: Sandbox, read: str, written: str
) -> None:
    """Exit 2, through a link too: the key that the object is encrypted with would be lost."""
    make_files(shell, "bigfile")
    path = shell.folder / "file"
    path.write_bytes(b"#" * 32)
    path.chmod(0o600)
    (shell.folder / "link").symlink_to("file")
    sources = () if read == "--from-list" else ("bigfile",)
    outcome = shell.run("upload", *sources, "bucket/key", read, "file", written, "link")
    assert (outcome.code, stored_keys(sandbox)) == (2, [])
    assert f"{written} link is the same file as {read}:" in outcome.err
    assert path.read_bytes() == b"#" * 32


def test_the_list_of_etags_is_not_overwritten(shell: Shell, sandbox: Sandbox) -> None:
    """The log would be appended to it."""
    (shell.folder / "list").write_text("1 abc")
    outcome = shell.run(
        "complete", "bucket/key", "--upload-id", "A", "--etags-from", "list", "--log-file", "list"
    )
    assert (outcome.code, (shell.folder / "list").read_text(), sandbox.requests) == (2, "1 abc", [])
    assert "--log-file list is the same file as --etags-from" in outcome.err


def test_the_file_of_the_locks_is_not_sent(shell: Shell, sandbox: Sandbox) -> None:
    """On macOS and BSD, the locks of this process would end when it is closed."""
    make_files(shell, "tree/a")
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", OBSUP_STATE_DIR=str(shell.folder / "tree"))
    assert outcome.code == 0, outcome.err
    assert "Skipped: locks/uploads: a file that this command writes" in outcome.err
    assert stored_keys(sandbox) == ["p/a"]


def test_two_options_that_would_write_one_file(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 2, whether or not the file exists."""
    make_files(shell, "bigfile")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--receipt", "new", "--log-file", "./new")
    assert (outcome.code, stored_keys(sandbox)) == (2, [])
    assert "is the same file as --" in outcome.err


def test_a_file_that_a_full_log_would_replace(shell: Shell, sandbox: Sandbox) -> None:
    """It is named as what it is: no option names it."""
    make_files(shell, "log.2")
    outcome = shell.run("upload", "log.2", "bucket/key", "--log-file", "log")
    assert (outcome.code, stored_keys(sandbox)) == (2, [])
    assert "old log 2 of --log-file log.2 is the same file as SOURCE log.2" in outcome.err


def test_the_journal_of_an_empty_source_file(shell: Shell, sandbox: Sandbox) -> None:
    """--checkpoint must not write its journal into a source."""
    make_files(shell, "a", "b")
    (shell.folder / "b").write_bytes(b"")
    outcome = shell.run("upload", "a", "b", "bucket/p/", "--checkpoint", "b")
    assert (outcome.code, stored_keys(sandbox)) == (2, [])
    assert (shell.folder / "b").read_bytes() == b""


def test_files_that_the_command_writes_in_a_directory_are_not_sent(shell: Shell, sandbox: Sandbox) -> None:
    """A journal in the directory is reported and skipped."""
    make_files(shell, "tree/a")
    for _run in range(2):
        outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--checkpoint", "tree/kept.journal")
        assert outcome.code == 0, outcome.err
        assert "Skipped: kept.journal: a file that this command writes" in outcome.err
    assert stored_keys(sandbox) == ["p/a"]


@pytest.mark.parametrize("option", mostly_slow(["--metrics", "--log-file", "--failed-list"], "--metrics"))
def test_files_that_would_be_written_where_a_link_in_the_directory_leads(
    shell: Shell, sandbox: Sandbox, option: str
) -> None:
    """Exit 2, and nothing is sent, unless the walk does not enter that folder."""
    make_files(shell, "tree/a", "logs/2026/old", "parts/a")
    (shell.folder / "tree/logs").symlink_to("../logs")
    (shell.folder / "logs/loop").symlink_to("../tree")
    before = (shell.folder / "logs/2026/old").read_bytes()
    upload = ("upload", "-r", "tree/", "bucket/p/", option)
    for path in ("logs/2026/old", "logs/2026/new"):
        outcome = shell.run(*upload, path)
        assert (outcome.code, stored_keys(sandbox)) == (2, [])
        assert f"{option} {path} is inside tree/logs/2026, which is sent" in outcome.err
    for choice in (("--exclude", "logs/2026/**"), ("--links", "skip")):
        assert shell.run(*upload, "logs/2026/new", *choice).code == 0
    assert (shell.folder / "logs/2026/old").read_bytes() == before


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_file_of_the_directory_that_has_another_name_is_not_written(
    shell: Shell, sandbox: Sandbox, link: str
) -> None:
    """Exit 2: the log would be appended to it, and it would not be sent."""
    make_files(shell, "tree/a", "outside")
    path, before = shell.folder / "outside", (shell.folder / "outside").read_bytes()
    if link == "hard":
        (shell.folder / "tree/b").hardlink_to(path)
    else:
        (shell.folder / "tree/missing").symlink_to("nothing")
        (shell.folder / "tree/b").symlink_to("../outside")
    upload = ("upload", "-r", "tree/", "bucket/p/", "--exclude", "missing", "--log-file", "outside")
    links = ("--links", "skip") if link == "hard" else ()
    outcome = shell.run(*upload, *links)
    assert (outcome.code, stored_keys(sandbox), path.read_bytes()) == (2, [], before)
    assert "--log-file outside is the same file as tree/b, which is sent" in outcome.err
    assert shell.run(*upload, "--exclude", "b").code == 0
    assert stored_keys(sandbox) == ["p/a"]


def test_the_configuration_file_at_its_default_path_is_not_overwritten(
    shell: Shell, sandbox: Sandbox
) -> None:
    """Exit 2, as with --config: it has the only copy of the keys."""
    make_files(shell, "bigfile", ".config/obsup/config.toml")
    config = shell.folder / ".config/obsup/config.toml"
    config.write_text("# kept\n")
    variables = {"HOME": str(shell.folder), "XDG_CONFIG_HOME": ""}
    outcome = shell.run("upload", "bigfile", "bucket/key", "--receipt", str(config), **variables)
    assert (outcome.code, stored_keys(sandbox)) == (2, [])
    assert f"--receipt {config} is the configuration file" in outcome.err
    assert config.read_text() == "# kept\n"


@pytest.mark.parametrize(
    ("variable", "name", "text"),
    [
        ("AWS_SHARED_CREDENTIALS_FILE", "elsewhere", "the credentials file"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "token", "the credentials file"),
        ("REQUESTS_CA_BUNDLE", "trusted.pem", "the file of REQUESTS_CA_BUNDLE"),
        ("HOME", ".aws/credentials", "the credentials file"),
    ],
)
def test_a_file_that_the_environment_names_is_not_overwritten(
    shell: Shell, sandbox: Sandbox, variable: str, name: str, text: str
) -> None:
    """Exit 2, before a request: the log would be appended to the keys of another tool."""
    make_files(shell, "bigfile", name)
    path = shell.folder / name
    before = path.read_bytes()
    value = str(shell.folder if variable == "HOME" else path)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--log-file", name, **{variable: value})
    assert (outcome.code, path.read_bytes(), sandbox.requests) == (2, before, [])
    assert f"--log-file {name} is {text}" in outcome.err


def test_the_checkpoint_of_an_upload_is_not_overwritten(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 2, although no option names it as the checkpoint; the same for the journal of a batch."""
    make_files(shell, "bigfile", "tree/a", size=10)
    assert shell.run("init", "bigfile", "bucket/key").code == 0
    assert shell.run("upload", "-r", "tree/", "bucket/p/", "--checkpoint", "kept").code == 0
    (checkpoint,) = shell.folder.glob("bigfile.*.obsup.json")
    for path in (checkpoint, shell.folder / "kept"):
        before = path.read_bytes()
        outcome = shell.run("upload", "bigfile", "bucket/key", "--log-file", path.name)
        assert (outcome.code, path.read_bytes()) == (2, before)
        assert f"--log-file {path.name} is the checkpoint of an upload" in outcome.err


def test_a_pipe_for_a_receipt_is_not_read(shell: Shell, sandbox: Sandbox) -> None:
    """Only a file can be a checkpoint; what is in a pipe is meant for another program."""
    make_files(shell, "bigfile")
    assert shell.run("upload", "bigfile", "bucket/key", "--receipt", "/dev/stdout").json["key"] == "key"


def test_a_file_with_the_name_of_a_checkpoint_is_sent(shell: Shell, sandbox: Sandbox) -> None:
    """Only its content shows whether it is one."""
    make_files(shell, "tree/report.deadbeef.obsup.json", "tree/.x.deadbeef.obsup.json.89ef0123.abcdefgh")
    make_files(shell, "tree/large", size=10_000_000)
    assert shell.run("init", "tree/large", "bucket/elsewhere").code == 0
    (checkpoint,) = (shell.folder / "tree").glob("large.*.obsup.json")
    checkpoint.with_name(f".{checkpoint.name}.89ef0123.abcdefgh").write_bytes(checkpoint.read_bytes())
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("a checkpoint of obsup") == 2
    assert stored_keys(sandbox) == [
        "p/.x.deadbeef.obsup.json.89ef0123.abcdefgh",
        "p/large",
        "p/report.deadbeef.obsup.json",
    ]


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        (("-r", "empty", "full"), "empty"),
        pytest.param(("-r", "full/", "--exclude", "*"), "full", marks=pytest.mark.slow),
        pytest.param(("a", "full/x", "--exclude", "a"), "a", marks=pytest.mark.slow),
        pytest.param(("--from-list", "empty-list"), "empty-list", marks=pytest.mark.slow),
    ],
)
def test_a_source_without_files(
    shell: Shell, sandbox: Sandbox, arguments: tuple[str, ...], source: str
) -> None:
    """A note names it; with --fail-if-empty it is exit 66."""
    make_files(shell, "full/x", "a")
    (shell.folder / "empty").mkdir()
    (shell.folder / "empty-list").touch()
    command = ("upload", *arguments, "bucket/p/")
    outcome = shell.run(*command)
    assert (outcome.code, outcome.err) == (0, f"Skipped: {source}: no files to send\n")
    assert shell.run(*command, "-q").err == ""
    outcome = shell.run(*command, "--fail-if-empty", "--json")
    files, batch = json_results(outcome)
    assert (outcome.code, batch["failed"]) == (66, 1)
    assert [one["reason"] for one in files.values() if one["status"] == "failed"] == ["source"]


def test_the_api_replaces_no_file_that_it_reads(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt or the checkpoint as source, key or configuration: WrongUsage, and the file stays."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    source, key = shell.folder / "source", shell.folder / "key"
    source.write_bytes(b"x" * 300_000)
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    assert shell.run("init", "source", "bucket/key").code == 0
    (checkpoint,) = shell.folder.glob("source.*.obsup.json")
    before = len(sandbox.requests)
    keys_of_aws = shell.folder / "aws"
    keys_of_aws.write_text("[default]")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys_of_aws))
    for keywords in (
        {"receipt": source},
        {"checkpoint": source},
        {"receipt": key, "sse_c_key_file": key},
        {"checkpoint": key, "sse_c_key_file": key},
        {"receipt": shell.folder / "one", "checkpoint": shell.folder / "one"},
        {"receipt": keys_of_aws},
        {"receipt": checkpoint},
    ):
        with pytest.raises(WrongUsage, match=r"is the ((credentials )?file |checkpoint of an upload)"):
            upload_file(source, "bucket/key", **keywords)  # type: ignore[arg-type]
    with source.open("rb") as reader, pytest.raises(WrongUsage, match="receipt"):
        upload_file(reader, "bucket/key", receipt=source)
    assert (source.read_bytes(), key.read_bytes()) == (b"x" * 300_000, b"k" * 32)
    assert len(sandbox.requests) == before
