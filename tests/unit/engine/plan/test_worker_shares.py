"""Which worker gets a call, and that shares of the rate limit never exceed the limit together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from obsup.engine.plan.worker_shares import CALLS_PER_THREAD, Member, WorkerShares


def shares_of(*threads: int, is_limited: bool = True) -> WorkerShares:
    """Return workers with so many threads, named "0", "1"…"""
    shares = WorkerShares(is_limited=is_limited)
    for number, count in enumerate(threads):
        shares.members[str(number)] = Member(str(number), count)
    return shares


def give(shares: WorkerShares, call: object) -> tuple[str, float] | None:
    """Give *call* to a worker; return its address and the share."""
    chosen = shares.choose()
    if chosen is None:
        return None
    member, share = chosen
    member.calls[call] = share
    return member.address, share


def test_calls_are_divided_by_threads() -> None:
    """One runs and one waits per thread; further calls wait for workers that may join."""
    shares = shares_of(1, 3)
    given_to = [give(shares, number) for number in range(9)]
    assert [one for one in given_to if one is None] == [None]
    assert sorted(address for address, _ in filter(None, given_to)) == ["0"] * 2 + ["1"] * 6
    assert {share for _, share in filter(None, given_to)} == {0.25}


def test_a_worker_that_joins_waits_until_the_others_give_their_share() -> None:
    """The first alone may use the whole rate until its calls are done; then each has half."""
    shares = shares_of(1)
    assert give(shares, "a") == ("0", 1.0)
    shares.members["1"] = Member("1", 1)
    assert give(shares, "b") == ("0", 0.5)
    assert give(shares, "c") is None
    del shares.members["0"].calls["a"]
    assert give(shares, "c") == ("1", 0.5)


def test_the_share_of_a_worker_that_leaves_or_is_set_aside_is_free() -> None:
    """At once if it left, and when its calls are done if it is set aside."""
    shares = shares_of(1, 1, 1, 1)
    assert [give(shares, name) for name in "abcd"] == [("0", 0.25), ("1", 0.25), ("2", 0.25), ("3", 0.25)]
    assert sorted(member.address for member in shares.keep(["0", "1"])) == ["2", "3"]
    shares.members["1"].is_aside = True
    assert (shares.count, shares.threads, shares.has_other(["0"])) == (1, 1, False)
    assert give(shares, "e") == ("0", 0.75)
    del shares.members["1"].calls["b"], shares.members["0"].calls["a"], shares.members["0"].calls["e"]
    assert give(shares, "f") == ("0", 1.0)


def test_a_worker_is_avoided_only_if_there_are_others() -> None:
    """A call that failed on a worker goes to another one."""
    shares = shares_of(1, 1)
    assert [
        chosen[0].address for avoid in (["0"], ["1"], ["0", "1"]) if (chosen := shares.choose(avoid))
    ] == [*("1", "0", "0")]


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "give", "finish"]), st.integers(0, 7))))
def test_the_rate_is_never_exceeded_and_never_stuck(steps: list[tuple[str, int]]) -> None:
    """Whatever joins, leaves and finishes: all calls that can run together have at most the whole rate."""
    shares = shares_of(2)
    for number, (step, choice) in enumerate(steps):
        calls = [(member, call) for member in shares.members.values() for call in member.calls]
        if step == "join":
            shares.members[f"new{number}"] = Member(f"new{number}", 1 + choice)
        elif step == "leave" and len(shares.members) > 1:
            left = sorted(shares.members)[choice % len(shares.members)]
            shares.keep(address for address in list(shares.members) if address != left)
        elif step == "give":
            give(shares, number)
        elif step == "finish" and calls:
            member, call = calls[choice % len(calls)]
            del member.calls[call]
        members = shares.members.values()
        assert sum(member.reserved for member in members) <= 1 + 1e-9
        assert all(len(member.calls) <= CALLS_PER_THREAD * member.threads for member in members)
        if not any(member.calls for member in members):
            assert shares.choose() is not None
