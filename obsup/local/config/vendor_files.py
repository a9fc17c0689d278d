"""Credentials in the configuration files of the vendors' tools. Not those of obsutil, which encrypts them."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from obsup.dialects.registry import find_vendor
from obsup.dialects.vendor import CredentialFile, KeyNames
from obsup.local.config.credential_fields import pair_keys
from obsup.local.files.content import read_content
from obsup.model import Credentials
from obsup.units import MIB
from obsup.value import Value

MAX_BYTES = MIB
# No file is read below it.
_NO_HOME = Path("~")


class Section(Value):
    """A section of a file that may contain credentials. ``names`` are the names that it may have, nearest first."""

    path: Path
    names: tuple[str, ...]
    keys: KeyNames

    def __str__(self) -> str:
        return f"[{self.names[0]}] of {self.path}"


def list_sections(provider: str, *, environ: Mapping[str, str], home: Path | None) -> tuple[Section, ...]:
    """Return the sections in which the tools of *provider* store credentials, nearest first.

    Without a *home*, only the files that the environment names are left.
    """
    files = find_vendor(provider).credential_files
    sections = (make_section(one, environ, home or _NO_HOME) for one in files)
    return tuple(one for one in sections if home is not None or _NO_HOME not in one.path.parents)


def read_section(section: Section) -> Credentials | None:
    """Return the credentials in *section*, or None if it has none or the file cannot be read.

    Raises Denied for an incomplete pair.
    """
    folded = read_values(section)
    names = (section.keys.access, section.keys.secret, *section.keys.tokens)
    values = {name: folded.get(_fold(name)) for name in names}
    return pair_keys(values, names=section.keys, origin=str(section))


def make_section(file: CredentialFile, environ: Mapping[str, str], home: Path) -> Section:
    """Return the section of *file* that the environment selects."""
    profile = environ.get(file.profile_variable) or "default"
    names = (profile == "default" and file.default_sections) or file.sections
    return Section(
        _locate(environ.get(file.path_variable), home, file.path),
        tuple(name.format(profile=profile) for name in names),
        file.keys,
    )


def _locate(path: str | None, home: Path, default: str) -> Path:
    if not path:
        return home / default
    return home / path[2:] if path.startswith("~/") else Path(path)


class _Parser(configparser.RawConfigParser):
    """The INI format of the vendors: only ``=`` separates, values are plain text, and a key may have none."""

    def __init__(self, *, fold: bool) -> None:
        super().__init__(strict=False, delimiters=("=",), allow_no_value=True, default_section="")
        self._folds = fold

    def optionxform(self, optionstr: str) -> str:
        return _fold(optionstr) if self._folds else optionstr.lower()


def read_values(section: Section, *, fold: bool = True) -> dict[str, str]:
    """Return the keys of *section*, folded, with their values; empty if the file cannot be read."""
    parser = _Parser(fold=fold)
    try:
        parser.read_string(read_content(section.path, MAX_BYTES).data.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, configparser.Error, AttributeError):
        # The file belongs to another tool, so errors are ignored. (Those of the parser quote whole lines.)
        # Python before 3.13 raises AttributeError for indented lines below a key without a value.
        return {}
    existing = {name.casefold(): name for name in parser.sections()}
    for name in section.names:
        if name.casefold() in existing:
            return {key: value for key, value in parser.items(existing[name.casefold()]) if value}
    return {}


def read_settings(section: Section) -> dict[str, str]:
    """Return the keys of *section* with their values as they are written, and those of the services it refers to.

    A key below another one is ``s3.endpoint_url``: AWS's tools indent the settings of a service.
    """
    values = _flattened(read_values(section, fold=False))
    if "services" not in values:
        return values
    services = Section(section.path, (f"services {values['services']}",), section.keys)
    return {**values, **_flattened(read_values(services, fold=False))}


def _flattened(values: Mapping[str, str]) -> dict[str, str]:
    """Return *values*, and each further line of a value as a value of its name."""
    lines = ((key, line.partition("=")) for key, value in values.items() for line in value.splitlines()[1:])
    return {**values, **{f"{key}.{name.strip()}": value.strip() for key, (name, _, value) in lines}}


def _fold(key: str) -> str:
    # ossutil accepts any case, and - or _ in its keys. AWS has one spelling, which stays unique.
    return key.casefold().replace("_", "").replace("-", "")
