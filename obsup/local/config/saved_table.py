"""Change one table in the text of config.toml, and leave everything else as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# How a remark begins that a later one replaces.
REMARK = "# doctor: "
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\s*\[")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")


def table_line(profile: str | None) -> str:
    """Return the line that begins the table of *profile*, or of the defaults."""
    if profile is None:
        return "[defaults]"
    return f"[profiles.{profile if _BARE_KEY.fullmatch(profile) else _text(profile)}]"


def table_lines(profile: str | None, settings: Mapping[str, str], remarks: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table with *settings*, below *remarks* as comments."""
    lines = [f"{key} = {_text(value)}" for key, value in settings.items()]
    return [table_line(profile), *(f"{REMARK}{one}" for one in remarks), *lines]


def _text(value: str) -> str:
    # A JSON string is a TOML string.
    return json.dumps(value, ensure_ascii=False)


def changed_text(
    content: str, profile: str | None, settings: Mapping[str, str], remarks: Sequence[str] = ()
) -> str | None:
    """Return *content* with *settings* in the table of *profile*, or in the defaults, below *remarks* as comments.

    None if the form of the file does not allow that without another change.
    """
    import tomllib

    lines = content.splitlines(keepends=True)
    start, end = _span(lines, profile)
    if start is None:
        before = lines if not lines or lines[-1].endswith("\n") else [*lines, "\n"]
        head, inside, after = [*before, *(["\n"] if lines else []), f"{table_line(profile)}\n"], [], []
    else:
        head, inside, after = lines[: start + 1], lines[start + 1 : end], lines[end:]
    kept = [line for line in inside if not line.startswith(REMARK) and _key(line) not in settings]
    added = [f"{line}\n" for line in table_lines(profile, settings, remarks)[1:]]
    changed = "".join([*head, *added, *kept, *after])
    wanted = tomllib.loads(content)
    _table(wanted, profile).update(settings)
    try:
        return changed if tomllib.loads(changed) == wanted else None
    except tomllib.TOMLDecodeError:
        return None


def _table(document: dict[str, Any], profile: str | None) -> dict[str, Any]:
    if profile is None:
        return document.setdefault("defaults", {})  # type: ignore[no-any-return]
    return document.setdefault("profiles", {}).setdefault(profile, {})  # type: ignore[no-any-return]


def _span(lines: Sequence[str], profile: str | None) -> tuple[int | None, int]:
    """Return the line with the head of the table, None without one, and the line after its last."""
    import tomllib

    wanted: dict[str, Any] = {}
    _table(wanted, profile)
    heads = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    for number in heads:
        try:
            found = tomllib.loads(lines[number])
        except tomllib.TOMLDecodeError:
            continue
        if found == wanted:
            return number, next((one for one in heads if one > number), len(lines))
    return None, len(lines)


def _key(line: str) -> str | None:
    match = _KEY.match(line)
    return match[1] if match else None
