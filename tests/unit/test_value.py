"""Values are immutable, compared by their fields, and never show or pickle secrets."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import force_setattr, replace

import obsup
from obsup.value import Value


class Plain(Value):
    """A value with a hidden field and defaults."""

    _hidden = ("secret",)

    name: str
    secret: str = ""
    sizes: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """The sum of the sizes."""
        return sum(self.sizes)


class Wider(Plain, kw_only=True):
    """A subclass with keyword-only fields."""

    extra: int
    word: str = "w"


class CustomMethods(Value):
    """A value that defines its own methods."""

    name: str

    def __repr__(self) -> str:
        return "own"

    def __reduce__(self) -> Any:
        raise TypeError("never pickled")


class Checked(Value):
    """A value that checks and normalises its fields."""

    name: str
    seen: list[str] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("no name")
        force_setattr(self, "name", self.name.lower())


def test_a_value_is_immutable() -> None:
    """Fields cannot be set or deleted, and there are no other attributes."""
    one = Plain("a", sizes=(1, 2))
    with pytest.raises(AttributeError):
        one.name = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del one.name
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]
    assert one.total == 3
    assert not hasattr(one, "__dict__")


def test_values_compare_and_hash_by_their_fields() -> None:
    """Values of different classes are never equal."""
    assert Plain("a", "s") == Plain("a", secret="s")
    assert len({Plain("a"), Plain("a"), Plain("a", "s"), Plain("b")}) == 3
    others: list[object] = [Plain("a", "s"), Wider("a", extra=1), ("a", "", ()), "a", None]
    assert all(Plain("a") != one for one in others)


def test_repr_omits_hidden_fields() -> None:
    """Subclasses inherit the hidden fields."""
    assert repr(Plain("a", "s3cret", (1,))) == "Plain(name='a', sizes=(1,))"
    assert repr(Wider("a", "s3cret", extra=1)) == "Wider(name='a', sizes=(), extra=1, word='w')"
    assert "s3cret" not in f"{Plain('a', 's3cret')} {Plain('a', 's3cret').__rich_repr__()}"


def test_values_can_be_pickled_copied_and_replaced() -> None:
    """Pickles go to other machines."""
    for one in (Plain("a", "s", (1, 2)), Wider("a", extra=9)):
        assert pickle.loads(pickle.dumps(one)) == one
        assert copy.deepcopy(one) == one
        assert replace(one, name="b").name == "b"
        assert replace(one, name="a") == one
    with pytest.raises(AttributeError):
        pickle.loads(pickle.dumps(Plain("a"))).name = "b"


def test_methods_of_a_subclass_win() -> None:
    """A value can refuse to be pickled."""
    assert repr(CustomMethods("a")) == "own"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(CustomMethods("a"), protocol)


def test_post_init_runs_and_defaults_are_not_shared() -> None:
    """Each value gets a new list."""
    assert Checked("A").name == "a"
    assert Checked("a").seen is not Checked("a").seen
    with pytest.raises(ValueError, match="no name"):
        Checked("")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {}),
        ((), {"extra": 1}),
        (("a", "", (), 1), {}),
        (("a",), {"name": "b", "extra": 1}),
        (("a",), {"other": 1}),
    ],
)
def test_wrong_arguments_are_rejected(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """As with any function."""
    with pytest.raises(TypeError):
        Wider(*given, **named)


def subclasses(of: type[Value]) -> Iterator[type[Value]]:
    """Yield all classes below *of* that obsup defines."""
    for one in of.__subclasses__():
        if one.__module__.startswith("obsup."):
            yield one
        yield from subclasses(one)


def test_hidden_fields_exist() -> None:
    """A misspelled field would be shown; a subclass must not show what its base class hides."""
    for module in pkgutil.walk_packages(obsup.__path__, "obsup."):
        if not module.name.endswith(("__main__", ".windows_api")):
            importlib.import_module(module.name)
    found = list(subclasses(Value))
    assert len(found) > 50
    for one in found:
        assert set(one._hidden) <= set(one.__struct_fields__), one
        assert all(
            set(base._hidden) <= set(one._hidden) for base in one.__mro__ if issubclass(base, Value)
        ), one
