"""config.toml: what is read, what is refused, and which place wins."""

from __future__ import annotations

import os
import pickle
import traceback
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup.errors import BadConfiguration
from obsup.local.config.file import Profile, default_config_path, load_config, resolve_setting

SECRET = "s3cr3t-Value-That-Nobody-May-See-0123"
HOME = Path("/home/u")
ENVIRON = {"HOME": str(HOME)}
PLACE = HOME / ".config/obsup/config.toml"


def write(fs: FakeFilesystem, text: str, *, mode: int = 0o600) -> None:
    fs.create_file(PLACE, contents=text)
    # Not as an argument: a umask would take the bits away that the tests are about.
    fs.chmod(str(PLACE), mode)


def refusal() -> BadConfiguration:
    """Load the file, which must be refused, and prove that no secret leaves with the error."""
    with pytest.raises(BadConfiguration) as caught:
        load_config(None, ENVIRON)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.next_step)
    assert SECRET not in shown
    # Those of the TOML reader and of UTF-8 carry the whole file (the former from Python 3.14 on).
    assert not isinstance(error.__context__, ValueError)
    assert str(error.next_step)
    return error


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/home/u"}, "/x/obsup/config.toml"),
        ({"HOME": "/home/u"}, "/home/u/.config/obsup/config.toml"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/home/u"}, "/home/u/.config/obsup/config.toml"),
        ({"XDG_CONFIG_HOME": "", "HOME": "/home/u"}, "/home/u/.config/obsup/config.toml"),
    ],
)
def test_default_path_follows_xdg(environ: dict[str, str], path: str) -> None:
    assert default_config_path(environ) == Path(path)


def test_missing_default_file_is_an_empty_config(fs: FakeFilesystem) -> None:
    config = load_config(None, ENVIRON)
    assert (str(config.path), config.defaults, config.profiles) == (str(PLACE), {}, {})


def test_missing_named_file_is_refused(fs: FakeFilesystem) -> None:
    with pytest.raises(BadConfiguration, match=r"/etc/obsup\.toml is missing") as caught:
        load_config(Path("/etc/obsup.toml"), ENVIRON)
    assert caught.value.exit_code == 78


def test_directory_in_place_of_the_file_is_refused(fs: FakeFilesystem) -> None:
    fs.create_dir(PLACE)
    assert "cannot be read" in refusal().what


def test_defaults_and_profiles_are_read(fs: FakeFilesystem) -> None:
    write(
        fs,
        f"""
        [defaults]
        part_size = "16M"
        jobs = 8
        profile = "nightly"
        verify_source = true
        metadata = ["owner=me", "team=us"]
        [profiles.nightly]
        endpoint = "https://obs.example.com"
        provider = "obs"
        stall_timeout = "20s"
        access_key_id = "AK:with-colon"
        secret_access_key = "{SECRET}"
        security_token = "{SECRET}-token"
        [profiles.vault]
        credential_process = "helper --role 'a b'"
        [profiles.host]
        metadata_service = "obs"
        """,
    )
    config = load_config(None, ENVIRON)
    assert config.defaults == {
        "part_size": "16M",
        "jobs": 8,
        "profile": "nightly",
        "verify_source": True,
        "metadata": ("owner=me", "team=us"),
    }
    nightly = config.find_profile("nightly")
    assert nightly.options == {
        "endpoint": "https://obs.example.com",
        "provider": "obs",
        "stall_timeout": "20s",
    }
    assert (nightly.access_key_id, nightly.secret_access_key) == ("AK:with-colon", SECRET)
    assert nightly.security_token == f"{SECRET}-token"
    assert config.find_profile("vault").credential_process == "helper --role 'a b'"
    assert config.find_profile("host").metadata_service == "obs"


def test_secrets_show_in_no_repr_and_travel_in_no_pickle(fs: FakeFilesystem) -> None:
    write(fs, f'[profiles.a]\naccess_key_id = "AK"\nsecret_access_key = "{SECRET}"\n')
    config = load_config(None, ENVIRON)
    assert SECRET not in repr(config) + str(config)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(config)


def test_process_arguments_show_in_no_repr() -> None:
    assert SECRET not in repr(Profile("a", {}, credential_process=f"helper --password {SECRET}"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'[profiles.a]\nsecret_access_key = "{SECRET}\n', "line 2"),
        (f"[profiles.a]\nsecret_access_key = {SECRET}\n", "line 2"),
        (f'[profiles.a]\nsecret_access_key = "{SECRET}"\n[profiles.a]\n', "line 3"),
        ("[defaults]\nmetadata = [" + "9" * 5000 + "]\n", "limit"),
        ('[defaults]\npart-size = "9M"\n', "Did you mean part_size?"),
        ('[defaults]\nparallel = "9M"\n', "long options of upload"),
        ("[default]\n", "Did you mean defaults?"),
        ("profile = 'nightly'\n", "Did you mean profiles?"),
        (f'[defaults]\nsecret_access_key = "{SECRET}"\n', "belong to a profile"),
        ('[profiles.a]\nprofile = "b"\n', "'profile' in [profiles.a]"),
        ("defaults = 3\n", "is no table"),
        ("[profiles]\na = 3\n", "profiles.a in"),
        ('[defaults]\npart_size = "16Q"\n', "takes a size"),
        ("[defaults]\npart_size = -1\n", "takes a size"),
        ("[defaults]\npart_size = true\n", "takes a size"),
        ('[defaults]\nretry_for = "1y"\n', "takes a duration"),
        ('[defaults]\njobs = "many"\n', 'takes a whole number or "auto"'),
        ('[defaults]\nparts = "3"\n', "takes a whole number"),
        ('[defaults]\nquiet = "yes"\n', "takes true or false"),
        ("[defaults]\nregion = 3\n", "takes text"),
        ('[profiles.a]\nmetadata = "aws"\n', "takes a list of texts"),
        ('[profiles.a]\nmetadata_service = "gcp"\n', "takes one of obs, aws, oss"),
        ('[defaults]\nprovider = "s4"\n', "takes one of auto, obs, s3, oss"),
        (f'[profiles.a]\nsecret_access_key = ["{SECRET}"]\n', "secret_access_key in [profiles.a]"),
        ('[profiles.a]\ncredential_process = "helper \'unclosed"\n', "a quote is not closed"),
        ('[profiles.a]\ncredential_process = " "\n', "is no command line"),
        (
            f'[profiles.a]\nsecret_access_key = "{SECRET}"\ncredential_process = "x"\n',
            "both secret_access_key and credential_process",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(fs: FakeFilesystem, text: str, says: str) -> None:
    write(fs, text)
    error = refusal()
    assert says in str(error)
    assert str(PLACE) in str(error)


def test_file_that_is_not_utf8_names_the_line(fs: FakeFilesystem) -> None:
    fs.create_file(PLACE, contents=f'# x\nsecret_access_key = "{SECRET}"\n'.encode() + b"\xff\n")
    assert "line 3" in str(refusal())


def test_byte_order_mark_is_no_error(fs: FakeFilesystem) -> None:
    write(fs, "\ufeff[defaults]\njobs = 2\n")
    assert load_config(None, ENVIRON).defaults == {"jobs": 2}


def test_unknown_profile_names_the_known_ones(fs: FakeFilesystem) -> None:
    write(fs, "[profiles.nightly]\n[profiles.daily]\n")
    with pytest.raises(BadConfiguration, match=r"no profile 'nihgtly'.*It has: daily, nightly"):
        load_config(None, ENVIRON).find_profile("nihgtly")


KEYS = f'[profiles.a]\naccess_key_id = "AK"\nsecret_access_key = "{SECRET}"\n'


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o644, 0o601])
def test_secrets_that_others_can_reach_are_refused_with_the_cure(fs: FakeFilesystem, mode: int) -> None:
    write(fs, KEYS, mode=mode)
    error = refusal()
    assert f"mode {mode:04o}" in error.what
    assert str(error.next_step) == f"run: chmod 600 {PLACE}"


def test_security_token_alone_is_a_secret(fs: FakeFilesystem) -> None:
    write(fs, f'[profiles.a]\nsecurity_token = "{SECRET}"\n', mode=0o644)
    assert "holds secrets" in refusal().what


def test_secrets_in_a_file_of_another_user_are_refused(fs: FakeFilesystem) -> None:
    write(fs, KEYS, mode=0o644)
    fs.get_object(str(PLACE)).st_uid = os.geteuid() + 1
    error = refusal()
    assert "belongs to another user" in error.what
    assert "chmod 600" in str(error.next_step)


@pytest.mark.parametrize("text", ['[profiles.a]\ncredential_process = "helper"\n', "[defaults]\njobs = 2\n"])
def test_file_without_secrets_may_be_read_by_all(fs: FakeFilesystem, text: str) -> None:
    write(fs, text, mode=0o644)
    assert load_config(None, ENVIRON).path.name == PLACE.name


PROFILE = Profile("nightly", {"part_size": "4M"})


@pytest.mark.parametrize(
    ("option", "environ", "profile", "defaults", "value", "origin"),
    [
        ("1M", "2M", PROFILE, {"part_size": "8M"}, "1M", "option --part-size"),
        (None, "2M", PROFILE, {"part_size": "8M"}, "2M", "environment variable OBSUP_PART_SIZE"),
        (None, "", PROFILE, {"part_size": "8M"}, "4M", "profile nightly"),
        (None, None, None, {"part_size": "8M"}, "8M", "[defaults]"),
        (None, None, Profile("empty", {}), {}, "9M", "built-in"),
        ((), None, None, {}, "9M", "built-in"),
        (False, "2M", PROFILE, {}, False, "option --part-size"),
        (0, "2M", PROFILE, {}, 0, "option --part-size"),
    ],
)
@pytest.mark.parametrize("name", ["part-size", "part_size"])
def test_nearest_wins_and_says_where_it_stood(
    name: str,
    option: object,
    environ: str | None,
    profile: Profile | None,
    defaults: dict[str, str],
    value: object,
    origin: str,
) -> None:
    variables = {} if environ is None else {"OBSUP_PART_SIZE": environ}
    settings = resolve_setting(
        name, option=option, environ=variables, profile=profile, defaults=defaults, builtin="9M"
    )
    assert (settings.value, settings.origin) == (value, origin)
