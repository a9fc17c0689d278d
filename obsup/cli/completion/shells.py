"""The exchange with the scripts of the shells: the words before the cursor, and the answers in the form of each."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

from obsup.cli.completion.answers import Answer, answers

VARIABLE = "_OBSUP_COMPLETE"


class _Question(NamedTuple):
    """The words before the cursor, the word at the cursor, and its answers: *before* is added, *kept* is cut off."""

    words: list[str]
    begun: str
    before: str = ""
    kept: int = 0


def complete(environ: Mapping[str, str]) -> NoReturn:
    """Print the answers to a shell, and exit."""
    shell = environ[VARIABLE].removesuffix("_complete")
    if shell not in _QUESTIONS:
        sys.exit(1)
    question = _QUESTIONS[shell](environ)
    found = [
        one._replace(value=f"{question.before}{one.value[question.kept :]}", help=" ".join(one.help.split()))
        for one in answers(question.words, question.begun)
    ]
    write = _three_lines if shell == "powershell" else "\t".join
    # A file name keeps its bytes.
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    sys.stdout.write("".join(f"{write(one)}\n" for one in found if not set(one.value) & set("\t\n\r")))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do, which Python would take its time for


def _three_lines(answer: Answer) -> str:
    return f"{answer.kind}\n{answer.value}\n{answer.help or '_'}"


def _of_bash(environ: Mapping[str, str]) -> _Question:
    """bash passes the line up to the cursor and replaces the text after the last word break."""
    line = environ["COMP_WORDS"]
    words = split_words(line)
    begun = "" if line[-1:].isspace() and not line.endswith("\\ ") else words.pop()
    breaks = set(environ.get("COMP_BREAKS", "")) & set(":=")
    # For --digest=md5, only the values are completed, without the option.
    is_value = begun.startswith("-") and "=" in begun
    kept = 0 if is_value else max((begun.rfind(one) + 1 for one in breaks), default=0)
    return _Question(words[1:], begun, kept=kept)


def _of_zsh(environ: Mapping[str, str]) -> _Question:
    """zsh passes the words as typed, including quotes."""
    typed = [_unquoted(word) for word in environ["COMP_WORDS"].split("\n")]
    at = int(environ["COMP_CWORD"])
    return _whole_word(typed[1:at], typed[at] if at < len(typed) else "")


def _of_fish(environ: Mapping[str, str]) -> _Question:
    """fish passes words without quotes, and the word at the cursor separately."""
    return _whole_word(environ["COMP_WORDS"].split("\n")[1:], _unquoted(environ["COMP_CWORD"]))


def _of_powershell(environ: Mapping[str, str]) -> _Question:
    """PowerShell passes the whole line, and the number of the word at the cursor."""
    words = split_words(environ["COMP_WORDS"])
    at = int(environ["COMP_CWORD"])
    return _Question(words[1:at], words[at] if at < len(words) else "")


def _whole_word(words: list[str], begun: str) -> _Question:
    """Return the question of a shell that replaces the whole word, with the option in it."""
    option, separator, _ = begun.partition("=")
    return _Question(words, begun, f"{option}=" if begun.startswith("-") and separator else "")


def _unquoted(word: str) -> str:
    return (split_words(word) or [""])[0]


def split_words(text: str) -> list[str]:
    """Split *text* like a shell; a quote that is still open ends with the text."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    return words


_QUESTIONS: Mapping[str, Callable[[Mapping[str, str]], _Question]] = {
    "bash": _of_bash,
    "zsh": _of_zsh,
    "fish": _of_fish,
    "powershell": _of_powershell,
}
