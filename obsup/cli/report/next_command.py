"""From an error's advice to the command line that follows it: the next command is shown whole, ready to run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from obsup.text import shell_line

AGAIN = "run the same command again"
KEPT = "what is stored is not sent again"

# The options that advice names without a value, and what a value looks like: other words go on with the sentence.
_FLAGS = frozenset({"--restart", "--no-overwrite", "--presign", "--content-md5"})
_NAMED = re.compile(r"(--[a-z][a-z0-9-]*)(?: ([0-9][0-9A-Za-z.]*|wait|threads|inline)\b)?")
_LEFT_OUT = re.compile(r"leave out (--[a-z][a-z0-9-]*)")
# Each of these says what the other says.
_RIVALS = {"--parts": ("--part-size", "-ps"), "--part-size": ("--parts", "-ps")}


def with_command(advice: str, command: list[str] | None) -> str:
    """Return *advice* with the command line that follows it at its end, where it means one.

    *command* is the line that failed, fit to be run again, in words; None where none goes on with the work.
    """
    following = follow(advice, command) if command and ": obsup " not in advice else None
    return f"{advice}: {shell_line(following)}" if following else advice


def follow(advice: str, words: list[str]) -> list[str] | None:
    """Return the command line *words* changed as *advice* says; None where it does not speak of running it."""
    dropped = _LEFT_OUT.findall(advice)
    named = _NAMED.findall(_LEFT_OUT.sub("", advice))
    added = [(name, value) for name, value in named if value or name in _FLAGS]
    if not added and not dropped and "again" not in advice:
        return None
    rivals = [rival for name, _ in added for rival in (name, *_RIVALS.get(name, ()))]
    for name in [*dropped, *rivals]:
        words = list(_without(words, name, has_value=name not in _FLAGS))
    end = words.index("--") if "--" in words else len(words)
    more = [word for name, value in added for word in (name, value) if word]
    return [*words[:end], *more, *words[end:]]


def _without(words: list[str], name: str, *, has_value: bool) -> Iterator[str]:
    """Yield *words* without the option *name* and its value; what stands after ``--`` is not ours."""
    waits = False
    for at, word in enumerate(words):
        if word == "--":
            yield from words[at:]
            return
        if waits:
            waits = False
        elif word == name:
            waits = has_value
        elif not word.startswith(f"{name}="):
            yield word
