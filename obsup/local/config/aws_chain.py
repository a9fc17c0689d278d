"""Credentials by the chain of AWS's own library: roles, SSO, web identity, containers, instances (``obsup[aws]``).

Sources: AWS SDKs and Tools Reference Guide, "Standardized credential providers"; botocore, "Credentials".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from obsup.errors import Denied, run_again
from obsup.local.config.credential_process import sanitise
from obsup.local.config.vendor_files import list_sections, read_values
from obsup.model import Credentials

EXTRA = "pip install 'obsup[aws]'"
# What a profile of ~/.aws/config contains, and variables, of which obsup itself makes no credentials.
PROFILE_KEYS = (
    *("role_arn", "sso_session", "sso_start_url", "web_identity_token_file", "credential_source"),
    "credential_process",
)
VARIABLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def is_installed() -> bool:
    """Return whether AWS's library can be imported. Imports nothing."""
    return find_spec("botocore") is not None


def find_need(provider: str, *, environ: Mapping[str, str], home: Path | None) -> str | None:
    """Return what asks for the chain, as text for a message: a variable, or a key of the selected profile."""
    for name in VARIABLES:
        if environ.get(name):
            return name
    for section in list_sections(provider, environ=environ, home=home):
        values = read_values(section)
        for key in PROFILE_KEYS:
            if values.get(key.replace("_", "")):
                return f"{key} in {section}"
    return None


def find_for_profile(name: str, aws_profile: str | None) -> Credentials:
    """Return what the chain finds for the profile *name*, which asks for it.

    Raises Denied if a source of the chain fails, if it finds nothing, and if the library is not installed.
    """
    if not is_installed():
        raise Denied(
            "the library that reads AWS's credentials is not installed",
            f"Profile {name} names it with credentials or aws_profile",
            run_again(f"install it with {EXTRA}"),
        )
    found = _find(aws_profile)
    if found is None:
        raise Denied(
            f"AWS's credential chain found no credentials for profile {name}",
            "Neither the environment nor ~/.aws/config nor this host provides any",
            run_again("check AWS_PROFILE and ~/.aws/config"),
        )
    return found


def find_if_installed() -> Credentials | None:
    """Return what the chain finds, if its library is installed. Raises Denied if a source of the chain fails."""
    return _find(None) if is_installed() else None


def _find(profile: str | None) -> Credentials | None:
    # Imported here because it takes a tenth of a second.
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

    try:
        found: Any = Session(profile=profile).get_credentials()
        if found is None:
            return None
        keys = found.get_frozen_credentials()
    except (BotoCoreError, ClientError) as exc:
        raise Denied(
            "AWS's credential chain failed",
            sanitise(str(exc), "").rstrip("."),
            run_again("check AWS_PROFILE and ~/.aws/config, or log in again"),
        ) from exc
    expires = None
    if hasattr(found, "refresh_needed"):
        # The library does not publish when credentials expire; a test fails if this changes.
        expires = time.time() + found._seconds_remaining()
    return Credentials(
        keys.access_key, keys.secret_key, keys.token, expires, f"AWS's credential chain ({found.method})"
    )
