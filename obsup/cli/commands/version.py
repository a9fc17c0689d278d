"""``obsup version``: print the versions that a bug report needs."""

from __future__ import annotations

from obsup.cli.arguments.command import command


@command("version")
def version() -> None:
    """Print the versions of obsup, Python, OpenSSL, the system and the libraries, for bug reports.

    \b
    obsup version
    obsup version | grep openssl
    """
    from obsup.cli.actions.version import run_version

    run_version()
