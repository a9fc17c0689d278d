"""Run a COMMAND against the sandbox: its environment, signals and exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence

_CREDENTIAL_PREFIXES = ("OBS_", "AWS_", "OSS_", "ALIBABA_CLOUD_", "HUAWEICLOUD_SDK_")
_CREDENTIALS = frozenset(
    {
        "AccessKeyID",
        "SecretAccessKey",
        "SecurityToken",
        "OBSUP_ACCESS_KEY_ID",
        "OBSUP_SECRET_ACCESS_KEY",
        "OBSUP_SECURITY_TOKEN",
        "OBSUP_PROFILE",
        "OBSUP_ENDPOINT",
        "OBSUP_ADDRESSING",
    }
)
_FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT})
HANDLED = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCHLD,
    }
)
"""Blocked before the first thread starts, and then waited for: see run_command."""


def settings(endpoint: str, access_key: str, secret_key: str) -> dict[str, str]:
    """Return the variables that point a client at the sandbox."""
    return {
        "OBSUP_ENDPOINT": endpoint,
        "AccessKeyID": access_key,
        "SecretAccessKey": secret_key,
        "OBSUP_ADDRESSING": "path",
    }


def command_environment(inherited: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of COMMAND: the sandbox's *variables*, and no real credentials.

    Proxies are disabled for 127.0.0.1.
    """
    environment = {
        name: value
        for name, value in inherited.items()
        if name not in _CREDENTIALS and not name.startswith(_CREDENTIAL_PREFIXES)
    }
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(filter(None, [inherited.get(name, ""), "127.0.0.1,localhost"]))
    return {**environment, **variables}


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run *command*, forward signals to it, and return its exit code as a shell reports it.

    The caller has blocked HANDLED in all threads. Raises FileNotFoundError, PermissionError, OSError.
    """
    child = os.posix_spawnp(
        command[0],
        list(command),
        dict(environment),
        setsigmask=[],
        # Python ignores these two, and a child would inherit that.
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    while True:
        received = signal.sigwaitinfo(HANDLED)
        if received.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code
            continue
        # A key pressed in the terminal also reached COMMAND: si_code separates the kernel's signals from those of kill.
        if not (received.si_signo in _FROM_TERMINAL and received.si_code > 0):
            os.kill(child, received.si_signo)


def wait_for_end() -> None:
    """Return when SIGINT, SIGTERM or SIGHUP arrives; the caller has blocked HANDLED."""
    signal.sigwait({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
