"""Which files of a walk are wanted: patterns as in a .gitignore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from obsup.errors import WrongUsage
from obsup.value import Value


class _Patterns(Protocol):
    def match_file(self, file: str) -> bool: ...


class Selection(Value):
    """Takes what an include pattern names, or everything where there is none, without what an exclude names."""

    included: _Patterns | None = None
    excluded: _Patterns | None = None

    def takes(self, name: str) -> bool:
        """Return whether the file *name* is wanted: its path within its SOURCE, with ``/``."""
        if self.included is not None and not self.included.match_file(name):
            return False
        return self.excluded is None or not self.excluded.match_file(name)

    def enters(self, name: str) -> bool:
        """Return whether anything in the folder *name* can be wanted.

        Source: gitignore(5): a file cannot be had back where a folder above it is excluded.
        """
        return self.excluded is None or not self.excluded.match_file(f"{name}/")


EVERYTHING = Selection()


def make_selection(include: Sequence[str], exclude: Sequence[str]) -> Selection:
    """Return the selection that these patterns make; later patterns win, ``!`` takes back.

    Raises WrongUsage for what is no pattern. Source: gitignore(5), "Pattern format".
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
                f"{option} {line!r} is no pattern",
                "patterns are those of .gitignore",
                "for example '*.tmp', '/build/', '!keep.tmp'",
            ) from None
    return GitIgnoreSpec.from_lines(lines)
