"""Configuration files as the vendors' tools write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup.errors import Denied
from obsup.local.config.vendor_files import list_sections, read_section
from obsup.model import Credentials

HOME = Path("/home/u")


def look(provider: str, environ: dict[str, str] | None = None) -> Credentials | None:
    sections = list_sections(provider, environ=environ or {}, home=HOME)
    return next((found for section in sections if (found := read_section(section))), None)


AWS = """
[default]
# comment
aws_access_key_id = AKdefault
aws_secret_access_key = SK%default=/+
[work]
aws_access_key_id=AKwork
aws_secret_access_key=SKwork
aws_session_token=Twork
s3 =
  max_concurrent_requests = 20
"""


def test_aws_default_section_is_read(fs: FakeFilesystem) -> None:
    fs.create_file(HOME / ".aws/credentials", contents=AWS)
    origin = "[default] of /home/u/.aws/credentials"
    assert look("s3") == Credentials("AKdefault", "SK%default=/+", origin=origin)


def test_aws_profile_variable_names_the_section(fs: FakeFilesystem) -> None:
    fs.create_file(HOME / ".aws/credentials", contents=AWS)
    found = look("s3", {"AWS_PROFILE": "work"})
    assert found is not None
    assert (found.access_key, found.secret_key, found.token) == ("AKwork", "SKwork", "Twork")


@pytest.mark.parametrize("named", ["/etc/aws", "~/elsewhere"])
def test_aws_variable_names_the_file(fs: FakeFilesystem, named: str) -> None:
    fs.create_file(named.replace("~", str(HOME)), contents=AWS)
    assert look("s3", {"AWS_SHARED_CREDENTIALS_FILE": named}) is not None


@pytest.mark.parametrize(
    ("profile", "section"), [("work", "profile work"), ("default", "default"), ("", "profile default")]
)
def test_aws_config_file_is_read_after_credentials(fs: FakeFilesystem, profile: str, section: str) -> None:
    text = f"[{section}]\nregion = eu-west-1\naws_access_key_id = AK\naws_secret_access_key = SK\n"
    fs.create_file(HOME / ".aws/config", contents=text)
    assert look("s3", {"AWS_PROFILE": profile}) is not None


@pytest.mark.parametrize(
    "text",
    [
        "[default]\naccessKeyID=AK\naccessKeySecret=SK\nstsToken=T\nregion=cn-hangzhou\n",
        "[profile default]\naccess-key-id = AK\naccess_key_secret = SK\nsts-token = T\n",
        "[Default]\naccesskeyid=AK\nAccessKeySecret=SK\nSTSTOKEN=T\n",
        "[Credentials]\nlanguage=EN\naccessKeyID=AK\naccessKeySecret=SK\nstsToken=T\nendpoint=e\n",
        "[default]\nregion=x\n[Credentials]\naccessKeyID=AK\naccessKeySecret=SK\nstsToken=T\n",
    ],
)
def test_both_forms_of_ossutil_are_read(fs: FakeFilesystem, text: str) -> None:
    fs.create_file(HOME / ".ossutilconfig", contents=text)
    found = look("oss")
    assert found is not None
    assert (found.access_key, found.secret_key, found.token) == ("AK", "SK", "T")


def test_ossutil_variables_name_file_and_profile(fs: FakeFilesystem) -> None:
    text = "[default]\naccessKeyID=no\naccessKeySecret=no\n[profile b]\naccessKeyID=AK\naccessKeySecret=SK\n"
    fs.create_file("/etc/oss", contents=text)
    found = look("oss", {"OSSUTIL_CONFIG_FILE": "/etc/oss", "OSSUTIL_PROFILE": "b"})
    assert found is not None
    assert (found.access_key, found.origin) == ("AK", "[profile b] of /etc/oss")


def test_byte_order_mark_is_accepted(fs: FakeFilesystem) -> None:
    fs.create_file(HOME / ".aws/credentials", contents="\ufeff" + AWS.lstrip(), encoding="utf-8")
    assert look("s3") is not None


@pytest.mark.parametrize("provider", ["s3", "oss"])
@pytest.mark.parametrize("content", [b"", b"no section\nhidden", b"\xff\xfe", b"[default\nx", b"[default]\n"])
def test_unreadable_file_contains_no_keys(fs: FakeFilesystem, provider: str, content: bytes) -> None:
    for path in (".aws/credentials", ".ossutilconfig"):
        fs.create_file(HOME / path, contents=content)
    assert look(provider) is None


def test_incomplete_pair_names_file_and_key(fs: FakeFilesystem) -> None:
    fs.create_file(HOME / ".aws/credentials", contents="[default]\naws_access_key_id = AK\n")
    with pytest.raises(Denied, match=r"aws_secret_access_key is not \(\[default\] of /home/u/\.aws"):
        look("s3")


def test_obs_has_no_readable_file() -> None:
    assert list_sections("obs", environ={}, home=HOME) == ()
