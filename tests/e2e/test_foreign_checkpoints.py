"""A checkpoint that another user placed in a shared folder is not used by any command. The tests run as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.local.source.identity import stat_source
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from obsup.text import shell_line
from tests.support.shell import Outcome, Shell
from tests.support.upload_rig import PART, Rig

pytestmark = pytest.mark.slow

PARTS = ("--part-size", "102400", "-j", "1")
OTHER_USER = 1001
FOLDER_OWNER = 1003
OWNER = f"uid {OTHER_USER}"
on_both = pytest.mark.parametrize("folder", [0o777, 0o1777], indirect=True, ids=["open", "sticky"])


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that every user can write, outside of the private folders of pytest."""
    path = Path(tempfile.mkdtemp(prefix="obsup-shared-"))
    os.chown(path, FOLDER_OWNER, FOLDER_OWNER)
    path.chmod(getattr(request, "param", 0o777))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def is_sticky(folder: Path) -> bool:
    """Whether nobody can rename the files of others."""
    return bool(folder.stat().st_mode & 0o1000)


def run_as_user(shell: Shell, *words: str | Path) -> Outcome:
    """Run obsup without root's right to rename the files of others in a sticky folder."""
    return shell.run_script(shell_line(["setpriv", "--bounding-set=-fowner", "obsup", *words]))


@pytest.fixture
def source(folder: Path) -> Path:
    """A file of three parts in the shared folder."""
    path = folder / "bigfile"
    path.write_bytes(os.urandom(3 * PART))
    return path


@pytest.fixture
def target(sandbox: Sandbox) -> Target:
    """The target of all commands."""
    return Target("obs", sandbox.endpoint, "bucket", "key")


@pytest.fixture
def path(source: Path, target: Target) -> Path:
    """The default path of the checkpoint."""
    return checkpoint_path.default_path(source, target)


def write_as_other(path: Path, data: bytes) -> None:
    """Write a file as another user, with a mode that lets everybody read it."""
    subprocess.run(
        ["sh", "-c", 'umask 022; cat > "$0"', str(path)],
        input=data,
        user=OTHER_USER,
        group=OTHER_USER,
        check=True,
    )
    assert path.stat().st_uid == OTHER_USER


@pytest.fixture
def forged(sandbox: Sandbox, source: Path, tmp_path: Path) -> bytes:
    """A checkpoint of SOURCE that claims the upload of another file, all of whose parts are stored."""
    other = tmp_path / "other"
    other.write_bytes(os.urandom(3 * PART))
    Rig(sandbox, other).break_off("op=complete", checkpoint=tmp_path / "forged")
    written = checkpoints.load(tmp_path / "forged")
    assert written is not None
    return checkpoints.encode(replace(written, source=str(source), stat=stat_source(source)))


def is_stored(sandbox: Sandbox, source: Path) -> bool:
    """Return whether the object is the source."""
    path = sandbox.object_path("bucket", "key")
    return path.exists() and path.read_bytes() == source.read_bytes()


def upload_of(checkpoint: bytes) -> str:
    """Return the upload id in the checkpoint."""
    return str(json.loads(checkpoint)["uploadId"])


@on_both
@pytest.mark.parametrize("options", [(), ("--restart",)], ids=str)
def test_upload_uses_its_own_checkpoint(
    shell: Shell, sandbox: Sandbox, source: Path, path: Path, forged: bytes, options: tuple[str, ...]
) -> None:
    """In the state directory. The other file and its upload are left alone, and a note names its owner."""
    write_as_other(path, forged)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=always")
    assert shell.run("upload", source, "bucket/key", *PARTS, *options).code == 77
    sandbox.clear_faults()
    done = shell.run("upload", source, "bucket/key", *PARTS, "--json")
    assert done.code == 0, done.err
    assert is_stored(sandbox, source)
    assert done.json["sentParts"] == 1
    assert done.err.count(OWNER) == 1
    assert (path.read_bytes(), path.stat().st_uid) == (forged, OTHER_USER)
    assert [one.upload_id for one in sandbox.uploads()] == [upload_of(forged)]


def test_no_step_uses_it(shell: Shell, sandbox: Sandbox, source: Path, path: Path, forged: bytes) -> None:
    """part, parts and complete find no upload; abort has nothing to abort."""
    write_as_other(path, forged)
    for words in (
        ("part", source, "bucket/key", "--part-number", "1"),
        ("complete", source, "bucket/key"),
        ("parts", source, "bucket/key"),
    ):
        done = shell.run(*words)
        assert done.code == 2, done
        assert OWNER in done.err
    aborted = shell.run("abort", source, "bucket/key")
    assert (aborted.code, OWNER in aborted.err) == (0, True)
    assert [one.upload_id for one in sandbox.uploads()] == [upload_of(forged)]
    assert path.read_bytes() == forged
    assert not is_stored(sandbox, source)


def test_init_part_and_complete_use_their_own(
    shell: Shell, sandbox: Sandbox, source: Path, path: Path, forged: bytes
) -> None:
    """All steps agree on the path in the state directory."""
    write_as_other(path, forged)
    upload_id = shell.run("init", source, "bucket/key", "--parts", "3").out.strip()
    assert upload_id not in ("", upload_of(forged))
    for number in ("1", "2", "3"):
        assert shell.run("part", source, "bucket/key", "--part-number", number).code == 0
    assert shell.run("complete", source, "bucket/key").code == 0
    assert is_stored(sandbox, source)


def test_status_shows_nothing_of_it(shell: Shell, source: Path, path: Path, forged: bytes) -> None:
    """A note names its owner; if it is named with --checkpoint, that is an error."""
    write_as_other(path, forged.replace(b'"uploadId": "', b'"uploadId": "\\u001b]0;title\\u0007'))
    done = shell.run("status", source)
    assert (done.code, done.out, OWNER in done.err) == (0, "", True)
    named = shell.run("status", source, "--checkpoint", path)
    assert (named.code, named.out, OWNER in named.err) == (65, "", True)


@on_both
def test_a_named_checkpoint_of_another_user_is_set_aside(
    shell: Shell, sandbox: Sandbox, source: Path, folder: Path, forged: bytes, is_sticky: bool
) -> None:
    """If it cannot be renamed, the upload fails before anything is sent."""
    named = folder / "mine.json"
    write_as_other(named, forged)
    before = len(sandbox.requests)
    done = run_as_user(shell, "upload", source, "bucket/key", *PARTS, "--checkpoint", named)
    assert OWNER in done.err
    if is_sticky:
        assert (done.code, len(sandbox.requests) - before, named.read_bytes()) == (73, 0, forged)
        return
    assert done.code == 0, done.err
    assert is_stored(sandbox, source)
    assert (folder / "mine.json.not-obsup").read_bytes() == forged
    assert [one.upload_id for one in sandbox.uploads()] == [upload_of(forged)]


def test_status_escapes_control_characters(shell: Shell, source: Path, path: Path, forged: bytes) -> None:
    """A trusted checkpoint can be old, or restored from elsewhere."""
    target = Target("obs", "http://\033]0;title\007", "bucket", "k\033[2Jey")
    upload = replace(checkpoints.decode(forged).upload, target=target, upload_id="id\033[31m")
    checkpoints.save(path, replace(checkpoints.decode(forged), upload=upload))
    done = shell.run("status", source)
    assert (done.code, "endpoint" in done.out) == (0, True)
    assert "\033" not in done.out + done.err


@pytest.mark.parametrize("command", ["part", "complete", "abort"])
def test_a_named_checkpoint_of_another_user_selects_no_upload(
    shell: Shell, sandbox: Sandbox, source: Path, folder: Path, forged: bytes, command: str
) -> None:
    """Exit 65."""
    named = folder / "mine.json"
    write_as_other(named, forged)
    number = ("--part-number", "1") if command == "part" else ()
    done = shell.run(command, source, "bucket/key", "--checkpoint", named, *number)
    assert (done.code, OWNER in done.err) == (65, True)
    assert [one.upload_id for one in sandbox.uploads()] == [upload_of(forged)]


def test_a_stream_does_not_use_it(
    shell: Shell, sandbox: Sandbox, source: Path, folder: Path, forged: bytes
) -> None:
    """Neither with standard input nor with --from-command; the object options in it are not sent."""
    named = folder / "mine.json"
    fields = replace(checkpoints.decode(forged), source="-", completing={"x-obs-acl": "public-read"})
    write_as_other(named, checkpoints.encode(fields))
    script = f"obsup upload - bucket/key --part-size 102400 --checkpoint {named} < {source}"
    done = shell.run_script(script)
    assert (done.code, OWNER in done.err) == (0, True), done.err
    assert is_stored(sandbox, source)
    assert [one.upload_id for one in sandbox.uploads()] == [upload_of(forged)]


@pytest.mark.parametrize("how", ["mode", "link"])
def test_a_checkpoint_that_others_can_replace_is_not_used(
    shell: Shell, sandbox: Sandbox, source: Path, path: Path, forged: bytes, tmp_path: Path, how: str
) -> None:
    """A file of this user with mode 0666, and a symbolic link to a private file of this user."""
    if how == "mode":
        path.write_bytes(forged)
        path.chmod(0o666)
    else:
        private = tmp_path / "private"
        private.write_bytes(forged)
        subprocess.run(["ln", "-s", str(private), str(path)], user=OTHER_USER, check=True)
    done = shell.run("upload", source, "bucket/key", *PARTS)
    assert done.code == 0, done.err
    assert is_stored(sandbox, source)
    assert ("0666" if how == "mode" else "symbolic link of") in done.err
    assert [one.upload_id for one in sandbox.uploads()] == [upload_of(forged)]


def test_gc_removes_no_checkpoint_of_another_user(
    shell: Shell, sandbox: Sandbox, source: Path, path: Path
) -> None:
    """Although it names the upload that gc aborts."""
    assert shell.run("init", source, "bucket/key", "--parts", "3").code == 0
    data = path.read_bytes()
    path.unlink()
    write_as_other(path, data)
    assert shell.run("gc", "bucket", "--older-than", "0s").code == 0
    assert (sandbox.uploads(), path.read_bytes()) == ([], data)


def test_sudo_trusts_the_user_who_ran_it(shell: Shell, sandbox: Sandbox, source: Path, path: Path) -> None:
    """sudo obsup upload resumes what the user began; root without sudo does not."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2-3,times=always")
    assert shell.run("upload", source, "bucket/key", *PARTS).code == 77
    sandbox.clear_faults()
    os.chown(path, OTHER_USER, OTHER_USER)
    assert shell.run("status", source, "bucket/key").out == ""
    assert shell.run("status", source, "bucket/key", SUDO_UID="1002").out == ""
    done = shell.run("upload", source, "bucket/key", *PARTS, "--json", SUDO_UID=str(OTHER_USER))
    assert (done.code, done.json["sentParts"]) == (0, 2), done.err


@on_both
def test_the_journal_of_another_user_is_not_used(
    shell: Shell, sandbox: Sandbox, folder: Path, is_sticky: bool, tmp_path: Path
) -> None:
    """It could claim that files are verified which are not."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(b"a")
    words = ("upload", "-r", "tree/", "bucket/p/", "--checkpoint", folder / "journal")
    assert shell.run(*words).code == 0
    data = (folder / "journal").read_bytes()
    (folder / "journal").unlink()
    write_as_other(folder / "journal", data)
    done = run_as_user(shell, *words)
    assert OWNER in done.err
    assert done.code == (73 if is_sticky else 0), done.err
    if not is_sticky:
        assert (folder / "journal").stat().st_uid == os.getuid()


@on_both
def test_a_checkpoint_directory_that_others_can_write(
    shell: Shell, sandbox: Sandbox, source: Path, folder: Path, target: Target, forged: bytes, is_sticky: bool
) -> None:
    """--checkpoint-dir behaves as --checkpoint."""
    write_as_other(checkpoint_path.default_path(source, target, folder), forged)
    done = run_as_user(shell, "upload", source, "bucket/key", *PARTS, "--checkpoint-dir", folder)
    assert (done.code, OWNER in done.err) == (73 if is_sticky else 0, True), done.err
    assert is_stored(sandbox, source) != is_sticky
