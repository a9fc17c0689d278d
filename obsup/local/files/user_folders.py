"""The folders of the user by the XDG Base Directory Specification. None of them exists without a home directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def home_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return $HOME if it is absolute, otherwise the home directory of the account; None if it has none."""
    if sys.platform == "win32":
        return Path.home()
    for path in (environ.get("HOME", ""), _home_of_account()):
        if path.startswith("/"):
            return Path(path)
    return None


def default_config_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the default path of the configuration file; None without a home directory."""
    folder = _folder("XDG_CONFIG_HOME", ".config", environ)
    return folder and folder / "obsup" / "config.toml"


def user_state_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return $OBSUP_STATE_DIR, or the default folder for the state; None without a home directory."""
    if environ.get("OBSUP_STATE_DIR"):
        return Path(expanded(environ["OBSUP_STATE_DIR"], environ))
    default = "Library/Application Support" if sys.platform == "darwin" else ".local/state"
    folder = _folder("XDG_STATE_HOME", default, environ)
    return folder and folder / "obsup"


def expanded(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return *path* with the home directory for ``~`` and the values of ``$NAME`` and ``${NAME}``."""
    home = home_folder(environ)
    if home is not None and (path == "~" or path.startswith("~/")):
        path = str(home) + path[1:]
    return os.path.expandvars(path)


def _folder(variable: str, default: str, environ: Mapping[str, str]) -> Path | None:
    """Return the folder that *variable* names, which must be absolute, or *default* below the home directory."""
    named, home = Path(environ.get(variable, "")), home_folder(environ)
    return named if named.is_absolute() else home and home / default


def _home_of_account() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
