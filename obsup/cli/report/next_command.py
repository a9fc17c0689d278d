"""From the next step of an error to the text after "Next:" with a complete command line that is ready to run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from obsup.errors import NextStep, ObsupError, run_again
from obsup.options.table import GROUPS, exclusive_options
from obsup.text import shell_line

AGAIN = "run the same command again"
KEPT = "what is stored is not sent again"

_ROWS = tuple(row for _, rows in GROUPS for row in rows)
# Options without a value; the other names of options; and the options that an added option replaces.
_FLAGS = frozenset(row.option for row in _ROWS if row.kind.name == "flag")
_ALIASES = {row.option: row.spellings[:-1] for row in _ROWS}
_REPLACED = {row.option: exclusive_options(row) for row in _ROWS}
_NAMED = re.compile(r"(--[a-z][a-z0-9-]*)(?: ([0-9][0-9A-Za-z.]*|wait|threads|inline)\b)?")
_LEFT_OUT = re.compile(r"leave out (--[a-z][a-z0-9-]*)")
# Each of these says what the other says.
_RIVALS = {"--parts": ("--part-size", "-ps"), "--part-size": ("--parts", "-ps")}


class ResumeCommand(NamedTuple):
    """The command line that resumes failed work. ``is_piped``: a pipe has to write the stream into it again.

    ``keeps_parts``: it does not send again what is stored.
    """

    words: tuple[str, ...]
    is_piped: bool = False
    keeps_parts: bool = True

    @property
    def instruction(self) -> str:
        """What to do if the command line has to be run again without a change."""
        if not self.is_piped:
            return "run the same command again"
        if self.keeps_parts:
            return "run the same pipe again"
        return "run the whole pipe again from its beginning (--checkpoint FILE would make it resumable)"

    def text(self, words: Iterable[str]) -> str:
        """Return *words*, which are those of this command or a change of it, as the user runs them."""
        return ("… | " if self.is_piped else "") + shell_line(words)


def resume_command(argv: Iterable[str], *, is_piped: bool = False, keeps_parts: bool = True) -> ResumeCommand:
    """Return the command line *argv*, without the program's name, without --restart, which would discard progress."""
    words = ("obsup", *_without(list(argv), "--restart", has_value=False))
    return ResumeCommand(words, is_piped, keeps_parts)


def next_step(error: ObsupError, resume: ResumeCommand | None) -> NextStep | str | None:
    """Return what to do after *error*: its own next step, or to run the command again if that may help."""
    if error.next_step:
        return error.next_step
    return run_again() if error.retryable and resume is not None else None


def shown_command(error: ObsupError, resume: ResumeCommand | None) -> str:
    """Return the command line of the "Next:" line of *error*, "" if it has none or if only a pipe can run it."""
    step = next_step(error, resume)
    if isinstance(step, str):
        words = follow(step, list(resume.words)) if resume is not None and ": obsup " not in step else None
    else:
        words = _command(step, resume) if step is not None else None
    is_piped = resume is not None and resume.is_piped
    return shell_line(words) if words and not is_piped else ""


def next_line(
    step: NextStep | str, resume: ResumeCommand | None, stored: tuple[int, int | None] = (0, None)
) -> str:
    """Return the text after "Next:", with the command line to run at its end if there is one.

    *stored* counts the parts that the store holds, and all parts.
    """
    if isinstance(step, str):
        return _legacy_line(step, list(resume.words) if resume is not None else None, stored)
    words = _command(step, resume)
    text = step.text
    is_changed = bool(step.add or step.drop)
    if step.rerun and not is_changed:
        instruction = resume.instruction if resume is not None else "run the same command again"
        text = f"{text}, then {'run' if words else instruction}" if text else instruction
    elif step.rerun and not words:
        change = [
            *(f"without {name}" for name in step.drop),
            *([f"with {shell_line(step.add)}"] if step.add else []),
        ]
        text = f"{text or 'run the same command again'} ({', '.join(change)})"
    text = capitalised(text or "run")
    if step.rerun and "--restart" not in step.add and stored[0] and resume is not None and resume.keeps_parts:
        of = "" if stored[1] is None else f" of {stored[1]}"
        text = f"{text} ({stored[0]}{of} parts are stored and will not be sent again)"
    if not words:
        return sentence(text)
    return f"{text}: {resume.text(words) if resume is not None and step.rerun else shell_line(words)}"


def _command(step: NextStep, resume: ResumeCommand | None) -> list[str]:
    """Return the words of the command line that *step* asks to run, [] if it asks for none."""
    if step.command or not step.rerun or resume is None:
        return list(step.command)
    return changed(list(resume.words), step)


def capitalised(text: str) -> str:
    """Return *text* with a capital first letter."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Return *text* with a full stop, unless it ends in punctuation or in a command line."""
    return text if text.endswith((".", "?", "…")) or re.search(r"[:|] obsup ", text) else f"{text}."


def changed(words: list[str], step: NextStep) -> list[str]:
    """Return the command line *words* with the words that *step* adds, without what it drops or replaces."""
    added = [word for word in step.add if word.startswith("--")]
    dropped = [*step.drop, *added, *(other for one in added for other in _REPLACED.get(one, ()))]
    for name in [*dropped, *(alias for one in dropped for alias in _ALIASES.get(one, ()))]:
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
    """Yield *words* without the option *name* and its value; words after ``--`` are not options of obsup."""
    is_value = False
    for index, word in enumerate(words):
        if word == "--":
            yield from words[index:]
            return
        if is_value:
            is_value = False
        elif word == name:
            is_value = has_value
        elif not word.startswith(f"{name}="):
            yield word
