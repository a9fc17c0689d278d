"""The values of --executor."""

from __future__ import annotations

import pytest

from obsup.engine.job.executor_spec import DaskSpec, check_spec, parse_dask
from obsup.errors import BadConfiguration, WrongUsage

INVALID_OPTIONS = ("workers=0", "workers=x", "wait=soon", "workers=2,workers=3", "workers", "threads=2", "")


@pytest.mark.parametrize(
    "spec",
    [
        *("thread", "dask", "dask:", "dask:nonsense", "dask:tcp://host", "mpi:x", ""),
        *(f"dask:tcp://host:1,{options}" for options in INVALID_OPTIONS),
    ],
)
def test_an_unknown_executor_is_an_error(spec: str) -> None:
    """The error lists all executors."""
    with pytest.raises(WrongUsage, match="unknown executor") as caught:
        check_spec(spec)
    names = "threads, inline, processes, dask:ADDRESS[,workers=N][,wait=DURATION] and mpi"
    assert names in caught.value.why


@pytest.mark.parametrize(
    "address",
    ["host:8786", "tcp://host:8786", "tls://[::1]:8786", "ws://host:80/path", "inproc://10.0.0.1/7/1"],
)
def test_addresses_of_schedulers(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the package for them is installed here."""
    monkeypatch.setattr("obsup.engine.job.executor_spec.find_spec", lambda name: name)
    check_spec(f"dask:{address}")
    check_spec(f"dask:{address},workers=2,wait=5m")
    assert parse_dask(f"dask:{address}") == DaskSpec(address, 1, 60.0)
    assert parse_dask(f"dask:{address},wait=5m,workers=2") == DaskSpec(address, 2, 300.0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it."""
    monkeypatch.setattr("obsup.engine.job.executor_spec.find_spec", lambda _: None)
    for spec, extra in (("dask:tcp://host:1", "dask"), ("mpi", "mpi")):
        with pytest.raises(BadConfiguration) as caught:
            check_spec(spec)
        assert str(caught.value.next_step) == f"install it with: pip install 'obsup[{extra}]'"
    check_spec("processes")
