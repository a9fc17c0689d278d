"""The kinds of values that options take, and the check of such a value in the configuration file.

The command line converts its own words; here a TOML value is checked, so that the error can name the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from obsup.rate import parse_rate
from obsup.shard import parse_shard
from obsup.units import parse_duration, parse_size
from obsup.vendor_names import CREDENTIAL_CHAINS, METADATA_SERVICES

OptionValue = str | int | float | bool | tuple[str, ...]


class Kind(NamedTuple):
    """A kind of value.

    ``wanted`` completes the message "It takes …", ``accepts`` checks a value as TOML returns it, and ``sample`` is a
    valid one, as TOML spells it. ``choices`` are the only valid words, ``suggestions`` those that a shell completes.
    ``minimum`` and ``maximum`` limit a number. ``is_list``: the option is repeatable, and its key takes a list.
    ``may_be_empty``: an empty text means something; an empty environment variable always counts as not set.
    """

    name: str
    wanted: str
    accepts: Callable[[object], bool]
    sample: str
    choices: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    is_list: bool = False
    may_be_empty: bool = False

    @property
    def is_path(self) -> bool:
        """Whether ``~`` and ``$NAME`` are expanded in values of the environment and of the configuration file."""
        return self.name in ("file", "folder", "text-file")


def _is_text(value: object) -> bool:
    # A command line and the environment cannot contain NUL either, and no path can.
    return isinstance(value, str) and "\0" not in value


def _is_filled_text(value: object) -> bool:
    return _is_text(value) and value != ""


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parses_as(parse: Callable[[str], object]) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        if not (isinstance(value, str) or _is_number(value)):
            return False
        try:
            parse(str(value))
        except ValueError:
            return False
        return True

    return accepts


def text(name: str = "text", *, suggestions: tuple[str, ...] = ()) -> Kind:
    """Return a kind of text; *name* tells the command line how to convert or complete it."""
    return Kind(
        name, "text in quotes, not empty, without NUL", _is_filled_text, '"…"', suggestions=suggestions
    )


def choice(*words: str) -> Kind:
    """Return the kind that takes one of *words*."""
    return Kind(
        "choice", "one of " + ", ".join(words), lambda value: value in words, f'"{words[0]}"', choices=words
    )


def number(minimum: int | None = None, maximum: int | None = None) -> Kind:
    """Return a kind of whole number from *minimum* to *maximum*, both inclusive."""
    return Kind("number", "a whole number", _is_number, "5", minimum=minimum, maximum=maximum)


def texts(name: str, sample: str) -> Kind:
    """Return a kind of repeatable text."""

    def accepts(value: object) -> bool:
        return isinstance(value, list) and all(map(_is_filled_text, value))

    return Kind(name, 'a list of texts such as ["K=V"]', accepts, f'["{sample}"]', is_list=True)


TEXT = text()
ANY_TEXT = Kind("any-text", "text in quotes without NUL", _is_text, '"…"', may_be_empty=True)
FLAG = Kind("flag", "true or false", lambda value: isinstance(value, bool), "true")
NUMBER = number()
JOBS = Kind(
    "jobs", 'a whole number or "auto"', lambda value: value == "auto" or _is_number(value), "5", minimum=1
)
METADATA_SERVICE = choice(*METADATA_SERVICES)
CREDENTIAL_CHAIN = choice(*CREDENTIAL_CHAINS)
SIZE = Kind("size", 'a size such as "16M" or 16777216', _parses_as(parse_size), '"16M"')
RATE = Kind("rate", 'a size per second such as "10M", or a timetable', _parses_as(parse_rate), '"10M"')
DURATION = Kind("duration", 'a duration such as "15m" or 900 (seconds)', _parses_as(parse_duration), '"7h"')
FILE = text("file")
FOLDER = text("folder")
UPLOAD_ID = text("upload-id")._replace(may_be_empty=True)
SHARD = Kind("shard", 'a share of the files such as "1/4"', _parses_as(parse_shard), '"1/4"')
PROFILE = text("profile")
TEXT_FILE = text("text-file")
BYTE_RANGE = text("byte-range")
KEY_VALUES = texts("key-values", "K=V")
GRANTS = texts("grants", "PERMISSION=ID")
HEADERS = texts("headers", "NAME: VALUE")
PATTERNS = texts("patterns", "*.tmp")
WORDS = texts("words", "…")
PART_ETAGS = texts("part-etags", "1:…")
