"""The keys that the vendors' own tools left in the home directory. obsutil encrypts its own: not read."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from obsup.dialects.registry import find_vendor
from obsup.dialects.vendor import CredentialFile, KeyNames
from obsup.local.config.credential_fields import pair_keys
from obsup.model import Credentials
from obsup.value import Value


class Section(Value):
    """One place to look: a file, the names its section may have, nearest first, and its keys' names."""

    path: Path
    names: tuple[str, ...]
    keys: KeyNames

    def __str__(self) -> str:
        return f"[{self.names[0]}] of {self.path}"


def list_sections(provider: str, *, environ: Mapping[str, str], home: Path) -> tuple[Section, ...]:
    """Return where the tools of *provider* keep their keys, nearest first; empty for those that keep none."""
    return tuple(_section(file, environ, home) for file in find_vendor(provider).credential_files)


def read_section(section: Section) -> Credentials | None:
    """Return the credentials in *section*, or None where there are none or the file cannot be read.

    Raises Denied for half a pair.
    """
    folded = _read_values(section)
    names = (section.keys.access, section.keys.secret, *section.keys.tokens)
    values = {name: folded.get(_fold(name)) for name in names}
    return pair_keys(values, names=section.keys, origin=str(section))


def _section(file: CredentialFile, environ: Mapping[str, str], home: Path) -> Section:
    profile = environ.get(file.profile_variable) or "default"
    names = (profile == "default" and file.default_sections) or file.sections
    return Section(
        _locate(environ.get(file.path_variable), home, file.path),
        tuple(name.format(profile=profile) for name in names),
        file.keys,
    )


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
