"""What a TAB answers: commands, options and their values, sources, targets, buckets, upload ids and profiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from obsup.cli.arguments.command_names import EXIT_STATUS, SHELLS
from obsup.cli.completion.command_line import GROUPS, CommandLine, names_of, options_of, read_line
from obsup.cli.completion.known_words import buckets_of, known_profiles, known_targets, known_uploads
from obsup.options.row import OptionRow
from obsup.vendor_names import PROVIDERS

# What completes each argument of a command. The last one also completes all that follow.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("upload", "verify"), ("sources",)),
    **dict.fromkeys(("init", "part", "complete", "abort", "parts"), ("source-or-target",)),
    **dict.fromkeys(("uploads", "gc", "doctor"), ("prefix", "")),
    "status": ("file", "target", ""),
    "completion": ("shell", ""),
    "help": ("topic",),
}
_SCHEMES = tuple(f"{provider}://" for provider in PROVIDERS)


class Answer(NamedTuple):
    """One item: a ``plain`` value, or a beginning for which the shell finds each ``file`` or ``dir``."""

    kind: str
    value: str
    help: str = ""


def answers(words: Sequence[str], begun: str) -> list[Answer]:
    """Return the completions of *begun*, which follows the *words* after ``obsup``."""
    if begun.startswith("-") and "=" in begun:
        option, _, begun = begun.partition("=")
        words = [*words, option]
    line = read_line(words)
    if line is None:
        return []
    if line.open_option:
        return _values(line.open_option, line, begun)
    if begun.startswith("-") and not line.has_end:
        return _options(line, begun)
    if line.command in GROUPS:
        return _plain(GROUPS[line.command], begun)
    kinds = ARGUMENTS.get(line.command, ("",))
    return _of_kind(kinds[min(len(line.arguments), len(kinds) - 1)], line, begun)


def _options(line: CommandLine, begun: str) -> list[Answer]:
    """Return the options that the line does not have yet, or that are repeatable."""
    rows = [row for row in options_of(line.command) if row.kind.is_list or row.option not in line.given]
    return [
        Answer("plain", name, row.help) for row in rows for name in names_of(row) if name.startswith(begun)
    ]


def _values(row: OptionRow, line: CommandLine, begun: str) -> list[Answer]:
    known = row.kind.choices or row.kind.suggestions
    return _plain(known, begun) if known else _of_kind(row.kind.name, line, begun)


def _of_kind(kind: str, line: CommandLine, begun: str) -> list[Answer]:
    return _BY_KIND[kind](line, begun) if kind in _BY_KIND else []


def _plain(values: Iterable[str] | Mapping[str, str], begun: str) -> list[Answer]:
    """Return the *values* that start with *begun*; the values of a mapping are their help texts."""
    helps = values if isinstance(values, Mapping) else {}
    return [Answer("plain", one, helps.get(one, "")) for one in values if one.startswith(begun)]


def _files(_line: CommandLine, begun: str) -> list[Answer]:
    """Let the shell complete files."""
    return [Answer("file", begun)]


def _folders(_line: CommandLine, begun: str) -> list[Answer]:
    return [Answer("dir", begun)]


def _targets(_line: CommandLine, begun: str) -> list[Answer]:
    """Complete known targets and, before the first slash, their buckets; with or without a scheme."""
    scheme = _scheme(begun)
    known = known_targets(os.environ, Path.cwd())
    if "/" not in begun.removeprefix(scheme):
        known += [f"{one}/" for one in buckets_of(known)]
    return _plain([f"{scheme}{one}" for one in known], begun)


def _scheme(begun: str) -> str:
    return next((one for one in _SCHEMES if begun.startswith(one)), "")


def _prefixes(_line: CommandLine, begun: str) -> list[Answer]:
    scheme = _scheme(begun)
    buckets = buckets_of(known_targets(os.environ, Path.cwd()))
    return _plain([f"{scheme}{one}" for one in buckets], begun)


def _sources(line: CommandLine, begun: str) -> list[Answer]:
    """Complete files; after the first source also known targets."""
    if "--from-command" in line.given:
        return [] if line.arguments else _targets(line, begun)
    return _source_or_target(line, begun) if line.arguments else _source(line, begun)


def _source(line: CommandLine, begun: str) -> list[Answer]:
    return [] if _scheme(begun) else _files(line, begun)


def _source_or_target(line: CommandLine, begun: str) -> list[Answer]:
    """Complete ``[SOURCE] TARGET``, where the first word may be either."""
    return [*_targets(line, begun), *_source(line, begun)]


def _uploads(line: CommandLine, begun: str) -> list[Answer]:
    """Complete known uploads: those of the target, if the line has one."""
    known = known_uploads(os.environ, Path.cwd())
    last = line.arguments[-1] if line.arguments else ""
    target = last if "/" in last and not os.path.exists(last) else ""  # noqa: PTH110
    name = target.removeprefix(_scheme(target))
    is_folder = not name or name.endswith("/")
    fitting = {
        upload_id: one
        for upload_id, one in known.items()
        if one == name or (is_folder and one.startswith(name))
    }
    return _plain(fitting, begun)


def _profiles(line: CommandLine, begun: str) -> list[Answer]:
    config = line.given.get("--config")
    return _plain(known_profiles(os.environ, Path(config) if config else None), begun)


def _topics(line: CommandLine, begun: str) -> list[Answer]:
    """Complete the commands, and the exit status table."""
    group = "-".join(line.arguments)
    return _plain([*GROUPS.get(group, ()), *([] if group else [EXIT_STATUS])], begun)


_BY_KIND: Mapping[str, Callable[[CommandLine, str], list[Answer]]] = {
    "file": _files,
    "text-file": _files,
    "folder": _folders,
    "sources": _sources,
    "source-or-target": _source_or_target,
    "target": _targets,
    "prefix": _prefixes,
    "upload-id": _uploads,
    "profile": _profiles,
    "shell": lambda _line, begun: _plain(SHELLS, begun),
    "topic": _topics,
}
