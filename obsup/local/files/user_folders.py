"""The folders of the user. None of them exists without a home directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from obsup.local.platform import paths


def home_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the home directory of the user; None without one."""
    home = paths.home_folder(environ)
    return Path(home) if home else None


def default_config_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the default path of the configuration file; None without a home directory."""
    folder = paths.config_folder(environ)
    return Path(folder, "obsup", "config.toml") if folder else None


def user_state_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return $OBSUP_STATE_DIR, or the default folder for the state; None without a home directory."""
    if environ.get("OBSUP_STATE_DIR"):
        return Path(expanded(environ["OBSUP_STATE_DIR"], environ))
    folder = paths.state_folder(environ)
    return Path(folder, "obsup") if folder else None


def expanded(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return *path* with the home directory for ``~`` and the values of ``$NAME`` and ``${NAME}``."""
    home = home_folder(environ)
    if home is not None and (path == "~" or path.startswith(paths.HOME_PREFIXES)):
        path = str(home) + path[1:]
    return os.path.expandvars(path)
