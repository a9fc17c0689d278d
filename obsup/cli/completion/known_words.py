"""Data for shell completion: targets and upload ids of this machine, and profiles of the configuration file.

Reads files with json and tomllib only, because completion must be fast. Unreadable files are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# More files would yield more completions than anybody reads.
MAX_FILES = 200
MAX_BYTES = 4 << 20


def known_targets(environ: Mapping[str, str], directory: Path) -> list[str]:
    """Return ``BUCKET/KEY`` of the uploads of this machine, newest first."""
    found = [
        f"{target['bucket']}/{target['key']}"
        for record in _records(environ, directory)
        if isinstance(target := _target(record), dict) and {"bucket", "key"} <= target.keys()
    ]
    return list(dict.fromkeys(found))


def buckets_of(targets: Iterable[str]) -> list[str]:
    """Return the buckets of *targets*, each once."""
    return list(dict.fromkeys(one.partition("/")[0] for one in targets))


def known_uploads(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return the ids of uploads of this machine that are not completed, each with its target."""
    found = {}
    for record in _records(environ, directory, without="*.done.json"):
        upload, target = record.get("upload"), _target(record)
        upload_id = upload.get("upload_id") if isinstance(upload, dict) else record.get("uploadId")
        if isinstance(upload_id, str) and upload_id and isinstance(target, dict):
            found[upload_id] = f"{target.get('bucket')}/{target.get('key')}"
    return found


def known_profiles(environ: Mapping[str, str], path: Path | None) -> list[str]:
    """Return the names of the profiles in the configuration file."""
    import tomllib

    from obsup.local.files.content import read_content
    from obsup.local.files.user_folders import default_config_path, expanded

    given = environ.get("OBSUP_CONFIG")
    named = path or (Path(expanded(given, environ)) if given else default_config_path(environ))
    if named is None:
        return []
    try:
        document = tomllib.loads(read_content(named, MAX_BYTES).data.decode())
    except (OSError, ValueError):
        return []
    profiles = document.get("profiles")
    return list(profiles) if isinstance(profiles, dict) else []


def _target(record: dict[str, Any]) -> Any:
    """Return the target of a checkpoint or of a record of a started upload."""
    upload = record.get("upload")
    return upload.get("target") if isinstance(upload, dict) else record.get("target")


def _records(environ: Mapping[str, str], directory: Path, without: str = "") -> Iterator[dict[str, Any]]:
    """Yield the records of started uploads, and the checkpoints in the state directory and in *directory*.

    Files whose names match *without* are left out.
    """
    import json

    # Imported here because --help does not need them.
    from obsup.local.files.content import read_content
    from obsup.local.files.user_folders import user_state_folder

    state = user_state_folder(environ) or directory
    paths = [
        *state.glob("uploads/*.json"),
        *state.glob("checkpoints/*.obsup.json"),
        *directory.glob("*.obsup.json"),
    ]
    found = [path for path in paths if not (without and path.match(without))]
    for path in sorted(found, key=_modified, reverse=True)[:MAX_FILES]:
        try:
            record = json.loads(read_content(path, MAX_BYTES).data)
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record


def _modified(path: Path) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - faster than Path.stat
    except OSError:
        return 0.0
