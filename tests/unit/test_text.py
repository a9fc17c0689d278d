"""Show names so that a terminal executes nothing in them, and a shell reads them back unchanged."""

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
from obsup.local.platform.paths import quote_word
from obsup.model import Target
from obsup.text import (
    one_line,
    quoted,
    shell_line,
    shell_word,
    shielded,
    without_password,
    without_url_secrets,
)

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
# Any word of a command line: bytes without NUL.
WORDS = st.lists(st.binary(max_size=12).map(lambda one: os.fsdecode(one.replace(b"\0", b""))), max_size=8)


def read_back(line: str) -> list[bytes]:
    """Return the words that bash reads from *line*, in the C locale."""
    script = f"set -- {line}\nfor word; do printf '%s\\0' \"$word\"; done"
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    return done.stdout.split(b"\0")[:-1]


def test_bash_reads_back_every_awkward_word() -> None:
    """The same bytes, even in a locale without UTF-8."""
    line = shell_line(AWKWARD)
    assert line.isprintable()
    assert read_back(line) == [os.fsencode(one) for one in AWKWARD]


@settings(suppress_health_check=list(HealthCheck))
@given(WORDS)
def test_bash_reads_back_any_word(words: list[str]) -> None:
    line = shell_line(words)
    assert line.isprintable()
    assert read_back(line) == [os.fsencode(one) for one in words]


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S")) | st.just(" ")))
def test_printable_words_are_quoted_for_every_posix_shell(word: str) -> None:
    """``$'…'`` is used only if nothing else works."""
    assert shlex.split(shell_word(word)) == [word]


@pytest.mark.parametrize("name", AWKWARD)
def test_names_in_sentences_are_harmless_and_not_empty(name: str) -> None:
    for shown in (quoted(name), str(Target("obs", "https://e", "bucket", name)), one_line(name)):
        assert shown.isprintable()
    assert quoted(name)
    assert quoted("é/plain+%.txt") == "é/plain+%.txt"


@pytest.mark.parametrize("name", AWKWARD)
def test_shielded_text_has_no_control_characters_but_line_breaks_and_tabs(name: str) -> None:
    assert shielded(f"one {name}\ttwo\n").replace("\n", "").replace("\t", "").isprintable()


def test_printf_reads_back_a_column() -> None:
    """``printf '%b'`` returns the key."""
    key = "a\nb\tc\\d\x7fe\x1b\u202e"
    done = subprocess.run(
        ["bash", "-c", 'printf "%b" "$1"', "-", one_line(key)], capture_output=True, check=True
    )
    assert done.stdout == key.encode()


@pytest.mark.parametrize("key", [one for one in AWKWARD if one])
def test_the_next_command_of_an_error_is_the_failed_one(key: str) -> None:
    """The key is complete in the text and in ``resumeCommand``."""
    words = ["obsup", "upload", "file", f"bucket/{key}", "--parts", "3"]
    resume = ResumeCommand(tuple(words))
    error = NotFinished("it failed", "The connection was reset")
    shown = error_lines(error, resume=resume).partition("Run the same command again: ")[2]
    fields = failure_fields(error, command="upload", resume=resume)
    assert shown == fields["resumeCommand"]
    assert read_back(shown) == [os.fsencode(one) for one in words]


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://user:s3cret@proxy:3128", "http://user:***@proxy:3128"),
        ("user:s3cret@proxy:3128", "user:***@proxy:3128"),
        ("//user:s3cret@proxy:3128", "//user:***@proxy:3128"),
        ("http:user:s3cret@proxy", "http:***@proxy"),
        ("http://user:s3c:r@et@proxy", "http://user:***@proxy"),
        ("http://user@proxy:3128", "http://user@proxy:3128"),
        ("proxy:3128", "proxy:3128"),
    ],
)
def test_the_password_of_a_proxy_is_hidden(proxy: str, shown: str) -> None:
    """Also in what is no URL."""
    assert without_password(proxy) == shown


@pytest.mark.parametrize(
    ("word", "quoted_for_both"),
    [
        ("plain", "plain"),
        ("C:\\dumps\\db.dump", "C:\\dumps\\db.dump"),
        ("", '""'),
        ("two words", '"two words"'),
        ("C:\\my dumps\\", '"C:\\my dumps\\\\"'),
        ("it's", '"it\'s"'),
        ("a;b|c&d>e^f!(g),#h@i{}", '"a;b|c&d>e^f!(g),#h@i{}"'),
        ("100%", '"100%"'),
    ],
)
def test_most_words_are_quoted_alike_for_both_shells_of_windows(word: str, quoted_for_both: str) -> None:
    """Backslashes separate names; they are doubled only before the closing quotation mark."""
    assert quote_word(word, windows=True, powershell=True) == quoted_for_both
    assert quote_word(word, windows=True, powershell=False) == quoted_for_both


@pytest.mark.parametrize(
    ("word", "in_cmd", "in_powershell"),
    [
        ("$HOME's", '"$HOME\'s"', "'$HOME''s'"),
        ("a`b", '"a`b"', "'a`b'"),
        ("say “hi”", '"say “hi”"', "'say “hi”'"),
        ('a"b', '"a\\"b"', "'a\\\"b'"),
    ],
)
def test_other_words_are_quoted_for_the_shell(word: str, in_cmd: str, in_powershell: str) -> None:
    """PowerShell replaces variables within double quotes, and takes typographic quotes for quotes."""
    assert quote_word(word, windows=True, powershell=False) == in_cmd
    assert quote_word(word, windows=True, powershell=True) == in_powershell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/key?X-Amz-Security-Token=a%2Fb: no", "https://host/key?X-Amz-Security-Token=***: no"),
        ("https:/user:word@host/key?a=b", "https:/***@host/key?a=b"),
        ("'host/a key?token=a&X-Amz-Signature=b'", "'host/a key?token=***&X-Amz-Signature=***'"),
        ("host/key?OSSAccessKeyId=a&Signature=b", "host/key?OSSAccessKeyId=a&Signature=***"),
        ("host/key?sv=1&sig=b, and report?token=c", "host/key?sv=1&sig=***, and report?token=c"),
        ("reports/one?token=7&key=8.csv", "reports/one?token=7&key=8.csv"),
    ],
)
def test_only_urls_are_shown_without_secrets(text: str, shown: str) -> None:
    """A URL has a scheme, or it is signed: the name of a file may have a question mark."""
    assert without_url_secrets(text) == shown
