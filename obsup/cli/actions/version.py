"""The versions of obsup and of everything that it uses, one per line."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from obsup.cli.report.output import print_result
from obsup.local.source.digest import fast_digests
from obsup.version import __version__

LIBRARIES = (
    "click",
    "requests",
    "certifi",
    "urllib3",
    "rich",
    "defusedxml",
    "anycrc",
    "pathspec",
    "msgspec",
    "truststore",
    "PySocks",
    "prometheus-client",
    "distributed",
    "mpi4py",
)


def run_version() -> None:
    """Print a name and a version per line. Optional libraries that are not installed are omitted."""
    rows = [
        ("obsup", __version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("openssl", ssl.OPENSSL_VERSION.removeprefix("OpenSSL ")),
        ("platform", platform.platform()),
    ]
    way = getattr(fast_digests(), "MD5_WAY", "")  # empty on a processor for which the module has no functions
    rows.append(("digests", f"extension module ({way})" if way else "hashlib, anycrc"))
    for name in LIBRARIES:
        try:
            rows.append((name, installed_version(name)))
        except PackageNotFoundError:
            continue
    print_result("\n".join(f"{name} {version}" for name, version in rows))
