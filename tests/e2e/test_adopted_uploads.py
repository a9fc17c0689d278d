"""Open uploads found without a checkpoint: only one with the object options of this command is continued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from obsup.text import shell_line
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
PART = 102_400
PARTS = ("--part-size", "102400", "-j", "1", "--executor", "inline")


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file of three parts."""
    return make_file(3 * PART)


@pytest.fixture
def start(shell: Shell, sandbox: Sandbox, source: Path) -> Callable[..., str]:
    """Start an upload whose first part is stored; return its upload id."""

    def run(*options: str, command: str = "upload", **environment: str) -> str:
        before = {one.upload_id for one in sandbox.uploads()}
        sandbox.add_fault("error=403:AccessDenied,op=part,part=2-3,times=always")
        assert shell.run(command, source, "bucket/key", *PARTS, *options, **environment).code == 77
        sandbox.clear_faults()
        [started] = [one.upload_id for one in sandbox.uploads() if one.upload_id not in before]
        return started

    return run


def lose_checkpoint(source: Path) -> None:
    """Delete the checkpoint of *source*."""
    [path] = source.parent.glob("*.obsup.json")
    path.unlink()


def open_ids(sandbox: Sandbox) -> list[str]:
    """Return the ids of the open uploads."""
    return [one.upload_id for one in sandbox.uploads()]


OPTIONS = [
    ("--acl", "public-read"),
    ("--storage-class", "COLD"),
    ("--metadata", "color=blue"),
    ("--content-type", "text/x-other"),
    ("--grant", "read=other"),
    ("--expires-days", "3"),
    ("--website-redirect", "https://example.org/"),
    ("--sse", "kms"),
]


@pytest.mark.parametrize("options", mostly_slow(OPTIONS, OPTIONS[0]), ids=[name for name, _ in OPTIONS])
def test_an_upload_of_another_machine_is_left_alone(
    start: Callable[..., str],
    shell: Shell,
    sandbox: Sandbox,
    source: Path,
    tmp_path: Path,
    options: tuple[str, str],
) -> None:
    """Its parts are those of the file, but its object options are not known. The note's command aborts it."""
    foreign = start(*options, "--no-checkpoint", HOME=str(tmp_path / "elsewhere"))
    done = shell.run("upload", source, "bucket/key", *PARTS, "--no-token")
    assert done.code == 0, done.err
    assert open_ids(sandbox) == [foreign]
    plain = shell.run("upload", source, "bucket/plain.key", *PARTS, "--no-token")
    assert plain.code == 0
    attributes = sandbox.object_metadata("bucket", "key").attributes
    assert attributes == sandbox.object_metadata("bucket", "plain.key").attributes
    [note] = [line for line in done.err.splitlines() if foreign in line]
    assert "left alone" in note
    command = note.partition("abort it with: ")[2]
    aborted = shell.run_script(command)
    assert aborted.code == 0, aborted.err
    assert open_ids(sandbox) == []


def test_the_command_of_the_note_reaches_the_same_store(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """It repeats the connection options of the command that prints it."""
    start("--no-checkpoint", HOME=str(tmp_path / "elsewhere"))
    environment = {name: value for name, value in shell.environment.items() if name != "OBSUP_ENDPOINT"}
    without = Shell(shell.folder, environment)
    options = (f"--endpoint={sandbox.endpoint}", "--addressing", "path", "--provider", "obs")
    done = without.run("upload", source, "bucket/key", *PARTS, *options)
    assert done.code == 0, done.err
    [note] = [line for line in done.err.splitlines() if "left alone" in line]
    aborted = without.run_script(note.partition("abort it with: ")[2])
    assert aborted.code == 0, aborted.err
    assert open_ids(sandbox) == []


def test_a_note_about_several_uploads(
    start: Callable[..., str], shell: Shell, source: Path, tmp_path: Path
) -> None:
    """It names the newest, which its command aborts, and counts the others."""
    for name in "abc":
        start("--no-checkpoint", HOME=str(tmp_path / name))
    done = shell.run("upload", source, "bucket/key", *PARTS)
    assert done.code == 0, done.err
    assert " and 2 more were left alone: they are not known to have the object options" in done.err


def test_an_own_upload_with_the_same_options_is_continued(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """The record of started uploads has the options, so a lost checkpoint costs no part."""
    started = start("--acl", "public-read")
    lose_checkpoint(source)
    done = shell.run("upload", source, "bucket/key", *PARTS, "--acl", "public-read", "--json")
    assert (done.code, done.json["uploadId"], done.json["sentParts"]) == (0, started, 2), done.err
    assert sandbox.object_metadata("bucket", "key").attributes.acl == "public-read"
    assert open_ids(sandbox) == []


def test_an_own_upload_with_other_options_is_left_alone(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """Also after a lost checkpoint."""
    started = start("--acl", "public-read")
    lose_checkpoint(source)
    done = shell.run("upload", source, "bucket/key", *PARTS, "--acl", "private")
    assert (done.code, started in done.err) == (0, True)
    assert sandbox.object_metadata("bucket", "key").attributes.acl == "private"
    assert open_ids(sandbox) == [started]


@pytest.mark.parametrize("acl", ["public-read", "private"])
def test_no_checkpoint_continues_only_an_upload_with_the_same_options(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, acl: str
) -> None:
    """The record of started uploads is kept with --no-checkpoint, too."""
    started = start("--no-checkpoint", "--acl", "public-read")
    done = shell.run("upload", source, "bucket/key", *PARTS, "--no-checkpoint", "--acl", acl, "--json")
    assert (done.code, done.json["uploadId"] == started) == (0, acl == "public-read"), done.err
    assert sandbox.object_metadata("bucket", "key").attributes.acl == acl


def test_init_leaves_the_upload_of_another_machine_alone(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """init SOURCE decides as upload does."""
    foreign = start("--acl", "public-read", "--no-checkpoint", HOME=str(tmp_path / "elsewhere"))
    done = shell.run("init", source, "bucket/key", "--part-size", "102400", "--acl", "private")
    assert (done.code, foreign in done.err) == (0, True)
    assert done.out.strip() not in ("", foreign)


@pytest.mark.parametrize("is_lost", [False, True])
def test_an_upload_with_another_customer_key_is_not_continued(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, is_lost: bool
) -> None:
    """The key is one of the object options: exit 2 with a checkpoint, without one a new upload."""
    for name in ("one", "two"):
        source.with_name(name).write_bytes((name * 11)[:32].encode())
        source.with_name(name).chmod(0o600)
    started = start("--sse-c-key-file", "one")
    if is_lost:
        lose_checkpoint(source)
    done = shell.run("upload", source, "bucket/key", *PARTS, "--sse-c-key-file", "two")
    assert done.code == (0 if is_lost else 2), done.err
    assert open_ids(sandbox) == [started]
    again = shell.run("upload", source, "bucket/key", *PARTS, "--sse-c-key-file", "one", "--json")
    assert (again.code, again.json["uploadId"]) == (0, started), again.err


def interrupt_initiation(shell: Shell, sandbox: Sandbox, source: Path, *options: str) -> None:
    """Kill obsup while it initiates: the checkpoint has no upload id, and the store never executes the request."""
    sandbox.add_fault("stall=30,op=initiate")
    process = shell.begin("upload", source, "bucket/key", *PARTS, *options)
    wait_for(lambda: sandbox.injected_faults, process=process)
    assert list(source.parent.glob("*.obsup.json"))
    process.kill()
    process.communicate()
    sandbox.clear_faults()


def test_an_upload_that_another_client_began_after_an_interrupted_initiation(
    start: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """It has a part, so it is not the one that the interrupted run initiated."""
    interrupt_initiation(shell, sandbox, source, "--acl", "private")
    foreign = start("--acl", "public-read", "--no-checkpoint", HOME=str(tmp_path / "elsewhere"))
    done = shell.run("upload", source, "bucket/key", *PARTS, "--acl", "private")
    assert done.code == 0, done.err
    assert sandbox.object_metadata("bucket", "key").attributes.acl == "private"
    assert foreign in open_ids(sandbox)


@pytest.mark.parametrize("acl", ["public-read", "private"])
def test_an_upload_that_began_on_a_full_disk(
    shell: Shell, sandbox: Sandbox, source: Path, home: Path, acl: str
) -> None:
    """An empty file records it with its object options; it is removed at the end."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2-3,times=always")
    command = shell_line(["obsup", "upload", source, "bucket/key", *PARTS, "--acl", "public-read"])
    assert shell.run_script(f"ulimit -f 0; {command}").code == 77
    sandbox.clear_faults()
    [started] = open_ids(sandbox)
    done = shell.run("upload", source, "bucket/key", *PARTS, "--acl", acl, "--json")
    assert (done.code, done.json["uploadId"] == started) == (0, acl == "public-read"), done.err
    assert sandbox.object_metadata("bucket", "key").attributes.acl == acl
    marks = list((home / ".local/state/obsup/uploads").glob("*.mark"))
    assert len(marks) == (acl == "private")


OSS = ("--provider", "oss", "--region", "here")
OURS, THEIRS = ("--metadata", "set=ours"), ("--metadata", "set=theirs")


@pytest.fixture
def foreign(shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path) -> Callable[..., str]:
    """Let another client initiate an upload after our initiation was interrupted; return its upload id."""

    def run(*provider: str, token: Sequence[str] = ()) -> str:
        interrupt_initiation(shell, sandbox, source, *provider, *OURS, *token)
        elsewhere = str(tmp_path / "elsewhere")
        initiated = shell.run("init", "bucket/key", *provider, *THEIRS, HOME=elsewhere)
        assert initiated.code == 0, initiated.err
        return initiated.out.strip()

    return run


def set_of(sandbox: Sandbox) -> str:
    """Return the metadata ``set`` of the object."""
    return sandbox.object_metadata("bucket", "key").attributes.metadata["set"]


@pytest.mark.parametrize("provider", [(), OSS], ids=["obs", "oss"])
def test_an_empty_upload_of_another_client_is_not_taken_for_ours(
    foreign: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, provider: tuple[str, ...]
) -> None:
    """It looks like the one that the interrupted run initiated, but the object lacks the token."""
    foreign(*provider)
    command: list[str | Path] = ["upload", source, "bucket/key", *PARTS, *provider, *OURS]
    done = shell.run(*command)
    assert done.code == 65
    assert "does not have the token" in done.err
    again = shell.run(*command)
    assert again.code == 0, again.err
    assert set_of(sandbox) == "ours"
    assert open_ids(sandbox) == []


def test_a_lost_complete_of_the_upload_of_another_client_is_not_a_success(
    foreign: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """The object shows the upload id, but not the token."""
    foreign()
    sandbox.add_fault("drop-answer,op=complete")
    shell.run("upload", source, "bucket/key", *PARTS, *OURS)
    again = shell.run("upload", source, "bucket/key", *PARTS, *OURS)
    assert again.code == 0, again.err
    assert set_of(sandbox) == "ours"


@pytest.mark.parametrize("provider", [(), OSS], ids=["obs", "oss"])
def test_without_a_token_an_upload_that_may_be_ours_is_left_alone(
    foreign: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path, provider: tuple[str, ...]
) -> None:
    """Nothing could show later that it was ours. The note's command aborts it."""
    left = foreign(*provider, token=("--no-token",))
    done = shell.run("upload", source, "bucket/key", *PARTS, *provider, *OURS, "--no-token")
    assert done.code == 0, done.err
    assert set_of(sandbox) == "ours"
    assert open_ids(sandbox) == [left]
    [note] = [line for line in done.err.splitlines() if left in line]
    assert shell.run_script(note.partition("abort it with: ")[2]).code == 0
    assert open_ids(sandbox) == []


def test_without_a_token_a_lost_response_leaves_one_upload_and_names_it(
    shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """In the run that lost it."""
    sandbox.add_fault("drop-answer,op=initiate")
    done = shell.run("upload", source, "bucket/key", *PARTS, "--no-token")
    assert done.code == 0, done.err
    [left] = open_ids(sandbox)
    [note] = [line for line in done.err.splitlines() if left in line]
    assert "left alone" in note


def test_restart_leaves_an_upload_alone_that_may_be_ours(
    foreign: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """It aborts only what is known to be ours, and names the other one."""
    left = foreign()
    done = shell.run("upload", source, "bucket/key", *PARTS, *OURS, "--restart")
    assert done.code == 0, done.err
    assert (set_of(sandbox), open_ids(sandbox)) == ("ours", [left])
    assert left in done.err


def test_abort_after_an_interrupted_initiation(
    foreign: Callable[..., str], shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """An upload that may be ours is named and kept, with the checkpoint; without one, the checkpoint is removed."""
    left = foreign()
    done = shell.run("abort", source, "bucket/key")
    assert (done.code, open_ids(sandbox)) == (2, [left]), done.err
    assert shell.run_script(done.err.rpartition(": ")[2]).code == 0
    assert open_ids(sandbox) == []
    assert len(list(source.parent.glob("*.obsup.json"))) == 1
    assert shell.run("abort", source, "bucket/key").code == 0
    assert list(source.parent.glob("*.obsup.json")) == []


@pytest.mark.parametrize("words", [("upload", "--restart"), ("abort",)], ids=["restart", "abort"])
def test_an_upload_that_made_the_object_is_not_aborted(
    shell: Shell, sandbox: Sandbox, source: Path, words: tuple[str, ...]
) -> None:
    """The store still lists it, and an abort could delete the parts of the object."""
    for fault in ("keep-upload,op=complete", "drop-answer,op=complete", "error=403:AccessDenied,op=head"):
        sandbox.add_fault(f"{fault},times=always")
    assert shell.run("upload", source, "bucket/key", *PARTS, "--retry-for", "1s").code == 75
    sandbox.clear_faults()
    [made] = open_ids(sandbox)
    options = PARTS if words[0] == "upload" else ()
    done = shell.run(words[0], source, "bucket/key", *options, *words[1:])
    assert done.code == 0, done.err
    assert open_ids(sandbox) == [made]
    assert f"upload {made} made the object" in done.err
    assert list(source.parent.glob("*.obsup.json")) == []


def test_a_lost_upload_is_found_with_a_wrong_clock(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """Its date is compared by the clock of the store."""
    sandbox.add_fault("skew=3600")
    sandbox.add_fault("drop-answer,op=initiate")
    assert shell.run("upload", source, "bucket/key", "--parts", "2").code == 0
    assert sandbox.uploads() == []


@pytest.mark.parametrize("provider", [(), OSS], ids=["obs", "oss"])
def test_init_prints_no_upload_that_is_only_found(
    shell: Shell, sandbox: Sandbox, provider: tuple[str, ...]
) -> None:
    """The response to Initiate was lost: the other machines could not tell whose upload the list shows."""
    sandbox.add_fault("drop-answer,op=initiate")
    initiated = shell.run("init", "bucket/key", *provider)
    assert initiated.code == 0, initiated.err
    printed = initiated.out.strip()
    [left] = {one.upload_id for one in sandbox.uploads()} - {printed}
    assert f"the open upload {left} of bucket/key" in initiated.err
    assert "left alone" in initiated.err


def test_a_stream_that_fails_does_not_abort_an_upload_that_is_only_found(
    shell: Shell, sandbox: Sandbox
) -> None:
    """With --abort-on-failure: it is named, and the printed command aborts it."""
    sandbox.add_fault("drop-answer,op=initiate")
    script = ("sh", "-c", "head -c 300000 /dev/zero; exit 3")
    words = ("upload", "--from-command", "bucket/key", "--part-size", "100K", "--abort-on-failure", "--")
    failed = shell.run(*words, *script)
    assert failed.code == 76, failed.err
    [left] = open_ids(sandbox)
    assert f"upload {left} of bucket/key is not aborted" in failed.err
    [note] = [line for line in failed.err.splitlines() if "is not aborted" in line]
    assert shell.run_script(note.partition("abort it with: ")[2]).code == 0
    assert open_ids(sandbox) == []
