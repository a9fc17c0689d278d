"""The environment of a COMMAND that runs against the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

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
