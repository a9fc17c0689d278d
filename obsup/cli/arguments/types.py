"""Types of command-line values that Click does not have: SIZE, DURATION, RATE, NAME=VALUE."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obsup.rate import Rate, parse_rate
from obsup.shard import Shard, parse_shard
from obsup.units import parse_duration, parse_size

if TYPE_CHECKING:
    NumberType = click.ParamType[float]
    TextType = click.ParamType[str]
    PairType = click.ParamType[tuple[str, str]]
    RangeType = click.ParamType[tuple[int, int]]
    PartEtagType = click.ParamType[tuple[int, str]]
else:  # Click before 8.4 has no generic types.
    NumberType = TextType = PairType = RangeType = PartEtagType = click.ParamType


class Measure(NumberType):
    """A quantity with a unit, which *parse* converts. A number of a configuration file is parsed, too."""

    def __init__(self, name: str, parse: Callable[[str], float | Rate | Shard]) -> None:
        self.name = name
        self._parse = parse

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the metavar: SIZE, RATE or DURATION."""
        return self.name.upper()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the quantity. Fails with a message that shows valid values."""
        if isinstance(value, Rate | Shard):
            return value
        try:
            return self._parse(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class Pair(PairType):
    """``NAME=VALUE``, as a tuple."""

    def __init__(self, name: str, separator: str = "=") -> None:
        self.name = name
        self._separator = separator

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the form of a value."""
        return self.name

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split an environment variable into values: headers, which contain spaces, by line; others as a shell does."""
        if self._separator == ":":
            return [line for line in rv.splitlines() if line.strip()]
        try:
            return shlex.split(rv)
        except ValueError:
            return rv.split()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (name, value), both stripped."""
        if isinstance(value, tuple):
            return value
        name, separator, rest = str(value).partition(self._separator)
        if not separator or not name.strip():
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return name.strip(), rest.strip()


class ByteRange(RangeType):
    """``FIRST-LAST``, bytes, both inclusive, as a tuple."""

    name = "first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (first, last)."""
        if isinstance(value, tuple):
            return value
        first, _, last = str(value).removeprefix("bytes=").partition("-")
        if not (_is_number(first) and _is_number(last)) or int(first) > int(last):
            message = f"{value!r} is not a range: write the first and the last byte, for example 0-1048575"
            self.fail(message, param, ctx)
        return int(first), int(last)


class PartEtag(PartEtagType):
    """``N:ETAG``, as a tuple."""

    name = "n:etag"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (part number, ETag without quotes)."""
        if isinstance(value, tuple):
            return value
        number, _, etag = str(value).partition(":")
        if not _is_number(number) or not etag.strip('" '):
            self.fail(f"{value!r} is not of the form N:ETAG", param, ctx)
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
SIZE = Measure("size", parse_size)
RATE = Measure("rate", parse_rate)
SHARD = Measure("shard", parse_shard)
DURATION = Measure("duration", parse_duration)
KEY_VALUE = Pair("K=V")
GRANT = Pair("PERMISSION=ID")
HEADER = Pair("'NAME: VALUE'", ":")
BYTE_RANGE = ByteRange()
PART_ETAG = PartEtag()
