"""The names of executors, as --executor takes them."""

from __future__ import annotations

from importlib.util import find_spec

from obsup.errors import BadConfiguration, WrongUsage

LOCAL_EXECUTORS = ("threads", "inline")


PACKAGES = {"dask": "distributed", "mpi": "mpi4py"}


def check_spec(spec: str) -> None:
    """Raise WrongUsage where *spec* names no executor, BadConfiguration where the package that it needs is missing."""
    kind, _, address = spec.partition(":")
    if spec not in (*LOCAL_EXECUTORS, "processes", "mpi") and not (kind == "dask" and address):
        raise WrongUsage(
            f"there is no executor {spec!r}",
            f"there is: {', '.join(LOCAL_EXECUTORS)}, processes, dask:ADDRESS, mpi",
            "choose one with --executor, for example dask:tcp://scheduler:8786",
        )
    package = PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise BadConfiguration(
            f"--executor {spec} needs the package {package}",
            "it is not installed in this environment",
            f"install it with: pip install 'obsup[{kind}]'",
        )
