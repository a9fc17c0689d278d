"""config.toml: what is read, and what is refused."""

from __future__ import annotations

import os
import pickle
import traceback
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem
from pyfakefs.fake_os import FakeOsModule

from obsup.errors import BadConfiguration
from obsup.local.config.file import Profile, load_config
from obsup.local.files.user_folders import default_config_path

SECRET = "s3cr3t-Value-That-Must-Stay-Hidden-0123"
HOME = Path("/home/u")
ENVIRON = {"HOME": str(HOME)}
CONFIG_PATH = HOME / ".config/obsup/config.toml"


@pytest.fixture(autouse=True)
def keep_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pyfakefs from changing the mode of an existing file that os.open opens."""
    real = FakeOsModule.open

    def opened(self: FakeOsModule, path: str, flags: int, mode: int | None = None) -> int:
        if self.filesystem.exists(path):
            mode = self.filesystem.stat(path).st_mode & 0o7777
        return real(self, path, flags, mode)

    monkeypatch.setattr(FakeOsModule, "open", opened)


def write(fs: FakeFilesystem, text: str, *, mode: int = 0o600) -> None:
    fs.create_file(CONFIG_PATH, contents=text)
    # Not as an argument: the umask would remove bits that the tests need.
    fs.chmod(str(CONFIG_PATH), mode)


def load_error() -> BadConfiguration:
    """Load the file, which must be refused, and check that the error contains no secret."""
    with pytest.raises(BadConfiguration) as caught:
        load_config(None, ENVIRON)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.next_step)
    assert SECRET not in shown
    # Those of the TOML reader and of UTF-8 contain the whole file (the former from Python 3.14 on).
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
    assert (str(config.path), config.defaults, config.profiles) == (str(CONFIG_PATH), {}, {})


def test_a_home_directory_that_is_a_device_has_no_config() -> None:
    """As for the account of some services."""
    assert load_config(None, {"HOME": "/dev/null"}).profiles == {}


def test_missing_named_file_is_refused(fs: FakeFilesystem) -> None:
    with pytest.raises(BadConfiguration, match=r"/etc/obsup\.toml is missing") as caught:
        load_config(Path("/etc/obsup.toml"), ENVIRON)
    assert caught.value.exit_code == 78


def test_directory_instead_of_the_file_is_refused(fs: FakeFilesystem) -> None:
    fs.create_dir(CONFIG_PATH)
    assert "cannot read" in load_error().what


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


def test_secrets_are_in_no_repr_and_no_pickle(fs: FakeFilesystem) -> None:
    write(fs, f'[profiles.a]\naccess_key_id = "AK"\nsecret_access_key = "{SECRET}"\n')
    config = load_config(None, ENVIRON)
    assert SECRET not in repr(config) + str(config)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(config)


def test_arguments_of_credential_process_are_in_no_repr() -> None:
    assert SECRET not in repr(Profile("a", {}, credential_process=f"helper --password {SECRET}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'[profiles.a]\nsecret_access_key = "{SECRET}\n', "line 2"),
        (f"[profiles.a]\nsecret_access_key = {SECRET}\n", "line 2"),
        (f'[profiles.a]\nsecret_access_key = "{SECRET}"\n[profiles.a]\n', "line 3"),
        ("[defaults]\nmetadata = [" + "9" * 5000 + "]\n", "limit"),
        ('[defaults]\npart-size = "9M"\n', "Did you mean part_size?"),
        ('[defaults]\nparallel = "9M"\n', "long options of upload"),
        ("[default]\n", "Did you mean defaults?"),
        ("profile = 'nightly'\n", "Did you mean profiles?"),
        (f'[defaults]\nsecret_access_key = "{SECRET}"\n', "only valid in a profile"),
        ('[profiles.a]\nprofile = "b"\n', "'profile' in [profiles.a]"),
        ("defaults = 3\n", "is not a table"),
        ("[profiles]\na = 3\n", "profiles.a in"),
        ('[defaults]\npart_size = "16Q"\n', "takes a size"),
        ("[defaults]\npart_size = -1\n", "takes a size"),
        ("[defaults]\npart_size = true\n", "takes a size"),
        ('[defaults]\nretry_for = "1y"\n', "takes a duration"),
        ('[defaults]\njobs = "many"\n', 'takes a whole number or "auto"'),
        ('[defaults]\nparts = "3"\n', "takes a whole number"),
        ('[defaults]\nquiet = "yes"\n', "takes true or false"),
        ("[defaults]\nregion = 3\n", "takes text"),
        (r"[defaults]" "\n" r'receipt = "\u0000"', "text in quotes, not empty, without NUL"),
        ('[defaults]\nacl = ""\n', "invalid value of acl"),
        ('[profiles.a]\ninclude = [""]\n', "invalid value of include"),
        (r"[profiles.a]" "\n" r'include = ["a\u0000"]', "invalid value of include"),
        ('[profiles.a]\nmetadata = "aws"\n', "takes a list of texts"),
        ('[profiles.a]\nmetadata_service = "gcp"\n', "takes one of obs, aws, oss"),
        ('[defaults]\nprovider = "s4"\n', "takes one of auto, obs, s3, oss"),
        (f'[profiles.a]\nsecret_access_key = ["{SECRET}"]\n', "secret_access_key in [profiles.a]"),
        ('[profiles.a]\ncredential_process = "helper \'unclosed"\n', "a quote is not closed"),
        ('[profiles.a]\ncredential_process = " "\n', "not a valid command line"),
        ('[defaults]\nparts = 5\npart_size = "9M"\n', "has both parts and part_size"),
        (
            f'[profiles.a]\nsecret_access_key = "{SECRET}"\ncredential_process = "x"\n',
            "both secret_access_key and credential_process",
        ),
    ],
)
def test_invalid_content_is_refused_and_named(fs: FakeFilesystem, text: str, message: str) -> None:
    write(fs, text)
    error = load_error()
    assert message in str(error)
    assert str(CONFIG_PATH) in str(error)


def test_file_that_is_not_utf8_names_the_line(fs: FakeFilesystem) -> None:
    fs.create_file(CONFIG_PATH, contents=f'# x\nsecret_access_key = "{SECRET}"\n'.encode() + b"\xff\n")
    assert "line 3" in str(load_error())


def test_byte_order_mark_is_accepted(fs: FakeFilesystem) -> None:
    write(fs, "\ufeff[defaults]\njobs = 2\n")
    assert load_config(None, ENVIRON).defaults == {"jobs": 2}


def test_unknown_profile_names_the_known_ones(fs: FakeFilesystem) -> None:
    write(fs, "[profiles.nightly]\n[profiles.daily]\n")
    with pytest.raises(
        BadConfiguration, match=r"profile 'nihgtly' not found.*The profiles are: daily, nightly"
    ):
        load_config(None, ENVIRON).find_profile("nihgtly")


KEYS = f'[profiles.a]\naccess_key_id = "AK"\nsecret_access_key = "{SECRET}"\n'


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o644, 0o601])
def test_secrets_that_others_can_read_are_refused(fs: FakeFilesystem, mode: int) -> None:
    write(fs, KEYS, mode=mode)
    error = load_error()
    assert f"mode {mode:04o}" in error.what
    assert str(error.next_step).endswith(f"run chmod 600 {CONFIG_PATH}")


def test_security_token_alone_is_a_secret(fs: FakeFilesystem) -> None:
    write(fs, f'[profiles.a]\nsecurity_token = "{SECRET}"\n', mode=0o644)
    assert "contains secrets" in load_error().what


def test_secrets_in_a_file_of_another_user_are_refused(fs: FakeFilesystem) -> None:
    write(fs, KEYS, mode=0o644)
    fs.get_object(str(CONFIG_PATH)).st_uid = os.geteuid() + 1
    error = load_error()
    assert "it belongs to" in error.what
    assert "read it; if it is right, copy it" in str(error.next_step)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_a_program_in_a_file_that_others_can_change_is_refused(fs: FakeFilesystem, mode: int) -> None:
    """They could name another program, which would run with the rights of this user."""
    write(fs, '[profiles.a]\ncredential_process = "helper"\n', mode=mode)
    error = load_error()
    assert "is not used: other users can write it" in error.what
    assert str(error.next_step) == f"read it, and if it is right, run chmod 600 {CONFIG_PATH}"


def test_a_program_in_a_file_of_another_user_is_refused(fs: FakeFilesystem) -> None:
    write(fs, '[profiles.a]\ncredential_process = "helper"\n', mode=0o644)
    fs.get_object(str(CONFIG_PATH)).st_uid = os.geteuid() + 1
    assert "it belongs to" in load_error().what


@pytest.mark.parametrize("text", ['[profiles.a]\ncredential_process = "helper"\n', "[defaults]\njobs = 2\n"])
def test_file_without_secrets_may_be_read_by_all(fs: FakeFilesystem, text: str) -> None:
    write(fs, text, mode=0o644)
    assert load_config(None, ENVIRON).path.name == CONFIG_PATH.name
