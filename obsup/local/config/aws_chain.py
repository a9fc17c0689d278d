"""Credentials by the chain of AWS's own library: roles, SSO, web identity, containers, instances (``obsup[aws]``).

Sources: AWS SDKs and Tools Reference Guide, "Standardized credential providers"; botocore, "Credentials".
"""

from __future__ import annotations

import time
from typing import Any

from obsup.local.config.credential_chain import Chain, chain_failed
from obsup.model import Credentials

TITLE = "AWS's credential chain"
ADVICE = "check AWS_PROFILE and ~/.aws/config, or log in again"


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
        raise chain_failed(TITLE, exc, ADVICE) from exc
    expires = None
    if hasattr(found, "refresh_needed"):
        # The library does not publish when credentials expire; a test fails if this changes.
        expires = time.time() + found._seconds_remaining()
    return Credentials(keys.access_key, keys.secret_key, keys.token, expires, f"{TITLE} ({found.method})")


AWS_CHAIN = Chain(
    TITLE,
    library="botocore",
    extra="pip install 'obsup[aws]'",
    # Of these, obsup itself makes no credentials.
    variables=(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    find=_find,
    advice=ADVICE,
    keys=("role_arn", "sso_session", "sso_start_url", "web_identity_token_file", "credential_source"),
    late_keys=("credential_process",),
)
