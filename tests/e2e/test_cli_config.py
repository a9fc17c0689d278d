"""obsup config: a file that explains every setting, and the effective settings with their sources."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obsup.cli.actions.config import template
from obsup.cli.arguments.command import Command
from obsup.cli.arguments.options import Option
from obsup.cli.commands.upload import upload
from obsup.local.config.file import load_config
from obsup.options.table import SETTINGS
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import ScriptedServer, response
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]
SECRET, TOKEN = "a-secret-that-must-not-be-shown", "a-token-that-must-not-be-shown"


@pytest.fixture
def config_path(home: Path) -> Path:
    """The default path of the configuration file, in an existing directory."""
    path = home / ".config" / "obsup" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def shown(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return the value and the source of each setting."""
    assert outcome.code == 0, outcome.err
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    return {name: (value, origin) for name, value, origin in rows}


def test_init_writes_a_private_file_once(shell: Shell, home: Path) -> None:
    """Mode 0600 in a directory of 0700; only its path on stdout; an existing file is not changed."""
    first = shell.run("config", "init")
    path = Path(first.out.strip())
    assert (first.code, path) == (0, home / ".config" / "obsup" / "config.toml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_text("[defaults]\n")
    second = shell.run("config", "init")
    assert (second.code, second.out) == (78, "")
    assert str(path) in second.err
    assert path.read_text() == "[defaults]\n"


def test_written_file_sets_nothing(shell: Shell, make_file: MakeFile) -> None:
    """Every key is commented out."""
    make_file(1000)
    shell.run("config", "init")
    assert shell.run("upload", "bigfile", "bucket/key").code == 0


# Settings of the template that exclude another one, which is left commented out here.
EXCLUDED = ("part_size", "checkpoint_dir", "no_checkpoint", "sse_c_key_file", "no_verify_tls", "verbose")


def test_every_key_of_the_template_is_valid(tmp_path: Path) -> None:
    """Without the comment signs it is a configuration, and no key is missing."""
    text = re.sub(r"^#(?=[a-z_\[])", "", template(upload), flags=re.MULTILINE)
    text = re.sub(
        rf"^({'|'.join(EXCLUDED)}|credential_process|metadata_service|aws_profile|credentials) .*$",
        "",
        text,
        flags=re.M,
    )
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    config = load_config(path, {})
    assert {*config.defaults, *EXCLUDED} == {*SETTINGS, "profile"}
    assert config.profiles["nightly"].access_key_id == "…"


def test_every_option_of_upload_is_a_key_and_explained() -> None:
    """Otherwise cron jobs would have to repeat the option."""
    assert isinstance(upload, Command)
    keys = {option.row.key for option in upload.params if isinstance(option, Option)}
    explained = set(re.findall(r"^#([a-z_0-9]+) = ", template(upload), flags=re.MULTILINE))
    assert keys - {"config", "profile", "from_command"} == SETTINGS.keys()
    assert SETTINGS.keys() <= explained


def test_show_names_the_source_of_each_value(shell: Shell, config_path: Path) -> None:
    """Environment before profile before [defaults] before built-in."""
    config_path.write_text(
        '[defaults]\nprofile = "nightly"\njobs = 3\npart_size = "16M"\nregion = "a"\n'
        '[profiles.nightly]\nregion = "b"\npart_size = "32M"\n'
    )
    settings = shown(shell.run("config", "show", OBSUP_PART_SIZE="64M"))
    assert settings["config"] == (str(config_path), "found")
    assert settings["profile"] == ("nightly", "[defaults]")
    assert settings["part_size"] == ("64M", "environment variable OBSUP_PART_SIZE")
    assert settings["region"] == ("b", "profile nightly")
    assert settings["jobs"] == ("3", "[defaults]")
    assert settings["retry_for"] == ("15m", "built-in")
    assert settings["endpoint"][1] == "environment variable OBSUP_ENDPOINT"


@pytest.mark.parametrize(
    ("text", "arguments", "environment", "expected"),
    [
        ("parts = 5", (), {"OBSUP_PART_SIZE": "1M"}, {"parts": "-", "part_size": "1M"}),
        ('part_size = "1M"', (), {"OBSUP_PARTS": "5"}, {"parts": "5", "part_size": "-"}),
        ("parts = 5", ("--profile", "p"), {}, {"parts": "-", "part_size": "1M"}),
        ("parts = 5", (), {"OBSUP_PROFILE": "p"}, {"parts": "-", "part_size": "1M"}),
        ("parts = 5", (), {"OBSUP_PART_SIZE": ""}, {"parts": "5", "part_size": "-"}),
    ],
    ids=["environment", "environment, reversed", "profile", "profile from the environment", "empty variable"],
)
def test_show_prints_what_upload_uses(
    text: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    expected: dict[str, str],
    shell: Shell,
    config_path: Path,
    make_file: MakeFile,
) -> None:
    """Of parts and part_size only the nearest is effective, in config show as in upload."""
    make_file(3_000_000)
    config_path.write_text(f'[defaults]\n{text}\n[profiles.p]\npart_size = "1M"\n')
    settings = shown(shell.run("config", "show", *arguments, **environment))
    assert {name: settings[name][0] for name in expected} == expected
    dry = shell.run("upload", "bigfile", "bucket/key", "--dry-run", "--json", *arguments, **environment).json
    assert (dry["parts"], dry["partSize"]) == ((5, 600_000) if expected["parts"] == "5" else (3, 2**20))


def test_show_lists_the_proxies_of_the_environment(shell: Shell) -> None:
    """Those that are used, without passwords; a proxy of obsup's own settings overrides them, but not NO_PROXY."""
    given = {
        "HTTPS_PROXY": "http://user:word@proxy.example:3128",
        "http_proxy": "http://lower.example:3128",
        "HTTP_PROXY": "http://upper.example:3128",
        "NO_PROXY": "store.example,10.0.0.0/8",
    }
    settings = shown(shell.run("config", "show", **given))
    assert {name: settings[name] for name in settings if name.endswith("_proxy")} == {
        "https_proxy": ("http://user:…@proxy.example:3128", "environment variable HTTPS_PROXY"),
        "http_proxy": ("http://lower.example:3128", "environment variable http_proxy"),
        "no_proxy": ("store.example,10.0.0.0/8", "environment variable NO_PROXY"),
    }
    settings = shown(shell.run("config", "show", OBSUP_PROXY="http://own.example:3128", **given))
    assert settings["proxy"] == ("http://own.example:3128", "environment variable OBSUP_PROXY")
    assert settings["https_proxy"] == ("-", "overridden by proxy")
    assert settings["no_proxy"] == ("store.example,10.0.0.0/8", "environment variable NO_PROXY")


def test_show_names_what_overrides_a_setting(shell: Shell, config_path: Path) -> None:
    """A setting that is not effective has no value."""
    config_path.write_text('[defaults]\nparts = 5\ncheckpoint_dir = "c"\nsse_kms_key_id = "k"\nsse = "kms"\n')
    variables = {"OBSUP_PART_SIZE": "1M", "OBSUP_NO_CHECKPOINT": "1", "OBSUP_SSE_C_KEY_FILE": "k"}
    settings = shown(shell.run("config", "show", **variables))
    assert settings["parts"] == ("-", "overridden by part_size")
    assert settings["checkpoint_dir"] == ("-", "overridden by no_checkpoint")
    assert settings["sse"] == ("-", "overridden by sse_c_key_file")
    assert settings["sse_kms_key_id"] == ("-", "overridden by sse_c_key_file")


def test_show_fails_if_upload_fails(shell: Shell, config_path: Path) -> None:
    """An invalid value is not an effective setting."""
    outcome = shell.run("config", "show", OBSUP_PART_SIZE="lots")
    assert (outcome.code, "OBSUP_PART_SIZE" in outcome.err) == (78, True), outcome.err


@pytest.mark.parametrize(
    ("key", "value", "example"),
    [
        ("endpoint", "ftp://host", ""),
        ("region", "eu de", ""),
        ("max_time", "0s", "1h"),
        ("ca_bundle", "missing", ""),
        ("client_cert", "missing", ""),
        ("header", "no-value", ""),
        ("part_size", "1K", "100K"),
        ("acl", "nobody", ""),
    ],
)
def test_an_invalid_setting_is_named_where_it_is(
    shell: Shell, config_path: Path, make_file: MakeFile, key: str, value: str, example: str
) -> None:
    """Exit 78, and the key with its table and file, or the variable: no option of the command line is wrong."""
    more = f", for example to {example}" if example else ""
    make_file(1000)
    by_variable = shell.run("upload", "bigfile", "bucket/key", **{f"OBSUP_{key.upper()}": value})
    config_path.write_text(f"[defaults]\n{key} = {json.dumps([value] if key == 'header' else value)}\n")
    nowhere = {"OBSUP_ENDPOINT": ""} if key == "endpoint" else {}
    by_file = shell.run("upload", "bigfile", "bucket/key", **nowhere)
    places = {f"OBSUP_{key.upper()}": by_variable, f"{key} in [defaults] of {config_path}": by_file}
    for place, outcome in places.items():
        assert outcome.code == 78, outcome.err
        assert f"Next:  Correct {place}{more}, then run: obsup upload bigfile bucket/key\n" in outcome.err
        assert f"Why:   --{key.replace('_', '-')}" not in outcome.err, outcome.err


def test_trusted_certificates_are_named_with_what_sets_them(
    shell: Shell, config_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The variable or the key, not the option, which was not given."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    known, other = map(Authority, folders)
    with ScriptedServer(lambda _: response(200), tls=known.context("127.0.0.1")) as server:
        command = ("uploads", "bucket", "--endpoint", server.endpoint)
        by_variable = shell.run(*command, OBSUP_CA_BUNDLE=str(other.bundle))
        config_path.write_text(f"[defaults]\nca_bundle = {json.dumps(str(other.bundle))}\n")
        by_file = shell.run(*command)
        by_option = shell.run(*command, "--ca-bundle", other.bundle)
    places = ("OBSUP_CA_BUNDLE", f"ca_bundle in [defaults] of {config_path}", "--ca-bundle")
    for place, outcome in zip(places, (by_variable, by_file, by_option), strict=True):
        assert f"{other.bundle} ({place}).\n" in outcome.err


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_REGION"])
def test_an_invalid_variable_of_a_vendor_is_named(shell: Shell, make_file: MakeFile, variable: str) -> None:
    """As those of obsup."""
    make_file(1000)
    values = {"OBSUP_ENDPOINT": "" if variable == "AWS_ENDPOINT_URL" else shell.environment["OBSUP_ENDPOINT"]}
    outcome = shell.run("upload", "bigfile", "s3://bucket/key", **values, **{variable: "no such/ place"})
    assert outcome.code == 78, outcome.err
    assert f"Next:  Correct the environment variable {variable}" in outcome.err


def test_show_names_the_variable_of_each_secret(shell: Shell) -> None:
    """Not that of the access key alone: who looks for an old secret must find it."""
    values = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
    none = {"AccessKeyID": "", "SecretAccessKey": ""}
    settings = shown(shell.run("config", "show", OBSUP_PROVIDER="s3", **none, **values))
    assert settings["access_key_id"] == ("AKID…", "environment variable AWS_ACCESS_KEY_ID")
    assert settings["secret_access_key"] == ("…", "environment variable AWS_SECRET_ACCESS_KEY")
    assert settings["security_token"] == ("…", "environment variable AWS_SESSION_TOKEN")


def test_show_masks_secrets(shell: Shell, config_path: Path) -> None:
    """This applies to keys, tokens, passwords in URLs, and headers that contain secrets."""
    config_path.write_text(
        f'[profiles.p]\naccess_key_id = "AKIDEXAMPLE"\nsecret_access_key = "{SECRET}"\n'
        f'security_token = "{TOKEN}"\nproxy = "http://user:{SECRET}@proxy:3128"\n'
        f'header = ["X-Auth-Token: {TOKEN}", "X-Plain: seen"]\n'
    )
    config_path.chmod(0o600)
    for arguments in ((), ("--json",)):
        outcome = shell.run(
            "config", "show", "--profile", "p", *arguments, AccessKeyID="", SecretAccessKey=""
        )
        assert outcome.code == 0, outcome.err
        assert SECRET not in outcome.out + outcome.err
        assert TOKEN not in outcome.out + outcome.err
    settings = shown(shell.run("config", "show", "--profile", "p", AccessKeyID="", SecretAccessKey=""))
    assert settings["profile"] == ("p", "option --profile")
    assert settings["access_key_id"] == ("AKID…", "profile p")
    assert settings["secret_access_key"] == ("…", "profile p")
    assert settings["security_token"] == ("…", "profile p")
    assert settings["proxy"][0] == "http://user:…@proxy:3128"
    assert settings["header"][0] == "X-Auth-Token: …, X-Plain: seen"


def test_show_runs_no_credential_process(shell: Shell, config_path: Path) -> None:
    """A credential_process is only named."""
    config_path.write_text('[profiles.p]\ncredential_process = "touch executed"\n')
    settings = shown(shell.run("config", "show", "--profile", "p", AccessKeyID="", SecretAccessKey=""))
    assert settings["credentials"] == ("…", "credential_process, which is run when needed")
    assert not (shell.folder / "executed").exists()


def test_show_as_json(shell: Shell) -> None:
    """One object with the same rows."""
    settings = {
        setting["name"]: setting for setting in shell.run("config", "show", "--json").json["settings"]
    }
    assert settings["jobs"]["origin"] == "built-in"
    assert settings["presign"]["value"] is False


def test_unknown_key_suggests_the_right_one(shell: Shell, config_path: Path) -> None:
    """Exit 78, as in any command."""
    config_path.write_text("[defaults]\npart_sice = 1\n")
    outcome = shell.run("config", "show")
    assert outcome.code == 78
    assert "Did you mean part_size?" in outcome.err


def test_profile_of_defaults_provides_the_keys(shell: Shell, config_path: Path, make_file: MakeFile) -> None:
    """profile = "p" in [defaults] is the same as --profile p."""
    make_file(1000)
    keys = shell.environment
    config_path.write_text(
        f'[defaults]\nprofile = "p"\n[profiles.p]\naccess_key_id = "{keys["AccessKeyID"]}"\n'
        f'secret_access_key = "{keys["SecretAccessKey"]}"\n'
    )
    config_path.chmod(0o600)
    assert shell.run("upload", "bigfile", "bucket/key", AccessKeyID="", SecretAccessKey="").code == 0


def test_command_line_overrides_a_setting_that_it_excludes(
    shell: Shell, config_path: Path, make_file: MakeFile
) -> None:
    """--parts overrides part_size of the file; two options of one command line conflict."""
    make_file(1_000_000)
    config_path.write_text('[defaults]\npart_size = "150K"\n')
    assert shell.run("upload", "bigfile", "bucket/key", "--json").json["parts"] == 7
    assert shell.run("upload", "bigfile", "bucket/other", "--parts", "3", "--json").json["parts"] == 3
    both = shell.run("upload", "bigfile", "bucket/third", "--parts", "3", "--part-size", "1M")
    assert both.code == 2


def test_checkpoint_option_overrides_no_checkpoint_of_the_environment(
    shell: Shell, make_file: MakeFile
) -> None:
    """An option of the command line is never without effect."""
    make_file(1_000_000)
    environment: dict[str, Any] = {"OBSUP_NO_CHECKPOINT": "1"}
    assert shell.run("init", "bigfile", "bucket/key", "--checkpoint", "c.json", **environment).code == 0
    recorded = shell.run(
        *("upload", "bigfile", "bucket/key", "--parts", "5", "--checkpoint", "c.json", "--dry-run", "--json"),
        **environment,
    )
    assert recorded.json["recordedParts"] == 0


def test_template_is_toml() -> None:
    """It sets nothing."""
    assert tomllib.loads(template(upload)) == {"defaults": {}}
