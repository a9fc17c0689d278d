"""Credentials by the chain of a vendor's own library: whether it is installed, and what asks for it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from obsup.errors import Denied, run_again
from obsup.local.config.credential_process import sanitise
from obsup.local.config.vendor_files import list_sections, read_values
from obsup.local.files.existing import is_file
from obsup.local.files.user_folders import home_folder
from obsup.model import Credentials
from obsup.value import Value

_NO_HOME = "/nonexistent"
_QUERY = re.compile(r"\?[^\s)'\"]+")


class Need(Value):
    """What asks for a chain: a variable, or a key of the selected profile.

    ``is_first``: the library uses it even if the profile has an access key, which may be that of another identity.
    """

    text: str
    is_first: bool


class Chain(Value):
    """A vendor's library that finds credentials.

    ``library`` is the module that must be importable, ``extra`` installs it. ``variables``, and ``keys`` in the section
    of the vendor's credential files, ask for it; ``late_keys`` do unless there is an access key. ``files`` below the
    home directory are read by it alone. ``find`` returns what it finds for a profile of the vendor's tools. ``advice``
    is what to check if it fails.
    """

    title: str
    library: str
    extra: str
    variables: tuple[str, ...]
    find: Callable[[str | None], Credentials | None]
    advice: str
    keys: tuple[str, ...] = ()
    late_keys: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def is_installed(self) -> bool:
        """Return whether the library can be imported. Imports nothing."""
        return find_spec(self.library) is not None

    def find_need(self, provider: str, *, environ: Mapping[str, str], home: Path | None) -> Need | None:
        """Return what asks for the chain, or None."""
        for name in self.variables:
            if environ.get(name):
                return Need(name, is_first=False)
        for section in list_sections(provider, environ=environ, home=home):
            values = read_values(section)
            for key in (*self.keys, *self.late_keys):
                if values.get(key.replace("_", "")):
                    return Need(f"{key} in {section}", is_first=key in self.keys)
        return None

    def find_file(self, home: Path | None) -> str | None:
        """Return a file that exists and that only the library reads, or None."""
        paths = [home / name for name in self.files] if home is not None else []
        return next((str(path) for path in paths if is_file(path)), None)

    def list_files(self, environ: Mapping[str, str], home: Path | None) -> list[Path]:
        """Return the paths of the files that only the library reads; they may not exist."""
        named = [
            Path(environ[name]) for name in self.variables if name.endswith("_FILE") and environ.get(name)
        ]
        return named + ([home / name for name in self.files] if home is not None else [])

    def find_for_profile(self, name: str, vendor_profile: str | None) -> Credentials:
        """Return what the chain finds for the profile *name*, which asks for it.

        Raises Denied if a source of the chain fails, if it finds nothing, and if the library is not installed.
        """
        if not self.is_installed():
            raise Denied(
                f"the library of {self.title} is not installed",
                f"Profile {name} requires it",
                run_again(f"install it with {self.extra}"),
            )
        found = self._find(vendor_profile)
        if found is None:
            raise Denied(
                f"{self.title} found no credentials for profile {name}",
                "Neither the environment nor the vendor's files nor this host provides any",
                run_again(self.advice),
            )
        return found

    def find_if_installed(self) -> Credentials | None:
        """Return what the chain finds, if its library is installed. Raises Denied if a source of the chain fails."""
        return self._find(None) if self.is_installed() else None

    def _find(self, vendor_profile: str | None) -> Credentials | None:
        """Let the library search. Without an absolute HOME it would read files below the current directory."""
        given = os.environ.get("HOME")
        os.environ["HOME"] = str(home_folder() or _NO_HOME)
        try:
            return self.find(vendor_profile)
        finally:
            if given is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = given


def chain_failed(title: str, exc: Exception, advice: str) -> Denied:
    """Return the error for an exception of the library, whose text may contain secrets."""
    return Denied(f"{title} failed", sanitise(_QUERY.sub("?…", str(exc)), "").rstrip("."), run_again(advice))
