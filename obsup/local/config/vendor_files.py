"""The keys that the vendors' own tools left in the home directory. obsutil encrypts its own: not read."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Mapping
from pathlib import Path

from obsup.local.config.credential_fields import KeyNames, pair_keys
from obsup.model import Credentials
from obsup.value import Value

_AWS_NAMES = KeyNames(
    "aws_access_key_id", "aws_secret_access_key", ("aws_session_token", "aws_security_token")
)
_OSS_NAMES = KeyNames("accessKeyID", "accessKeySecret", ("stsToken",))


class Section(Value):
    """One place to look: a file, the names its section may have, nearest first, and its keys' names."""

    path: Path
    names: tuple[str, ...]
    keys: KeyNames

    def __str__(self) -> str:
        return f"[{self.names[0]}] of {self.path}"


def list_sections(provider: str, *, environ: Mapping[str, str], home: Path) -> tuple[Section, ...]:
    """Return where the tools of *provider* keep their keys, nearest first; empty for those that keep none."""
    lister = _LISTERS.get(provider)
    return lister(environ, home) if lister else ()


def read_section(section: Section) -> Credentials | None:
    """Return the credentials in *section*, or None where there are none or the file cannot be read.

    Raises Denied for half a pair.
    """
    folded = _read_values(section)
    names = (section.keys.access, section.keys.secret, *section.keys.tokens)
    values = {name: folded.get(_fold(name)) for name in names}
    return pair_keys(values, names=section.keys, origin=str(section))


def _list_aws(environ: Mapping[str, str], home: Path) -> tuple[Section, ...]:
    """Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files"."""
    name = environ.get("AWS_PROFILE") or "default"
    keys = _locate(environ.get("AWS_SHARED_CREDENTIALS_FILE"), home, ".aws/credentials")
    config = _locate(environ.get("AWS_CONFIG_FILE"), home, ".aws/config")
    return (
        Section(keys, (name,), _AWS_NAMES),
        Section(config, (f"profile {name}", name), _AWS_NAMES),
    )


def _list_oss(environ: Mapping[str, str], home: Path) -> tuple[Section, ...]:
    """Source: OSS developer reference, "Configure ossutil" (2.0 reads the [Credentials] of 1.0 too)."""
    name = environ.get("OSSUTIL_PROFILE") or "default"
    path = _locate(environ.get("OSSUTIL_CONFIG_FILE"), home, ".ossutilconfig")
    names = (name, f"profile {name}") if name == "default" else (f"profile {name}",)
    return Section(path, names, _OSS_NAMES), Section(path, ("Credentials",), _OSS_NAMES)


_LISTERS: Mapping[str, Callable[[Mapping[str, str], Path], tuple[Section, ...]]] = {
    "s3": _list_aws,
    "oss": _list_oss,
}


def _locate(named: str | None, home: Path, usual: str) -> Path:
    if not named:
        return home / usual
    return home / named[2:] if named.startswith("~/") else Path(named)


class _Parser(configparser.RawConfigParser):
    """The vendors' INI: ``=`` alone divides, no value is special, a key may stand without one."""

    def __init__(self) -> None:
        super().__init__(strict=False, delimiters=("=",), allow_no_value=True, default_section="")

    def optionxform(self, optionstr: str) -> str:
        return _fold(optionstr)


def _read_values(section: Section) -> dict[str, str]:
    parser = _Parser()
    try:
        parser.read_string(section.path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, configparser.Error, AttributeError):
        # Not our file: what cannot be read holds no keys for us. (The parser's errors quote whole lines.)
        # AttributeError is what Python before 3.13 says of lines indented below a key without a value.
        return {}
    there = {name.casefold(): name for name in parser.sections()}
    for name in section.names:
        if name.casefold() in there:
            return {key: value for key, value in parser.items(there[name.casefold()]) if value}
    return {}


def _fold(key: str) -> str:
    # ossutil takes any case, - and _ in its keys; AWS has one spelling, which this does not hurt.
    return key.casefold().replace("_", "").replace("-", "")
