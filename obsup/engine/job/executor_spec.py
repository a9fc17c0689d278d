"""The values of --executor."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import NamedTuple

from obsup.errors import BadConfiguration, NextStep, OtherRank, WrongUsage, run_again
from obsup.units import parse_duration

LOCAL_EXECUTORS = ("threads", "inline")
PACKAGES = {"dask": "distributed", "mpi": "mpi4py"}
MAX_WORKERS = 100_000

# The address of a Dask scheduler has a port, except within one process.
_SCHEDULER = re.compile(r"(?:[a-z]+://)?[^\s/,]+:[0-9]{1,5}(?:/[^\s,]*)?|inproc://[^\s,]+")


class DaskSpec(NamedTuple):
    """``dask:ADDRESS,workers=N,wait=DURATION``: how many workers to wait for, at most *wait_s* seconds."""

    address: str
    workers: int = 1
    wait_s: float = 60.0


def parse_dask(spec: str) -> DaskSpec | None:
    """Return the cluster that *spec* names; None if it is another executor or invalid."""
    kind, _, text = spec.partition(":")
    address, *options = text.split(",")
    if kind != "dask" or not _SCHEDULER.fullmatch(address):
        return None
    named = dict(option.partition("=")[::2] for option in options)
    if len(named) < len(options) or not named.keys() <= {"workers", "wait"}:
        return None
    try:
        workers, wait_s = int(named.get("workers", "1")), parse_duration(named.get("wait", "60s"))
    except ValueError:
        return None
    return DaskSpec(address, workers, wait_s) if 1 <= workers <= MAX_WORKERS else None


def check_spec(spec: str) -> None:
    """Raise WrongUsage if *spec* is not an executor, BadConfiguration if the package that it needs is missing."""
    if spec not in (*LOCAL_EXECUTORS, "processes", "mpi") and parse_dask(spec) is None:
        raise WrongUsage(
            f"unknown executor {spec!r}",
            f"The executors are {', '.join(LOCAL_EXECUTORS)}, processes, dask:ADDRESS[,workers=N][,wait=DURATION] "
            "and mpi; ADDRESS has a port",
            NextStep(
                "choose one with --executor, for example dask:tcp://scheduler:8786,workers=4,wait=5m",
                option="--executor",
            ),
        )
    kind = spec.partition(":")[0]
    package = PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise BadConfiguration(
            f"--executor {spec} needs the package {package}",
            "It is not installed in this environment",
            run_again(f"install it with: pip install 'obsup[{kind}]'"),
        )
    if spec == "mpi":
        _check_ranks()


def _check_ranks() -> None:
    """Raise WrongUsage unless this process is the driver of an MPI job, whose other ranks are workers."""
    from mpi4py import MPI
    from mpi4py.futures import _core

    world = MPI.COMM_WORLD
    # mpi4py has no public name for its pool. Without the pool, every rank would be a driver.
    if world.Get_size() > 1 and getattr(_core, "SharedPool", "unknown") is not None:
        return
    raise (WrongUsage if world.Get_rank() == 0 else OtherRank)(
        "no MPI workers found",
        "obsup was started without mpi4py.futures, or with a single process",
        NextStep("start it with: mpiexec -n 5 python3 -P -m mpi4py.futures -m obsup upload … --executor mpi"),
    )
