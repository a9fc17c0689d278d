"""Frozen, slotted dataclasses that cost little to define: what every value of the house is.

``dataclass(frozen=True, slots=True)`` writes out and compiles six methods a class. With CPython 3.11 that is half a
millisecond, and with the seventy classes of an upload a fifth of the time that a small one takes. Here it compiles one,
and only for a class that has more than a few values; the others are the same for all. That one is ours: the standard
library's sets each field through __setattr__, and here that is a call of Python's own, of which a small file would take
two hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

# So many values of a class are made without an __init__ of its own.
FEW = 2


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make *cls* what ``dataclass(frozen=True, slots=True)`` makes it, but for methods that it has itself."""
    return _freeze(dataclass(init=False, repr=False, eq=False, slots=True)(cls), own=cls.__dict__)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen_by_name(cls: type[T]) -> type[T]:
    """Make *cls* the same, but that all of its fields are given by name."""
    return _freeze(
        dataclass(init=False, repr=False, eq=False, slots=True, kw_only=True)(cls), own=cls.__dict__
    )


def _freeze(made: type[T], *, own: Mapping[str, object]) -> type[T]:
    for name in (
        "__setattr__",
        "__delattr__",
        "__repr__",
        "__eq__",
        "__hash__",
        "__getstate__",
        "__setstate__",
    ):
        if name not in own:
            setattr(made, name, vars(_Methods)[name])
    made.__init__ = _first_initializer(made)  # type: ignore[method-assign]
    return made


def _first_initializer(made: type[Any]) -> Any:
    """Return an __init__ that sets the fields of the first values one by one, and then has one written.

    Most classes have few values in a run, or none: for these, what is compiled takes longer than it saves.
    """
    left = FEW

    def initialize(self: Any, *given: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0 or not _set_fields(made, self, given, named):
            made.__init__ = _initializer(made)
            made.__init__(self, *given, **named)

    return initialize


def _set_fields(made: type[Any], value: Any, given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Set the fields of *value*; return whether what is given fits them. What does not, a written __init__ says."""
    known = fields(made)
    names = [one.name for one in known if not one.kw_only]
    found = {**dict(zip(names, given, strict=False)), **named}
    if len(found) < len(given) + len(named):
        return False
    for one in known:
        if one.name in found:
            continue
        if one.default is not MISSING:
            found[one.name] = one.default
        elif one.default_factory is not MISSING:
            found[one.name] = one.default_factory()
        else:
            return False
    if len(found) > len(known):
        return False
    for one in known:
        object.__setattr__(value, one.name, found[one.name])
    if hasattr(made, "__post_init__"):
        value.__post_init__()
    return True


def _initializer(made: type[Any]) -> Any:
    """Return the __init__ of *made*: its fields in their order, with their defaults, set where nothing looks."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_new": MISSING}
    given: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for one in fields(made):
        word, value = one.name, one.name
        if one.default is not MISSING:
            known[f"_default_{one.name}"] = one.default
            word += f"=_default_{one.name}"
        elif one.default_factory is not MISSING:
            known[f"_make_{one.name}"] = one.default_factory
            word += "=_new"
            value = f"_make_{one.name}() if {one.name} is _new else {one.name}"
        (by_name if one.kw_only else given).append(word)
        lines.append(f"\n _set(self, {one.name!r}, {value})")
    if hasattr(made, "__post_init__"):
        lines.append("\n self.__post_init__()")
    words = ["self", *given, *(["*", *by_name] if by_name else [])]
    exec(f"def __init__({', '.join(words)}):{''.join(lines) or ' pass'}", known)
    known["__init__"].__qualname__ = f"{made.__qualname__}.__init__"
    return known["__init__"]


class _Methods:
    """The methods that all frozen classes share."""

    def __setattr__(self, name: str, _to: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __getstate__(self) -> tuple[object, ...]:
        return tuple(getattr(self, one.name) for one in _fields(self))

    def __setstate__(self, state: tuple[object, ...]) -> None:
        for one, value in zip(_fields(self), state, strict=True):
            object.__setattr__(self, one.name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        values = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in _fields(self) if one.repr)
        return f"{type(self).__qualname__}({values})"

    def __eq__(self, other: object) -> bool:
        return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(_compared(self))


def _fields(one: Any) -> Any:
    return fields(one)


def _compared(one: Any) -> object:
    kind: Any = type(one)
    return _getter(kind)(one)


@cache
def _getter(kind: Any) -> Callable[[Any], object]:
    """Return what gets the fields of a *kind* that are compared."""
    names = [one.name for one in fields(kind) if one.compare]
    return attrgetter(*names) if names else lambda _one: ()
