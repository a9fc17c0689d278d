"""Credentials by Alibaba Cloud's own library: RAM roles, OIDC (RRSA), profiles of its tools (``obsup[oss]``).

Source: Alibaba Cloud, "Manage access credentials" of the SDK for Python: the default credential chain.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from obsup.local.config.credential_chain import Chain, chain_failed
from obsup.local.files.existing import is_file
from obsup.model import Credentials

TITLE = "Alibaba Cloud's credential chain"
ADVICE = "check the ALIBABA_CLOUD_ variables and the profile of the aliyun tool"
PROFILES = ".aliyun/config.json"


def _find(_profile: str | None) -> Credentials | None:
    # Imported here because it takes a second.
    from alibabacloud_credentials.exceptions import CredentialException
    from Tea.exceptions import RetryError, TeaException

    # The library prints its failures, with the tokens in its URLs.
    logging.getLogger("credentials").disabled = True
    failures = (CredentialException, TeaException, RetryError, OSError, ValueError, LookupError, TypeError)
    for make, is_configured in _sources():
        try:
            source = make()
            return _credentials(source, source.get_credentials())
        except failures as exc:
            if is_configured:
                # Never those of another source instead.
                raise chain_failed(TITLE, exc, ADVICE) from exc
    return None


def _sources() -> Iterator[tuple[Any, bool]]:
    """Yield what makes each source, in the order of the library, and whether the user has configured it.

    The library's own list would start a thread that renews keys, and does not pass on when they expire.
    """
    from alibabacloud_credentials import provider
    from alibabacloud_credentials.utils import auth_constant, auth_util

    if auth_util.enable_oidc_credential:
        yield provider.OIDCRoleArnCredentialsProvider, True
    has_profile = is_file(Path(auth_constant.HOME) / PROFILES)
    if has_profile and auth_util.environment_cli_profile_disabled.lower() != "true":
        yield provider.CLIProfileCredentialsProvider, True
    if os.environ.get("ALIBABA_CLOUD_CREDENTIALS_FILE"):
        yield provider.ProfileCredentialsProvider, True
    if os.environ.get("ALIBABA_CLOUD_CREDENTIALS_URI"):
        yield provider.URLCredentialsProvider, True
    if auth_util.environment_ecs_metadata_disabled.lower() != "true":
        is_named = bool(auth_util.environment_ecs_metadata)
        yield lambda: provider.EcsRamRoleCredentialsProvider(async_update_enabled=False), is_named


def _credentials(source: Any, found: Any) -> Credentials:
    # A profile hides the source that it names, and with it the expiry; a test fails if this changes.
    inner = getattr(source, f"_{type(source).__name__}__innerProvider", None)
    expires = (inner.get_credentials() if inner is not None else found).get_expiration()
    return Credentials(
        found.get_access_key_id(),
        found.get_access_key_secret(),
        found.get_security_token(),
        float(expires) if expires else None,
        f"{TITLE} ({found.get_provider_name()})",
    )


OSS_CHAIN = Chain(
    TITLE,
    library="alibabacloud_credentials",
    extra="pip install 'obsup[oss]'",
    variables=(
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
        "ALIBABA_CLOUD_CREDENTIALS_FILE",
        "ALIBABA_CLOUD_CREDENTIALS_URI",
        "ALIBABA_CLOUD_ECS_METADATA",
    ),
    find=_find,
    advice=ADVICE,
    files=(PROFILES,),
)
