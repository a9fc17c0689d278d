"""Names of the vendors, for help texts and completion, which must not load the vendors' data.

A test compares them with ``registry``.
"""

from __future__ import annotations

PROVIDERS = ("obs", "s3", "oss")
"""Every provider, which is also the scheme of a target. The first is the default."""

STORES = (
    *("aws", "huawei", "otc", "alibaba", "r2", "b2", "wasabi", "minio", "ceph", "scaleway", "ovh", "ovh-us"),
    *("digitalocean", "storj", "idrive", "cos", "gcs"),
)
"""Every service with a name: a provider whose endpoint and limits are known."""

DEFAULT_PROVIDER = PROVIDERS[0]
COMPATIBLE_PROVIDER = "s3"
"""The provider that most stores of other vendors are compatible with."""

SIGNATURES = ("obs", "v2", "v4", "oss1", "oss4")
"""Every signature that a dialect has."""

METADATA_SERVICES = ("obs", "aws", "oss")
"""Every metadata service that a profile can name."""

CREDENTIAL_CHAINS = ("aws", "oss", "obs")
"""Every vendor's library that finds credentials, by the name that a profile gives it."""

AWS_SIGNATURE_PROVIDERS = ("s3", "obs")
"""The providers that accept AWS signatures."""
