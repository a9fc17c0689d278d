"""obsup config: a file that explains itself, and what is in force with its origin."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.cli.actions.config import template
from obsup.cli.arguments.command import Command
from obsup.cli.arguments.config_defaults import key_of
from obsup.cli.commands.upload import upload
from obsup.local.config.file import load_config
from obsup.local.config.keys import OPTIONS
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]
SECRET, TOKEN = "nobody-is-to-read-this", "nor-this"


@pytest.fixture
def place(home: Path) -> Path:
    """Where the configuration file goes, in a folder that is there."""
    path = home / ".config" / "obsup" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def shown(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Value and origin of each setting."""
    assert outcome.code == 0, outcome.err
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    return {name: (value, origin) for name, value, origin in rows}


def test_init_writes_a_private_file_once(shell: Shell, home: Path) -> None:
    """Mode 0600 in a folder of 0700; its path alone on stdout; a second time nothing is touched."""
    first = shell.run("config", "init")
    place = Path(first.out.strip())
    assert (first.code, place) == (0, home / ".config" / "obsup" / "config.toml")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    place.write_text("[defaults]\n")
    second = shell.run("config", "init")
    assert (second.code, second.out) == (78, "")
    assert str(place) in second.err
    assert place.read_text() == "[defaults]\n"


def test_what_init_writes_sets_nothing(shell: Shell, make_file: MakeFile) -> None:
    """Every key is a comment: an upload after it is an upload before it."""
    make_file(1000)
    shell.run("config", "init")
    assert shell.run("upload", "bigfile", "bucket/key").code == 0


def test_every_key_of_the_template_is_one_that_the_file_takes(tmp_path: Path) -> None:
    """With the comment signs taken away it is a configuration, and no key is missing."""
    text = re.sub(r"^#(?=[a-z_\[])", "", template(upload), flags=re.MULTILINE)
    text = re.sub(r"^(credential_process|metadata_service) .*$", "", text, flags=re.MULTILINE)
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    config = load_config(path, {})
    assert set(config.defaults) == {key for key in OPTIONS if key in template_keys()} | {"profile"}
    assert config.profiles["nightly"].access_key_id == "…"


def template_keys() -> set[str]:
    """The keys that are explained."""
    return set(re.findall(r"^#([a-z_0-9]+) = ", template(upload), flags=re.MULTILINE))


def test_every_option_of_upload_is_a_key_and_explained() -> None:
    """An option that the file does not take is one that cron has to repeat."""
    assert isinstance(upload, Command)
    shown = [one for options in upload.groups().values() for one in options]
    keys = {key_of(one) for one in shown} - {"config", "profile", "from_command"}
    assert keys <= OPTIONS.keys()
    assert keys <= template_keys()


def test_show_tells_the_origin_of_each_value(shell: Shell, place: Path) -> None:
    """Environment before profile before [defaults] before built-in."""
    place.write_text(
        '[defaults]\nprofile = "nightly"\njobs = 3\npart_size = "16M"\nregion = "a"\n'
        '[profiles.nightly]\nregion = "b"\npart_size = "32M"\n'
    )
    found = shown(shell.run("config", "show", OBSUP_PART_SIZE="64M"))
    assert found["config"] == (str(place), "there")
    assert found["profile"][0] == "nightly"
    assert found["part_size"] == ("64M", "environment variable OBSUP_PART_SIZE")
    assert found["region"] == ("b", "profile nightly")
    assert found["jobs"] == ("3", "[defaults]")
    assert found["retry_for"] == ("15m", "built-in")
    assert found["endpoint"][1] == "environment variable OBSUP_ENDPOINT"


def test_show_masks_what_nobody_is_to_read(shell: Shell, place: Path) -> None:
    """Keys, tokens, passwords in URLs and headers that carry secrets: not one character more than it takes."""
    place.write_text(
        f'[profiles.p]\naccess_key_id = "AKIDEXAMPLE"\nsecret_access_key = "{SECRET}"\n'
        f'security_token = "{TOKEN}"\nproxy = "http://user:{SECRET}@proxy:3128"\n'
        f'header = ["X-Auth-Token: {TOKEN}", "X-Plain: seen"]\n'
    )
    place.chmod(0o600)
    for words in ((), ("--json",)):
        outcome = shell.run("config", "show", "--profile", "p", *words, AccessKeyID="", SecretAccessKey="")
        assert outcome.code == 0, outcome.err
        assert SECRET not in outcome.out + outcome.err
        assert TOKEN not in outcome.out + outcome.err
    found = shown(shell.run("config", "show", "--profile", "p", AccessKeyID="", SecretAccessKey=""))
    assert found["access_key_id"] == ("AKID…", "profile p")
    assert found["secret_access_key"] == ("…", "profile p")
    assert found["security_token"] == ("…", "profile p")
    assert found["proxy"][0] == "http://user:…@proxy:3128"
    assert found["header"][0] == "X-Auth-Token: …, X-Plain: seen"


def test_show_asks_no_helper(shell: Shell, place: Path) -> None:
    """A credential_process is named, and not run."""
    place.write_text('[profiles.p]\ncredential_process = "touch asked"\n')
    found = shown(shell.run("config", "show", "--profile", "p", AccessKeyID="", SecretAccessKey=""))
    assert found["credentials"] == ("…", "credential_process is asked when they are needed")
    assert not (shell.folder / "asked").exists()


def test_show_as_json(shell: Shell) -> None:
    """The same rows, one object."""
    settings = {one["name"]: one for one in shell.run("config", "show", "--json").json["settings"]}
    assert settings["jobs"]["origin"] == "built-in"
    assert settings["presign"]["value"] is False


def test_a_bad_file_is_named_with_what_is_wrong(shell: Shell, place: Path) -> None:
    """Exit 78, here as in any command."""
    place.write_text("[defaults]\npart_sice = 1\n")
    outcome = shell.run("config", "show")
    assert outcome.code == 78
    assert "Did you mean part_size?" in outcome.err


def test_the_profile_that_defaults_names_has_the_keys(shell: Shell, place: Path, make_file: MakeFile) -> None:
    """profile = "p" in [defaults] is --profile p: its keys sign, too."""
    make_file(1000)
    keys = shell.environment
    place.write_text(
        f'[defaults]\nprofile = "p"\n[profiles.p]\naccess_key_id = "{keys["AccessKeyID"]}"\n'
        f'secret_access_key = "{keys["SecretAccessKey"]}"\n'
    )
    place.chmod(0o600)
    assert shell.run("upload", "bigfile", "bucket/key", AccessKeyID="", SecretAccessKey="").code == 0


def test_the_nearest_of_options_that_exclude_each_other_wins(
    shell: Shell, place: Path, make_file: MakeFile
) -> None:
    """--parts on the command line, part_size in the file: the command line means what it says."""
    make_file(1_000_000)
    place.write_text('[defaults]\npart_size = "150K"\n')
    assert shell.run("upload", "bigfile", "bucket/key", "--json").json["parts"] == 7
    assert shell.run("upload", "bigfile", "bucket/other", "--parts", "3", "--json").json["parts"] == 3
    both = shell.run("upload", "bigfile", "bucket/third", "--parts", "3", "--part-size", "1M")
    assert both.code == 2


def test_the_template_is_toml() -> None:
    """As it is written, with nothing set."""
    assert tomllib.loads(template(upload)) == {"defaults": {}}
