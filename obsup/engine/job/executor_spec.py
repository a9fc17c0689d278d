"""The values of --executor."""

from __future__ import annotations

import re
from importlib.util import find_spec

from obsup.errors import BadConfiguration, NextStep, WrongUsage, run_again

LOCAL_EXECUTORS = ("threads", "inline")
PACKAGES = {"dask": "distributed", "mpi": "mpi4py"}

# The address of a Dask scheduler has a port, except within one process.
_SCHEDULER = re.compile(r"(?:[a-z]+://)?[^\s/]+:[0-9]{1,5}(?:/\S*)?|inproc://\S+")


def check_spec(spec: str) -> None:
    """Raise WrongUsage if *spec* is not an executor, BadConfiguration if the package that it needs is missing."""
    kind, _, address = spec.partition(":")
    is_scheduler = kind == "dask" and _SCHEDULER.fullmatch(address)
    if spec not in (*LOCAL_EXECUTORS, "processes", "mpi") and not is_scheduler:
        raise WrongUsage(
            f"unknown executor {spec!r}",
            f"The executors are {', '.join(LOCAL_EXECUTORS)}, processes, dask:ADDRESS and mpi; ADDRESS has a port",
            NextStep("choose one with --executor, for example dask:tcp://scheduler:8786"),
        )
    package = PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise BadConfiguration(
            f"--executor {spec} needs the package {package}",
            "It is not installed in this environment",
            run_again(f"install it with: pip install 'obsup[{kind}]'"),
        )
