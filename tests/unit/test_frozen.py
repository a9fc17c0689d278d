"""What ``frozen`` makes is what ``dataclass(frozen=True, slots=True)`` makes."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from obsup.frozen import FEW, frozen, frozen_by_name


@frozen
class Ours:
    """A value with a secret, a default, and a field that does not count."""

    name: str
    secret: str = field(default="", repr=False)
    sizes: tuple[int, ...] = ()
    seen: int = field(default=0, compare=False)

    @property
    def total(self) -> int:
        """A property."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The same, by the standard library alone."""

    name: str
    secret: str = field(default="", repr=False)
    sizes: tuple[int, ...] = ()
    seen: int = field(default=0, compare=False)


@frozen
class Wider(Ours):
    """A value that inherits."""

    extra: int = 1


@frozen
class Own:
    """A value with methods of its own."""

    name: str

    def __repr__(self) -> str:
        return "own"

    def __reduce__(self) -> Any:
        raise TypeError("never pickled")


def test_nothing_can_be_set_or_deleted() -> None:
    """Neither a field nor anything else."""
    one = Ours("a", sizes=(1, 2))
    with pytest.raises(FrozenInstanceError):
        one.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del one.name
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]
    assert one.total == 3
    assert not hasattr(one, "__dict__")


def test_it_compares_hashes_and_prints_as_the_standard_one() -> None:
    """Fields that are not to be compared or shown are not."""
    values: list[tuple[Any, ...]] = [("a",), ("a", "s"), ("a", "s", (1,)), ("a", "s", (1,), 5), ("b",)]
    for first in values:
        assert repr(Ours(*first)) == repr(Theirs(*first)).replace("Theirs", "Ours")
        for second in values:
            assert (Ours(*first) == Ours(*second)) == (Theirs(*first) == Theirs(*second))
    assert len({Ours(*one) for one in values}) == len({Theirs(*one) for one in values})
    others: list[object] = [Theirs("a"), Wider("a"), "a", None]
    assert all(Ours("a") != one for one in others)


def test_it_travels_and_can_be_replaced() -> None:
    """Pickles go to other machines."""
    for one in (Ours("a", "s", (1, 2), 3), Wider("a", extra=9)):
        assert pickle.loads(pickle.dumps(one)) == one
        assert copy.deepcopy(one) == one
        assert replace(one, name="b").name == "b"
        assert asdict(one)["name"] == "a"
    assert [one.name for one in fields(Wider)] == ["name", "secret", "sizes", "seen", "extra"]


def test_methods_of_its_own_stay() -> None:
    """What a class says of itself is not overwritten."""
    assert repr(Own("a")) == "own"
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Own("a"))


def test_wrong_arguments_are_refused() -> None:
    """As by any function."""
    with pytest.raises(TypeError, match="missing"):
        Ours()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected"):
        Ours("a", other=1)  # type: ignore[call-arg]


@frozen
class Checked:
    """A value that looks at itself, and a field that is made anew for each."""

    name: str
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("no name")


@frozen_by_name
class Named:
    """A value whose fields are given by name."""

    name: str
    size: int = 1


def test_what_its_own_init_does_is_what_the_standard_one_does() -> None:
    """Defaults are made anew, the class may look at itself, names may be asked for, and a copy is frozen too."""
    assert Checked("a").seen is not Checked("a").seen
    with pytest.raises(ValueError, match="no name"):
        Checked("")
    with pytest.raises(TypeError, match="positional"):
        Named("a")  # type: ignore[call-arg]
    assert pickle.loads(pickle.dumps(Named(name="a", size=2))) == Named(name="a", size=2)
    with pytest.raises(FrozenInstanceError):
        pickle.loads(pickle.dumps(Named(name="a"))).name = "b"


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "missing 1 required"),
    ((), {"size": 1}, "missing 1 required"),
    (("a",), {"name": "b"}, "multiple values"),
    (("a",), {"other": 1}, "unexpected keyword"),
    (("a", 1, [], "b", 2), {}, "positional"),
    (("a", 1, [], "b"), {"word": "c"}, "positional"),
]


def fresh(before: int) -> Any:
    """Return a class with every kind of field, of which there are so many values already."""

    @frozen
    class Fresh:
        """A value."""

        name: str
        size: int = 1
        seen: list[str] = field(default_factory=list)
        word: str = field(default="w", kw_only=True)

    for number in range(before):
        Fresh(str(number))
    return Fresh


@pytest.mark.parametrize("before", range(FEW + 2))
def test_the_first_values_are_made_as_the_later_ones(before: int) -> None:
    """An __init__ is written for a class once it has a few: nobody sees the difference."""
    whole = fresh(before)("a", 2, ["b"], word="c")
    assert (whole.name, whole.size, whole.seen, whole.word) == ("a", 2, ["b"], "c")
    one, other = fresh(before)("a"), fresh(before)(name="a", word="w", size=1)
    assert asdict(one) == asdict(other) == {"name": "a", "size": 1, "seen": [], "word": "w"}
    assert one.seen is not other.seen


@pytest.mark.parametrize("before", range(FEW + 2))
@pytest.mark.parametrize(("given", "named", "why"), WRONG)
def test_the_first_values_are_refused_as_the_later_ones(
    before: int, given: tuple[Any, ...], named: dict[str, Any], why: str
) -> None:
    """In Python's own words."""
    with pytest.raises(TypeError, match=why):
        fresh(before)(*given, **named)


def test_a_class_of_many_values_has_an_init_of_its_own() -> None:
    """It is several times as fast, and small files have hundreds of values each."""
    assert "name" not in inspect.signature(fresh(FEW)).parameters
    assert list(inspect.signature(fresh(FEW + 1)).parameters) == ["name", "size", "seen", "word"]
