"""Check and convert the values of keywords before anything is sent. The table of options has the kind of each."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, ValidationError, convert
from msgspec.structs import asdict

from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import NextStep, WrongUsage
from obsup.local.source.expectation import Expectation
from obsup.model import Credentials, ObjectOptions
from obsup.options.kinds import Kind
from obsup.options.row import OptionRow
from obsup.options.table import GROUPS, OBJECT_OPTIONS, unique_values
from obsup.rate import constant_rate, parse_rate
from obsup.units import parse_duration, parse_size

# Keywords that are not options: the type of each, None for a function.
_OBJECTS: Mapping[str, type | None] = {
    "connecting": ConnectOptions,
    "copy_source_sse_c_key": bytes,
    "credentials": Credentials,
    "expect": Expectation,
    "observer": None,
    "options": ObjectOptions,
    "progress": None,
    "sse_c_key": bytes,
    "stop": StopSignal,
}
# Arguments of single functions, other than options.
_ARGUMENTS: Mapping[str, tuple[type, str]] = {
    "close": (bool, "True or False"),
    "is_file": (bool, "True or False"),
    "upload_id": (str, "a text"),
    "version_id": (str, "a text"),
}
# Parameters of the option table that have another name as a keyword.
_RENAMED = {"config_path": "config", "request_headers": "headers"}


def keyword_of(row: OptionRow) -> str:
    """Return the keyword of an option."""
    return _RENAMED.get(row.parameter, row.parameter)


# The row of each keyword. That of upload comes last, so that it counts.
_ROWS: dict[str, OptionRow] = {
    keyword_of(row): row
    for row in sorted((row for _, rows in GROUPS for row in rows), key=lambda row: "upload" in row.commands)
}


def option_values(given: Mapping[str, Any], function: str, allowed: Iterable[str]) -> dict[str, Any]:
    """Return the values of the keywords of *function*, converted; None is left out, as if it were not given.

    Raises TypeError for a keyword that *function* does not have, WrongUsage for a value of a wrong type.
    """
    for name in given.keys() - set(allowed):
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    return {name: option_value(name, value) for name, value in given.items() if value is not None}


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raise WrongUsage if an argument other than an option has a wrong type."""
    for name, value in given.items():
        if name in _ARGUMENTS and value is not None:
            wanted, text = _ARGUMENTS[name]
            checked(name, value, wanted, text=text)


def option_value(name: str, value: Any) -> Any:
    """Return the *value* of the keyword *name*, converted. Raises WrongUsage."""
    if name not in _OBJECTS:
        _check_filled(name, _ROWS[name].kind, value)
        return _CONVERTERS.get(_ROWS[name].kind.name, _text)(name, _ROWS[name].kind, value)
    if isinstance(value, ObjectOptions):
        for row in OBJECT_OPTIONS:
            _check_filled(keyword_of(row), row.kind, getattr(value, row.parameter))
    wanted = _OBJECTS[name]
    if wanted is None:
        if not callable(value):
            raise wrong_type(name, "a function", value)
    elif not isinstance(value, wanted):
        raise wrong_type(name, "bytes" if wanted is bytes else f"obsup.{wanted.__name__}", value)
    return _checked_fields(name, value) if isinstance(value, Struct) else value


def _checked_fields(name: str, value: Struct) -> Struct:
    """Return *value* with lists as tuples and paths as texts. Raises WrongUsage for a field of a wrong type."""
    fields = {
        field: os.fspath(one) if isinstance(one, os.PathLike) else one for field, one in asdict(value).items()
    }
    try:
        return convert(fields, type(value))
    except ValidationError as exc:
        problem, _, place = str(exc).partition(" - at ")
        raise WrongUsage(
            f"{name}{place.strip('`$')} has a wrong type",
            f"{problem.replace('`', '').replace('null', 'None')}; nothing was sent",
            NextStep("Pass a value of that type"),
        ) from exc


def _check_filled(name: str, kind: Kind, value: object) -> None:
    """Raise WrongUsage for an empty text that has no meaning."""
    if value == "" and not (kind.may_be_empty or kind.is_path):
        raise WrongUsage(
            f"{name} is empty", "An empty text has no meaning here", NextStep("Pass a text, or None")
        )


def wrong_type(name: str, wanted: str, value: object) -> WrongUsage:
    """Return the error of the argument *name*, which must be *wanted*. A secret is not printed."""
    shown = "another value" if name.endswith("sse_c_key") else f"{value!r:.80}"
    return WrongUsage(
        f"{name} must be {wanted}, not {shown}",
        f"A value of type {type(value).__name__} was given; nothing was sent",
        NextStep(f"Pass {wanted}"),
    )


def checked(name: str, value: Any, *wanted: type, text: str) -> Any:
    """Return *value* if it is of one of the types *wanted*, which *text* describes. Raises WrongUsage."""
    if (isinstance(value, bool) and bool not in wanted) or not isinstance(value, wanted):
        raise wrong_type(name, text, value)
    return value


def _text(name: str, _kind: Kind, value: Any) -> Any:
    return checked(name, value, str, text="a text")


def _flag(name: str, _kind: Kind, value: Any) -> Any:
    return checked(name, value, bool, text="True or False")


def _number(name: str, kind: Kind, value: Any) -> Any:
    wanted = 'a whole number or "auto"' if kind.name == "jobs" else "a whole number"
    if kind.name == "jobs" and value == "auto":
        return value
    if checked(name, value, int, text=wanted) < (kind.minimum or 0) or value > (kind.maximum or value):
        limits = f"from {kind.minimum or 0}" + (f" to {kind.maximum}" if kind.maximum else "")
        raise wrong_type(name, f"{wanted} {limits}", value)
    return value


def _choice(name: str, kind: Kind, value: Any) -> Any:
    if value not in kind.choices:
        raise wrong_type(name, f"one of {', '.join(map(repr, kind.choices))}", value)
    return value


def _measure(wanted: str, parse: Callable[[str], Any], *numbers: type) -> Callable[[str, Kind, Any], Any]:
    def convert(name: str, _kind: Kind, value: Any) -> Any:
        checked(name, value, str, *numbers, text=wanted)
        try:
            return parse(str(value))
        except ValueError as exc:
            raise WrongUsage(f"{name} is not valid: {exc}", "", NextStep(f"Pass {wanted}")) from exc

    return convert


def _rate(name: str, kind: Kind, value: Any) -> Any:
    if not isinstance(value, str) and checked(name, value, int, float, text='bytes per second, or "10M"') > 0:
        if value == math.inf:
            raise wrong_type(name, "finite, or None", value)
        return constant_rate(value)
    return _measure('bytes per second, or a text such as "10M"', parse_rate, int, float)(name, kind, value)


def path_value(name: str, value: Any) -> Path:
    """Return a path. Raises WrongUsage if it is empty: ``Path("")`` would be the current directory."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise wrong_type(name, "a path (str or Path)", value)
    if "\0" in os.fspath(value):
        raise wrong_type(name, "a path without a NUL character", value)
    if not os.fspath(value):
        raise WrongUsage(
            f"the {name} is empty",
            "An empty path would mean the current directory",
            NextStep("Give the path of a file"),
        )
    return Path(value)


def _pairs(name: str, kind: Kind, value: Any) -> Any:
    """Return a dict, or for grants and headers pairs, which may repeat a name."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    is_valid = isinstance(pairs, list | tuple) and all(
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in pairs
    )
    if not is_valid:
        raise wrong_type(name, "a dict of texts", value)
    return (
        unique_values(name, pairs) if kind.name == "key-values" else tuple((key, text) for key, text in pairs)
    )


_CONVERTERS: Mapping[str, Callable[[str, Kind, Any], Any]] = {
    "choice": _choice,
    "duration": _measure('seconds, or a text such as "15m"', parse_duration, int, float),
    "file": lambda name, _kind, value: path_value(name, value),
    "flag": _flag,
    "folder": lambda name, _kind, value: path_value(name, value),
    "grants": _pairs,
    "headers": _pairs,
    "jobs": _number,
    "key-values": _pairs,
    "number": _number,
    "rate": _rate,
    "size": _measure('bytes, or a text such as "16M"', parse_size, int),
}
