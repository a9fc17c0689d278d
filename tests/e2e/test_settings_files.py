"""Where settings and state come from: pipes, mounted secrets, ``~`` in paths, and users without a home directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.errors import BadConfiguration
from obsup.local.config.file import load_config
from obsup.local.files.user_folders import home_folder
from obsup.local.state.folders import state_folder, temporary_folder
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import make_files
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
NOBODY = 4242  # a user without an account
# The capability lets it read the interpreter, wherever that is.
USER = (
    f"--reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override"
)
PROFILE = '[profiles.p]\naccess_key_id = "{0.access_key}"\nsecret_access_key = "{0.secret_key}"\n'


@pytest.fixture
def without_keys(sandbox: Sandbox, tmp_path: Path) -> Shell:
    """A shell whose commands find no keys in the environment."""
    return Shell(tmp_path, {"OBSUP_ENDPOINT": sandbox.endpoint})


def test_a_configuration_from_a_pipe(without_keys: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """--config <(…): the options and the keys come from the same file, which can be read only once."""
    make_file(1000)
    text = PROFILE.format(sandbox) + '[defaults]\nprofile = "p"\nmetadata = ["a=b"]\n'
    outcome = without_keys.run_script(f"obsup upload bigfile bucket/key --config <(cat <<'E'\n{text}E\n)")
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").exists()


@pytest.fixture
def user() -> Iterator[None]:
    """Run as a user without privileges and without an account."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)
    os.setegid(0)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o644])
def test_a_mounted_secret_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, sandbox: Sandbox, mode: int
) -> None:
    """It belongs to root, and the process that reads it cannot change it: chmod 600 would be no help."""
    folder = Path("/tmp") / f"obsup-secret-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    path = folder / f"config-{mode:o}.toml"
    path.write_text(PROFILE.format(sandbox))
    path.chmod(mode)
    os.chown(path, 0, NOBODY)
    try:
        if mode == 0o644:
            with pytest.raises(BadConfiguration, match="other users can read"):
                load_config(path, os.environ)
        if mode != 0o400:
            request.getfixturevalue("user")
        assert load_config(path, os.environ).profiles["p"].access_key_id == sandbox.access_key
    finally:
        os.seteuid(0)
        path.unlink()
        folder.rmdir()


def test_a_secret_that_others_can_write_is_refused(tmp_path: Path, sandbox: Sandbox, user: None) -> None:
    """Even if it belongs to root."""
    path = Path("/tmp") / f"obsup-writable-{os.getpid()}"
    os.seteuid(0)
    path.write_text(PROFILE.format(sandbox))
    path.chmod(0o666)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(BadConfiguration, match="other users can write") as caught:
            load_config(path, os.environ)
        assert "copy it to a file of your own" in str(caught.value.next_step)  # only root could chmod it
    finally:
        os.seteuid(0)
        path.unlink()


@pytest.mark.parametrize("value", ["~/x/config.toml", "$WHERE/config.toml", "${WHERE}/config.toml"])
def test_paths_of_the_environment_are_expanded(
    without_keys: Shell, sandbox: Sandbox, make_file: MakeFile, home: Path, value: str
) -> None:
    """OBSUP_CONFIG; and in the file: the log, the checkpoint directory; and OBSUP_STATE_DIR."""
    make_file(1000)
    (home / "x").mkdir()
    config = home / "x" / "config.toml"
    config.write_text(PROFILE.format(sandbox) + '[defaults]\nprofile = "p"\nlog_file = "$WHERE/log"\n')
    config.chmod(0o600)
    variables = {"OBSUP_CONFIG": value, "WHERE": str(home / "x"), "OBSUP_STATE_DIR": "~/state"}
    outcome = without_keys.run("upload", "bigfile", "bucket/key", **variables)
    assert outcome.code == 0, outcome.err
    assert (home / "x" / "log").read_text()
    assert (home / "state" / "locks").is_dir()
    assert sorted(path.name for path in without_keys.folder.iterdir()) == ["bigfile"]


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_a_home_directory_is_absolute(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Otherwise that of the account is used; a user without an account has none, and the state is temporary."""
    monkeypatch.delenv("HOME") if value is None else monkeypatch.setenv("HOME", value)
    assert home_folder() == Path("/root")
    monkeypatch.setattr("os.getuid", lambda: NOBODY)
    assert home_folder() is None
    assert state_folder() == temporary_folder()


@pytest.mark.parametrize("value", mostly_slow([None, "", "relative", "/proc/none", "/dev/null"], None))
def test_every_command_works_without_a_home_directory(
    sandbox: Sandbox, shell: Shell, value: str | None
) -> None:
    """As a user without an account, as in containers: upload, a directory, listing, gc."""
    make_files(shell, "tree/a", "tree/b")
    (shell.folder / "bigfile").write_bytes(os.urandom(250_000))
    home = "unset HOME" if value is None else f"export HOME={value}"
    script = f"""
        {home}
        run() {{ setpriv {USER} obsup "$@"; }}
        run upload bigfile bucket/key --part-size 100K
        run upload -r tree bucket/p/
        run upload -r tree bucket/p/ --json | grep '"skipped": 2'
        run uploads bucket
        run gc bucket --older-than 1d
        run config show > /dev/null
        run doctor bucket > /dev/null
    """
    outcome = shell.run_script(script)
    assert outcome.code == 0, outcome.err + outcome.out
    assert not (shell.folder / "~").exists()
    assert sandbox.object_path("bucket", "p/tree/a").exists()


def test_a_directory_that_may_not_be_searched(shell: Shell) -> None:
    """A source in it cannot be read (66), as upload, verify and status report it; a home that is one is named (78)."""
    make_files(shell, "locked/a", "b")
    (shell.folder / "locked").chmod(0o700)
    os.chown(shell.folder / "locked", NOBODY, NOBODY)
    script = """
        run() { setpriv --bounding-set=-dac_override,-dac_read_search "$@" || echo "exit $?"; }
        run obsup upload locked/a bucket/key
        run obsup verify locked/a bucket/key
        run obsup status locked/a
        run obsup upload --ca-bundle locked/a b bucket/key
        run env HOME="$PWD/locked" obsup upload b bucket/key
    """
    outcome = shell.run_script(script)
    assert outcome.out.splitlines() == ["exit 66"] * 3 + ["exit 78"] * 2, outcome.err
    assert outcome.err.count("cannot read locked/a") == 4
    assert "set HOME to a folder of yours" in outcome.err


@pytest.mark.parametrize("provider", ["s3", "oss"])
@pytest.mark.parametrize(
    "home", mostly_slow(["unset HOME", "export HOME=", "export HOME=relative"], "unset HOME")
)
def test_credentials_are_never_read_below_the_current_directory(
    without_keys: Shell, sandbox: Sandbox, provider: str, home: str
) -> None:
    """Without a home directory, the libraries of the vendors take ``~`` for the name of a folder."""
    (without_keys.folder / "bigfile").write_bytes(b"x")
    folder = without_keys.folder / "~" / ".aws"
    folder.mkdir(parents=True)
    keys = (sandbox.access_key, sandbox.secret_key)
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id={}\naws_secret_access_key={}\n".format(*keys)
    )
    (folder.parent / ".ossutilconfig").write_text(
        "[Credentials]\naccessKeyID={}\naccessKeySecret={}\n".format(*keys)
    )
    outcome = without_keys.run_script(
        f"{home}; setpriv {USER} obsup upload bigfile bucket/key --provider {provider} --region x"
    )
    assert outcome.code == 77, outcome.err


@pytest.mark.slow
def test_a_default_that_init_cannot_record(shell: Shell) -> None:
    """Complete or part has the same default. On the command line of init it is an error: it would have no effect."""
    variables = {"OBSUP_PROVIDER": "s3", "OBSUP_CONFIG": str(shell.folder / "config.toml")}
    (shell.folder / "config.toml").write_text("[defaults]\nno_overwrite = true\npart_size = '16M'\n")
    assert shell.run("init", "bucket/key", **variables).code == 0
    assert (
        shell.run("init", "bucket/key", "--acl", "private", **variables).code == 0
    )  # S3 sends it in Initiate
    assert shell.run("init", "bucket/key", "--no-overwrite", **variables).code == 2
