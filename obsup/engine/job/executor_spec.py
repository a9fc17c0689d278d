"""The values of --executor."""

from __future__ import annotations

from importlib.util import find_spec

from obsup.errors import BadConfiguration, NextStep, WrongUsage, run_again

LOCAL_EXECUTORS = ("threads", "inline")
PACKAGES = {"dask": "distributed", "mpi": "mpi4py"}


def check_spec(spec: str) -> None:
    """Raise WrongUsage if *spec* is not an executor, BadConfiguration if the package that it needs is missing."""
    kind, _, address = spec.partition(":")
    if spec not in (*LOCAL_EXECUTORS, "processes", "mpi") and not (kind == "dask" and address):
        raise WrongUsage(
            f"unknown executor {spec!r}",
            f"The executors are {', '.join(LOCAL_EXECUTORS)}, processes, dask:ADDRESS and mpi",
            NextStep("choose one with --executor, for example dask:tcp://scheduler:8786"),
        )
    package = PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise BadConfiguration(
            f"--executor {spec} needs the package {package}",
            "It is not installed in this environment",
            run_again(f"install it with: pip install 'obsup[{kind}]'"),
        )
