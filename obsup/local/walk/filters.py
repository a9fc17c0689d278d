"""Filters of a walk: include and exclude patterns, as in .gitignore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from obsup.errors import NextStep, WrongUsage
from obsup.text import utf8_name
from obsup.value import Value


class _Patterns(Protocol):
    def match_file(self, file: str) -> bool: ...


class Selection(Value):
    """Selects files that match an include pattern (or all, without include patterns) and no exclude pattern."""

    included: _Patterns | None = None
    excluded: _Patterns | None = None

    def has_file(self, name: str) -> bool:
        """Return whether the file is selected; *name* is its path within its SOURCE, with ``/``."""
        if self.included is not None and not self.included.match_file(name):
            return False
        return self.excluded is None or not self.excluded.match_file(name)

    def may_have_files_in(self, name: str) -> bool:
        """Return whether any file in the folder *name* can be selected.

        Source: gitignore(5): a file cannot be re-included if a parent folder is excluded.
        """
        return self.excluded is None or not self.excluded.match_file(f"{name}/")


EVERYTHING = Selection()


def make_selection(include: Sequence[str], exclude: Sequence[str]) -> Selection:
    """Return the selection of these patterns; later patterns win, ``!`` negates.

    Raises WrongUsage for an invalid pattern. Source: gitignore(5), "Pattern format".
    """
    return Selection(_patterns("--include", include), _patterns("--exclude", exclude))


def _patterns(option: str, lines: Sequence[str]) -> _Patterns | None:
    if not lines:
        return None
    from pathspec import GitIgnoreSpec

    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            raise WrongUsage(
                f"invalid pattern {option} {line!r}",
                "Patterns are those of .gitignore",
                NextStep("write the pattern as '*.tmp', '/build/' or '!keep.tmp', for example"),
            ) from None
    return GitIgnoreSpec.from_lines(map(utf8_name, lines))
