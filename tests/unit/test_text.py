"""Names as they are shown: no terminal obeys them, and a shell reads them back as they were."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obsup.cli.report.fields import failure_fields
from obsup.cli.report.next_command import ResumeCommand
from obsup.cli.report.output import error_lines
from obsup.errors import NotFinished
from obsup.model import Target
from obsup.text import one_line, quoted, shell_line, shell_word, shielded

AWKWARD = (
    "plain",
    "",
    "two words",
    "it's",
    "$HOME`id`$(id)\\",
    "é 对象 🚀",
    "line\nbreak\r\n",
    "\x1b[2J\x07\x7f\x9b",
    "\x1b7followed by digits",
    "it's\x1b'quoted'",
    "left\u202eright\u2066\u200b\ufeff",
    "\ufffe\uffff\ue000",
    os.fsdecode(b"\xff\xfe not UTF-8 \xc3"),
    "-",
    "~",
    "*?[a]{b,c}",
    "a;b|c&d>e#f!",
)
# Whatever a word of a command line can be: bytes without NUL.
WORDS = st.lists(st.binary(max_size=12).map(lambda one: os.fsdecode(one.replace(b"\0", b""))), max_size=8)


def read_back(line: str) -> list[bytes]:
    """Return the words that bash makes of *line*, in the plainest of locales."""
    script = f"set -- {line}\nfor word; do printf '%s\\0' \"$word\"; done"
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    return done.stdout.split(b"\0")[:-1]


def test_bash_reads_back_every_awkward_word() -> None:
    """Byte for byte, also where the locale knows no UTF-8."""
    line = shell_line(AWKWARD)
    assert line.isprintable()
    assert read_back(line) == [os.fsencode(one) for one in AWKWARD]


@settings(suppress_health_check=list(HealthCheck))
@given(WORDS)
def test_bash_reads_back_whatever_a_word_can_be(words: list[str]) -> None:
    line = shell_line(words)
    assert line.isprintable()
    assert read_back(line) == [os.fsencode(one) for one in words]


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S")) | st.just(" ")))
def test_what_is_printable_is_quoted_as_every_posix_shell_reads_it(word: str) -> None:
    """``$'…'`` stands only where nothing else can."""
    assert shlex.split(shell_word(word)) == [word]


@pytest.mark.parametrize("name", AWKWARD)
def test_names_in_sentences_are_harmless_and_not_empty(name: str) -> None:
    for shown in (quoted(name), str(Target("obs", "https://e", "bucket", name)), one_line(name)):
        assert shown.isprintable()
    assert quoted(name)
    assert quoted("é/plain+%.txt") == "é/plain+%.txt"


@pytest.mark.parametrize("name", AWKWARD)
def test_a_terminal_obeys_nothing_but_ends_of_lines(name: str) -> None:
    assert shielded(f"one {name}\ttwo\n").replace("\n", "").replace("\t", "").isprintable()


def test_a_column_is_what_printf_reads() -> None:
    """``printf '%b'`` gives the key back."""
    key = "a\nb\tc\\d\x7fe\x1b\u202e"
    done = subprocess.run(
        ["bash", "-c", 'printf "%b" "$1"', "-", one_line(key)], capture_output=True, check=True
    )
    assert done.stdout == key.encode()


@pytest.mark.parametrize("key", [one for one in AWKWARD if one])
def test_the_next_command_of_an_error_is_the_one_that_failed(key: str) -> None:
    """Nothing of the key is dropped, in the text and in ``resumeCommand``."""
    words = ["obsup", "upload", "file", f"bucket/{key}", "--parts", "3"]
    resume = ResumeCommand(tuple(words))
    error = NotFinished("it failed", "the line broke")
    told = error_lines(error, resume=resume).partition("Run the same command again: ")[2]
    fields = failure_fields(error, command="upload", resume=resume)
    assert told == fields["resumeCommand"]
    assert read_back(told) == [os.fsencode(one) for one in words]
