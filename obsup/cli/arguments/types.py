"""Words on the command line that Click does not know: SIZE, DURATION, RATE, NAME=VALUE."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import click

from obsup.units import parse_duration, parse_rate, parse_size


class Measure(click.ParamType[float]):
    """A quantity with a unit, which *parse* turns into a number."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the word of the contract."""
        return self.name.upper()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; a wrong word ends with what would be right."""
        if isinstance(value, int | float):
            return value
        try:
            return self._parse(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``, as a tuple."""

    def __init__(self, name: str, separator: str = "=") -> None:
        self.name = name
        self._separator = separator

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the form to write."""
        return self.name

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the values in an environment variable: words as a shell has them; headers, with blanks, by line."""
        if self._separator == ":":
            return [line for line in rv.splitlines() if line.strip()]
        try:
            return shlex.split(rv)
        except ValueError:
            return rv.split()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (name, value), each without white space at its ends."""
        if isinstance(value, tuple):
            return value
        name, separator, rest = str(value).partition(self._separator)
        if not separator or not name.strip():
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return name.strip(), rest.strip()


class Range(click.ParamType[tuple[int, int]]):
    """``FIRST-LAST``, bytes, inclusive, as a tuple."""

    name = "first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (first, last)."""
        if isinstance(value, tuple):
            return value
        first, _, last = str(value).removeprefix("bytes=").partition("-")
        if not (_is_number(first) and _is_number(last)) or int(first) > int(last):
            self.fail(f"{value!r} is no range: write the first and the last byte, as 0-1048575", param, ctx)
        return int(first), int(last)


class PartEtag(click.ParamType[tuple[int, str]]):
    """``N:ETAG``, as a tuple."""

    name = "n:etag"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return (part number, bare ETag)."""
        if isinstance(value, tuple):
            return value
        number, _, etag = str(value).partition(":")
        if not _is_number(number) or not etag.strip('" '):
            self.fail(f"{value!r} is not of the form N:ETAG", param, ctx)
        return int(number), etag.strip('" ')


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


class Jobs(click.IntRange):
    """A number of parts at once, or ``auto``."""

    name = "jobs"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the words of the contract."""
        return "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or ``auto``."""
        return value if value == "auto" else super().convert(value, param, ctx)


JOBS = Jobs(1, 1000)
SIZE = Measure("size", parse_size)
RATE = Measure("rate", parse_rate)
DURATION = Measure("duration", parse_duration)
KEY_VALUE = Pair("K=V")
GRANT = Pair("PERMISSION=ID")
HEADER = Pair("'NAME: VALUE'", ":")
RANGE = Range()
PART_ETAG = PartEtag()
