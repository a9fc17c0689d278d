"""What a TAB can offer: targets and upload ids that this machine has seen, and the profiles of the configuration.

Read with json and tomllib alone: a TAB waits for neither the engine nor a server. What cannot be read is not offered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# More than anybody looks at in a list of completions.
MOST_FILES = 200


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return what local.folders says, which asks platformdirs; that takes a TAB as long as all the rest."""
    if environ.get("OBSUP_STATE_DIR"):
        return Path(environ["OBSUP_STATE_DIR"])
    home = Path(environ.get("HOME") or Path.home())
    if environ.get("XDG_STATE_HOME", "").strip():
        return Path(environ["XDG_STATE_HOME"]) / "obsup"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "obsup"
    return home / ".local" / "state" / "obsup"


def known_targets(environ: Mapping[str, str], here: Path) -> list[str]:
    """Return ``BUCKET/KEY`` of the uploads that were begun here, newest first, from the registry and checkpoints."""
    found = [
        f"{place['bucket']}/{place['key']}"
        for plain in _records(environ, here)
        if isinstance(place := _target(plain), dict) and {"bucket", "key"} <= place.keys()
    ]
    return list(dict.fromkeys(found))


def known_buckets(environ: Mapping[str, str], here: Path) -> list[str]:
    """Return the buckets of the known targets."""
    return list(dict.fromkeys(one.partition("/")[0] for one in known_targets(environ, here)))


def known_uploads(environ: Mapping[str, str], here: Path) -> dict[str, str]:
    """Return the upload ids that were begun here and are not completed, each with its target."""
    found = {}
    for plain in _records(environ, here):
        upload, place = plain.get("upload"), _target(plain)
        upload_id = upload.get("upload_id") if isinstance(upload, dict) else plain.get("uploadId")
        if isinstance(upload_id, str) and upload_id and plain.get("etag") is None and isinstance(place, dict):
            found[upload_id] = f"{place.get('bucket')}/{place.get('key')}"
    return found


def known_profiles(environ: Mapping[str, str], named: Path | None) -> list[str]:
    """Return the names of the profiles in the configuration file."""
    import tomllib

    home = Path(environ.get("HOME") or Path.home())
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    usual = (folder if folder.is_absolute() else home / ".config") / "obsup" / "config.toml"
    try:
        plain = tomllib.loads((named or Path(environ.get("OBSUP_CONFIG") or usual)).read_text())
    except (OSError, ValueError):
        return []
    profiles = plain.get("profiles")
    return list(profiles) if isinstance(profiles, dict) else []


def _target(plain: dict[str, Any]) -> Any:
    """Return the target of a checkpoint or of an entry of the registry."""
    upload = plain.get("upload")
    return upload.get("target") if isinstance(upload, dict) else plain.get("target")


def _records(environ: Mapping[str, str], here: Path) -> Iterator[dict[str, Any]]:
    """Yield the registry's entries and the checkpoints, in the state folder and *here*."""
    import json

    state = state_folder(environ)
    paths = [
        *state.glob("uploads/*.json"),
        *state.glob("checkpoints/*.obsup.json"),
        *here.glob("*.obsup.json"),
    ]
    for path in sorted(paths, key=_modified, reverse=True)[:MOST_FILES]:
        try:
            plain = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(plain, dict):
            yield plain


def _modified(path: Path) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - the fewest calls
    except OSError:
        return 0.0
