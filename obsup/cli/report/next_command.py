"""From an error's advice to the command line that follows it: the next command is shown whole, ready to run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from obsup.errors import NextStep
from obsup.text import shell_line

AGAIN = "run the same command again"
KEPT = "what is stored is not sent again"

# The options that advice names without a value, and what a value looks like: other words go on with the sentence.
_FLAGS = frozenset({"--restart", "--no-overwrite", "--presign", "--content-md5"})
_NAMED = re.compile(r"(--[a-z][a-z0-9-]*)(?: ([0-9][0-9A-Za-z.]*|wait|threads|inline)\b)?")
_LEFT_OUT = re.compile(r"leave out (--[a-z][a-z0-9-]*)")
# Each of these says what the other says.
_RIVALS = {"--parts": ("--part-size", "-ps"), "--part-size": ("--parts", "-ps")}


def next_line(
    step: NextStep | str, resume: list[str] | None, stored: tuple[int, int | None] = (0, None)
) -> str:
    """Return the text after "Next:", with the command line to run at its end if there is one.

    *resume* is the failed command line, ready to be run again, in words; None if no command resumes the work.
    *stored* counts the parts that the store holds, of all.
    """
    if isinstance(step, str):
        return _legacy_line(step, resume, stored)
    command = list(step.command) or (changed(resume, step) if step.rerun and resume else [])
    text = step.text[:1].upper() + step.text[1:]
    if step.rerun and not (step.add or step.drop):
        again = "run" if command and text else "run the same command again"
        text = f"{text}, then {again}" if text else again[:1].upper() + again[1:]
    elif step.rerun and not text:
        text = "Run"
    if step.rerun and stored[0]:
        of = "" if stored[1] is None else f" of {stored[1]}"
        text = f"{text} ({stored[0]}{of} parts are stored and will not be sent again)"
    return f"{text}: {shell_line(command)}" if command else sentence(text)


def sentence(text: str) -> str:
    """Return *text* with a full stop, unless it ends in punctuation or in a command line."""
    return text if text.endswith((".", "?", "…")) or re.search(r"[:|] obsup ", text) else f"{text}."


def changed(words: list[str], step: NextStep) -> list[str]:
    """Return the command line *words* with what *step* adds, without what it drops or replaces."""
    added = [word for word in step.add if word.startswith("--")]
    for name in [*step.drop, *added, *(rival for one in added for rival in _RIVALS.get(one, ()))]:
        words = list(_without(words, name, has_value=name not in _FLAGS))
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *step.add, *words[end:]]


def _legacy_line(advice: str, resume: list[str] | None, stored: tuple[int, int | None]) -> str:
    """Return the text of a step that is still prose."""
    if stored[0]:
        of = "" if stored[1] is None else f" of {stored[1]}"
        kept = f"{stored[0]}{of} parts are stored and not sent again"
        advice = advice.replace(KEPT, kept) if KEPT in advice else advice.replace(AGAIN, f"{AGAIN}, {kept}")
    following = with_command(advice, resume)
    return sentence(advice) if following == advice else following


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
