"""Credentials by Huawei Cloud's own library: OIDC, federation, pod identity, its profile, the host (``obsup[obs]``).

Source: Huawei Cloud, "SDK for Python", authentication: the default chain of credential providers.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from obsup.local.config.credential_chain import Chain, chain_failed
from obsup.local.files.existing import is_file
from obsup.model import Credentials

TITLE = "Huawei Cloud's credential chain"
ADVICE = "check the HUAWEICLOUD_ variables and the profile of the SDK"
PROFILE = ".huaweicloud/credentials"
OIDC, KEYS, FEDERATION = "HUAWEICLOUD_OIDC_AGENCY_URN", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_IDP_ID"
FILE, POD = "HUAWEICLOUD_SDK_CREDENTIALS_FILE", "HC_CONTAINER_CREDENTIALS_FULL_URI"

# To connect, and to wait for an answer.
TIMEOUTS_S = (5, 30)


def _find(_profile: str | None) -> Credentials | None:
    # Imported here because it takes a tenth of a second.
    from huaweicloudsdkcore.exceptions.exceptions import SdkException

    # Those of an invalid setting are a TypeError, a ValueError or a KeyError; those of the network an OSError.
    failures = (SdkException, OSError, ValueError, LookupError, TypeError)
    for source, is_configured in _sources(os.environ):
        try:
            return _credentials(source)
        except failures as exc:
            if is_configured:
                # Never those of another source instead.
                raise chain_failed(TITLE, exc, ADVICE) from exc
    return None


def _sources(environ: Mapping[str, str]) -> Iterator[tuple[Any, bool]]:
    """Yield each source, in the order of the library, and whether the user has configured it."""
    from huaweicloudsdkcore.auth import provider

    if environ.get(OIDC):
        yield provider.OidcStsCredentialProvider.get_global(), True
    if environ.get(KEYS) or environ.get(FEDERATION):
        yield provider.EnvCredentialProvider.get_global(), True
    if environ.get(FILE) or is_file(Path.home() / PROFILE):
        yield provider.ProfileCredentialProvider.get_global(), True
    if environ.get(POD):
        yield provider.PodIdentityCredentialProvider.get_global(), True
    yield provider.MetadataCredentialProvider.get_global(), False


def _credentials(source: Any) -> Credentials:
    from huaweicloudsdkcore.exceptions.exception_handler import DefaultExceptionHandler
    from huaweicloudsdkcore.http.http_client import HttpClient
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkcore.utils import time_utils

    found = source.get_credentials()
    log = logging.getLogger("huaweicloudsdkcore")
    log.disabled = True
    client = HttpClient(HttpConfig(timeout=TIMEOUTS_S), None, DefaultExceptionHandler(), log)
    try:
        found.process_sts(client)
    finally:
        client.close()
    # The library does not publish when credentials expire, and has its own clock; a test fails if this changes.
    left_s = found._expire_at - time_utils.get_timestamp_utc() if found._expire_at else None
    expires = None if left_s is None else time.time() + left_s
    origin = f"{TITLE} ({type(source).__name__.removesuffix('CredentialProvider')})"
    return Credentials(found.ak, found.sk, found.security_token, expires, origin)


OBS_CHAIN = Chain(
    TITLE,
    library="huaweicloudsdkcore",
    extra="pip install 'obsup[obs]'",
    variables=(OIDC, KEYS, FEDERATION, FILE, POD),
    find=_find,
    advice=ADVICE,
    files=(PROFILE,),
)
