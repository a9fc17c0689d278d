"""``obsup config init --provider``: a profile for a store, from options or from answers on a terminal."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from obsup.sandbox.sandbox import Sandbox
from obsup.units import GIB
from tests.support.shell import Shell
from tests.support.terminal import Terminal


def written(path: Path) -> dict[str, Any]:
    """Return what the configuration file sets."""
    return tomllib.loads(path.read_text())


def test_the_options_become_a_profile_that_applies_by_default(shell: Shell) -> None:
    """Its name is that of the store, or that of --profile, which TOML may have to quote."""
    outcome = shell.run(
        "config", "init", "--provider", "b2", "--region", "us-west-004", "--config", "one.toml"
    )
    assert (outcome.code, outcome.out) == (0, "one.toml\n")
    assert written(shell.folder / "one.toml") == {
        "defaults": {"profile": "b2"},
        "profiles": {"b2": {"provider": "b2", "region": "us-west-004"}},
    }
    named = ("--profile", 'my "store"', "--config", "two.toml")
    assert shell.run("config", "init", "--provider", "r2", "--account", "0123", *named).code == 0
    assert written(shell.folder / "two.toml") == {
        "defaults": {"profile": 'my "store"'},
        "profiles": {'my "store"': {"provider": "r2", "account": "0123"}},
    }
    (shell.folder / "bigfile").write_bytes(b"x" * 1000)
    plan = shell.run(
        "upload", "bigfile", "bucket/key", "--config", "two.toml", "--dry-run", OBSUP_ENDPOINT=""
    )
    assert "https://0123.r2.cloudflarestorage.com" in plan.out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--region", "x"), "--region needs --provider"),
        (("--provider", "b2"), "the profile of b2 needs --region"),
        (("--provider", "r2"), "the profile of r2 needs --account"),
        (("--provider", "idrive"), "the profile of idrive needs --endpoint"),
        (("--provider", "minio", "--endpoint", "http://bad host"), "invalid endpoint"),
        (("--provider", "r3"), "'r3'"),
    ],
    ids=" ".join,
)
def test_a_missing_option_is_named_and_nothing_is_written(
    words: tuple[str, ...], why: str, shell: Shell
) -> None:
    """Without a terminal there is nobody to ask: exit 2."""
    outcome = shell.run("config", "init", *words, "--config", "one.toml", OBSUP_REGION="", OBSUP_ENDPOINT="")
    assert outcome.code == 2
    assert why in outcome.err
    assert not (shell.folder / "one.toml").exists()


def test_on_a_terminal_it_asks_and_examines_the_bucket(shell: Shell, sandbox: Sandbox) -> None:
    """The secret key is not echoed; messages of doctor name the command line of doctor."""
    words = [sys.executable, "-m", "obsup", "config", "init", "--provider", "minio", "--config", "one.toml"]
    answers = {
        "Endpoint (https://HOST)": "http://bad host",
        "Error": sandbox.endpoint,
        "Access key id": sandbox.access_key,
        "Secret access key": sandbox.secret_key,
        "Bucket to examine": "Bad_Bucket",
    }
    environment = {"OBSUP_ENDPOINT": "", "AccessKeyID": "", "SecretAccessKey": ""}
    with Terminal(words, folder=shell.folder, environment=environment, columns=120) as terminal:
        for question, answer in answers.items():
            terminal.wait_for(lambda text=question: terminal.shows(text))  # type: ignore[misc]
            terminal.type(f"{answer}\n")
        assert terminal.finish() == 2
    assert sandbox.secret_key.encode() not in terminal.raw
    assert terminal.shows("obsup doctor"), terminal.lines()
    keys = {"access_key_id": sandbox.access_key, "secret_access_key": sandbox.secret_key}
    (profile,) = written(shell.folder / "one.toml")["profiles"].values()
    assert profile == {"provider": "minio", "endpoint": sandbox.endpoint, **keys}
    examined = shell.run("doctor", "bucket", "--config", "one.toml", **environment)
    assert examined.code == 0, examined.err
    assert "MinIO" in examined.out


def test_a_question_without_an_answer_writes_nothing(shell: Shell) -> None:
    """The end of the input, or Ctrl-C: exit 130, and a message on a line of its own."""
    words = [sys.executable, "-m", "obsup", "config", "init", "--provider", "b2", "--config", "one.toml"]
    with Terminal(words, folder=shell.folder, environment={}) as terminal:
        terminal.wait_for(lambda: terminal.shows("Region"))
        terminal.type("\x04")
        assert terminal.finish() == 130
    assert "Error: a question was not answered." in [line.rstrip() for line in terminal.lines()]
    assert not (shell.folder / "one.toml").exists()


def test_an_existing_profile_is_not_changed_and_nothing_is_asked(shell: Shell) -> None:
    """Before the first question."""
    (shell.folder / "one.toml").write_text("[profiles.b2]\n")
    words = [sys.executable, "-m", "obsup", "config", "init", "--provider", "b2", "--config", "one.toml"]
    with Terminal(words, folder=shell.folder, environment={}) as terminal:
        assert terminal.finish() == 78
    assert terminal.shows("already exists")
    assert (shell.folder / "one.toml").read_text() == "[profiles.b2]\n"


def test_a_second_store_is_added(shell: Shell) -> None:
    """The file keeps its text, and the profile that it selects; a note names the option that selects the other."""
    config = shell.folder / "one.toml"
    named = ("--config", "one.toml")
    before = '# mine\n[defaults]\njobs = 3\nprofile = "gcs"\n[profiles.gcs]\nprovider = "gcs"\n'
    config.write_text(before)
    second = ("--provider", "b2", "--region", "us-west-004")
    outcome = shell.run("config", "init", *second, *named)
    assert (outcome.code, outcome.out) == (0, "one.toml\n")
    assert outcome.err == "Note:  [defaults] selects the profile gcs, not this one: use --profile b2.\n"
    assert config.read_text().startswith(before)
    assert written(config) == {
        "defaults": {"profile": "gcs", "jobs": 3},
        "profiles": {"gcs": {"provider": "gcs"}, "b2": {"provider": "b2", "region": "us-west-004"}},
    }
    again = shell.run("config", "init", *second, *named)
    assert again.code == 78
    assert "--profile" in again.err
    config.write_text("profiles = { mine = {} }\n")
    assert shell.run("config", "init", *second, *named).code == 78
    assert config.read_text() == "profiles = { mine = {} }\n"


OLD = {
    "endpoint": "https://obs.eu-de.otc.t-systems.com",
    "region": "eu-de",
    "addressing": "path",
    "signature": "obs",
    "provider": "obs",
}


def test_a_second_store_does_not_change_where_jobs_upload_to(shell: Shell) -> None:
    """The defaults keep their store, without a selected profile, too; the profile has no value of theirs."""
    config = shell.folder / "one.toml"
    config.write_text("[defaults]\n" + "".join(f'{key} = "{value}"\n' for key, value in OLD.items()))
    second = ("--provider", "wasabi", "--region", "eu-central-1", "--config", "one.toml")
    outcome = shell.run("config", "init", *second)
    assert (outcome.code, outcome.err) == (0, "Note:  [defaults] selects no profile: use --profile wasabi.\n")
    assert written(config)["defaults"] == OLD
    nowhere = ("config", "init", "--provider", "oss", "--endpoint", "https://host", "--config", "one.toml")
    assert "no region given for https://host" in shell.run(*nowhere).err
    minio = ("--provider", "minio", "--endpoint", "https://host", "--config", "one.toml")
    assert shell.run("config", "init", *minio).code == 0
    assert written(config)["profiles"]["minio"]["region"] == "us-east-1"
    (shell.folder / "bigfile").write_bytes(b"x" * 1000)
    upload = ("upload", "bigfile", "bucket/key", "--dry-run", "--config", "one.toml")
    assert OLD["endpoint"] in shell.run(*upload, OBSUP_ENDPOINT="", OBSUP_REGION="").out
    show = ("config", "show", "--profile", "wasabi", "--config", "one.toml")
    shown = shell.run(*show, OBSUP_ENDPOINT="", OBSUP_REGION="").out
    assert "endpoint\thttps://s3.eu-central-1.wasabisys.com\tprofile wasabi\n" in shown
    for line in ("provider\twasabi\t", "region\teu-central-1\t", "addressing\tauto\t", "signature\tauto\t"):
        assert f"{line}profile wasabi\n" in shown


def test_doctor_saves_what_works(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """Into the profile, which keeps its keys and its comments; then an upload needs no option."""
    config = tmp_path / "real.toml"
    keys = f'access_key_id = "{sandbox.access_key}"\nsecret_access_key = "{sandbox.secret_key}" # mine\n'
    config.write_text(f'[profiles.p]\nprovider = "scaleway"\n{keys}')
    config.chmod(0o600)
    (tmp_path / "one.toml").symlink_to("real.toml")
    named = ("--config", "one.toml", "--profile", "p")
    nothing = {"AccessKeyID": "", "SecretAccessKey": ""}
    examined = shell.run("doctor", "bucket", *named, "--region", "eu-x", "--save", "--json", **nothing)
    assert examined.code == 0, examined.err
    assert examined.json["saved"] == "one.toml"
    assert "MD5" in examined.json["capabilities"]["verification"]
    assert (config.stat().st_mode & 0o777, (tmp_path / "one.toml").is_symlink()) == (0o600, True)
    text = config.read_text()
    assert "# doctor: verification: " in text
    assert text.endswith(keys)
    saved = written(config)["profiles"]["p"]
    assert (saved["endpoint"], saved["region"], saved["provider"]) == (sandbox.endpoint, "eu-x", "scaleway")
    (tmp_path / "bigfile").write_bytes(b"x" * 1000)
    assert shell.run("upload", "bigfile", "bucket/key", *named, OBSUP_ENDPOINT="", **nothing).code == 0
    os.truncate(tmp_path / "bigfile", 20 * GIB)  # its parts are larger than 16 MiB
    planned = shell.run("upload", "bigfile", "bucket/key", "--dry-run", *named, OBSUP_ENDPOINT="", **nothing)
    assert planned.code == 0, planned.err


def test_doctor_saves_the_first_settings_and_nothing_after_a_failure(shell: Shell, home: Path) -> None:
    """Without a file, a private one with defaults; a file that cannot be changed is named after the report."""
    denied = shell.run("doctor", "bucket", "--save", SecretAccessKey="wrong")
    config = home / ".config" / "obsup" / "config.toml"
    assert (denied.code, config.exists()) == (77, False)
    assert shell.run("doctor", "bucket", "--save").code == 0
    assert config.stat().st_mode & 0o777 == 0o600
    assert written(config)["defaults"]["provider"] == "obs"
    (shell.folder / "dotted.toml").write_text('defaults.region = "x"\n')
    outcome = shell.run("doctor", "bucket", "--save", "--config", "dotted.toml")
    assert outcome.code == 78
    assert "[defaults]" in outcome.out
    assert "were not written" in outcome.err
