"""The dialects obsup speaks, and how a provider and a signature on the command line name one."""

from __future__ import annotations

from obsup.dialects import obs, oss, s3
from obsup.dialects.dialect import Dialect
from obsup.errors import WrongUsage

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (obs.OBS, obs.OBS_V2, obs.OBS_V4, s3.S3_V4, s3.S3_V2, oss.OSS_V4, oss.OSS_V1)
}
"""Every dialect by name. The first of a provider is what ``auto`` means for it."""


def find_dialect(provider: str, signature: str = "auto") -> Dialect:
    """Return the dialect of *provider* (obs, s3, oss) with *signature* (auto, obs, v2, v4, oss1, oss4).

    Raises WrongUsage that names what there is.
    """
    of_provider = [dialect for dialect in DIALECTS.values() if dialect.provider == provider]
    if not of_provider:
        known = ", ".join(dict.fromkeys(dialect.provider for dialect in DIALECTS.values()))
        raise WrongUsage(
            f"there is no provider {provider!r}", f"obsup speaks to {known}", "choose one with --provider"
        )
    for dialect in of_provider:
        if signature in ("auto", dialect.signature):
            return dialect
    words = ", ".join(["auto", *(dialect.signature for dialect in of_provider)])
    raise WrongUsage(
        f"{of_provider[0].title} knows no signature {signature!r}",
        f"with --provider {provider} there is: {words}",
        "choose one with --signature, or leave it out",
    )
