"""Types of command-line values that Click does not have: SIZE, DURATION, RATE, NAME=VALUE."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obsup.rate import parse_rate
from obsup.shard import parse_shard
from obsup.text import utf8_name
from obsup.units import parse_duration, parse_size

if TYPE_CHECKING:
    AnyType = click.ParamType[Any]
    TextType = click.ParamType[str]
else:  # Click before 8.4 has no generic types.
    AnyType = TextType = click.ParamType


class Parsed(AnyType):
    """A value that *parse* converts from text; *name*, in upper case, is its metavar.

    A number of a configuration file is parsed, too. A value of another type is converted already.
    """

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value. Fails with a message that shows valid values."""
        if not isinstance(value, str | int | float):
            return value
        try:
            return self._parse(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class Pairs(Parsed):
    """``NAME=VALUE``, as a tuple of both, stripped. An environment variable has several, as words of a shell."""

    def __init__(self, name: str, separator: str = "=") -> None:
        super().__init__(name, self._split)
        self._separator = separator

    def _split(self, text: str) -> tuple[str, str]:
        name, separator, rest = text.partition(self._separator)
        if not separator or not name.strip():
            raise ValueError(f"{text!r} is not of the form {self.name}")
        return name.strip(), rest.strip()

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the values in an environment variable."""
        try:
            return shlex.split(rv)
        except ValueError:
            return rv.split()


class Headers(Pairs):
    """``NAME: VALUE``. As headers contain spaces, an environment variable has one per line."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the values in an environment variable."""
        return [line for line in rv.splitlines() if line.strip()]


class Word(TextType):
    """A text. *completion* names what completes it; *is_key*: its bytes are UTF-8 in every locale."""

    def __init__(self, name: str, completion: str = "", *, is_key: bool = False) -> None:
        self.name = name
        self.completion = completion
        self._is_key = is_key

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. An empty argument is an error: an unset variable must not mean another source."""
        if value == "" and isinstance(param, click.Argument):
            self.fail("it is empty", param, ctx)
        return utf8_name(value) if self._is_key else str(value)


def _parse_byte_range(text: str) -> tuple[int, int]:
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not (_is_number(first) and _is_number(last)) or int(first) > int(last):
        raise ValueError(f"{text!r} is not a range: write the first and the last byte, for example 0-1048575")
    return int(first), int(last)


def _parse_part_etag(text: str) -> tuple[int, str]:
    number, _, etag = text.partition(":")
    if not _is_number(number) or not etag.strip('" '):
        raise ValueError(f"{text!r} is not of the form N:ETAG")
    return int(number), etag.strip('" ')


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


class Jobs(click.IntRange):
    """A number of parts in flight, or ``auto``."""

    name = "number or 'auto'"  # of the message for another value

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the metavar."""
        return "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or ``auto``."""
        return value if value == "auto" else super().convert(value, param, ctx)


def too_long(path: str) -> str:
    """Return what to print if *path* is too long for this system, otherwise an empty text."""
    try:
        os.lstat(path)
    except OSError as exc:
        return f"{path[:40]}…: {exc.strerror}" if exc.errno == errno.ENAMETOOLONG else ""
    return ""


class NonEmptyPath(click.Path):
    """A path. An empty one is an error: ``Path("")`` would be the current directory; so is one that is too long."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        fault = too_long(str(value))
        if fault:
            self.fail(fault, param, ctx)
        return super().convert(value, param, ctx)


# What cannot be opened is reported, with its exit code, by what opens it.
FILE = NonEmptyPath(path_type=Path, readable=False)
FOLDER = NonEmptyPath(path_type=Path, file_okay=False)
JOBS = Jobs(1, 10_000)
SIZE = Parsed("size", parse_size)
RATE = Parsed("rate", parse_rate)
SHARD = Parsed("shard", parse_shard)
DURATION = Parsed("duration", parse_duration)
KEY_VALUE = Pairs("K=V")
GRANT = Pairs("PERMISSION=ID")
HEADER = Headers("'NAME: VALUE'", ":")
BYTE_RANGE = Parsed("first-last", _parse_byte_range)
PART_ETAG = Parsed("n:etag", _parse_part_etag)
# Also a suggestion is only a word: other values are valid, too.
WORD = Word("text")
SOURCES = Word("path", "sources")
SOURCE_OR_TARGET = Word("text", "source-or-target")
TARGET = Word("text", "target", is_key=True)
PREFIX = Word("text", "prefix", is_key=True)
