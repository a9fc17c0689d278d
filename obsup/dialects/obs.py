"""Huawei OBS and Open Telekom Cloud OBS: the native protocol and the two AWS-compatible ones.

Sources: OBS API reference, "Initiating a Multipart Upload", "Uploading an Object - PUT", "Authentication";
for the AWS forms the S3-compatible API reference of the same service.
"""

from __future__ import annotations

from msgspec.structs import replace

from obsup.dialects.addressing import resource_path
from obsup.dialects.dialect import KEY_RESPONSES, Dialect, Limits, headers_like_s3
from obsup.dialects.s3 import AWS4_SIGNATURE as S3_AWS4_SIGNATURE
from obsup.dialects.sign_v2 import SHARED_SUB_RESOURCES, SignatureV2
from obsup.dialects.sign_v4 import TRANSIENT_HEADERS
from obsup.dialects.vendor import REGION, WEBSITE_REFUSAL, HostFamily, KeyNames, MetadataService, Vendor
from obsup.units import KIB

# Of the vendor's list, those for one object or its uploads.
SUB_RESOURCES = SHARED_SUB_RESOURCES | {
    "append",
    "encryption",
    "length",
    "metadata",
    "modify",
    "name",
    "position",
    "rename",
    "retention",
    "truncate",
}

NATIVE_SIGNATURE = SignatureV2(
    auth_scheme="OBS",
    prefix="x-obs-",
    sub_resources=SUB_RESOURCES,
    resource=resource_path,
    access_key_parameter="AccessKeyId",
    token_parameter="x-obs-security-token",
    signs_prefixed_query=True,
)

AWS2_SIGNATURE = replace(
    NATIVE_SIGNATURE,
    auth_scheme="AWS",
    prefix="x-amz-",
    access_key_parameter="AWSAccessKeyId",
    token_parameter="x-amz-security-token",
)

# The vendor's client sends Date with V4 requests, signs the length of a body but not its hash, and writes the token
# parameter of a URL in lower case.
AWS4_SIGNATURE = replace(
    S3_AWS4_SIGNATURE,
    date_header="Date",
    query_names=replace(S3_AWS4_SIGNATURE.query_names, token="x-amz-security-token"),
    unsigned=TRANSIENT_HEADERS,
    default_region="",
)

# In the API reference, 100 KB is 102400 bytes. Buckets of OBS 2.0 require 5 MB per part. They cannot be recognised in
# advance: Complete fails with EntityTooSmall.
LIMITS = Limits(min_part=100 * KIB, max_key=1024, counts_characters=True, max_metadata=8 * KIB)

_NATIVE_HEADERS = replace(
    headers_like_s3("x-obs-", sse_kms_key_id="server-side-encryption-kms-key-id"),
    success_redirect="success-action-redirect",
    expires_days="x-obs-expires",
    tagging="x-obs-tagging",
    upload_id="x-obs-uploadId",
    crc64="x-obs-checksum-crc64ecma",
    error_code="x-obs-error-code",
    error_message="x-obs-error-message",
)

_AWS_HEADERS = replace(
    headers_like_s3("x-amz-", sse_kms_key_id="server-side-encryption-aws-kms-key-id"),
    expires_days="x-obs-expires",  # the same name in both protocols, as the vendor's client sends it
    upload_id="x-amz-uploadId",
    crc64="x-amz-checksum-crc64ecma",
    error_code="x-obs-error-code",
    error_message="x-obs-error-message",
    bucket_region="x-amz-bucket-region",
)

OBS = Dialect(
    name="obs",
    provider="obs",
    signature="obs",
    title="Huawei OBS / Open Telekom Cloud",
    prefix="x-obs-",
    sign=NATIVE_SIGNATURE.sign,
    presign=NATIVE_SIGNATURE.presign,
    headers=_NATIVE_HEADERS,
    limits=LIMITS,
    storage_classes={
        "STANDARD": "STANDARD",
        "WARM": "WARM",
        "COLD": "COLD",
        "DEEP_ARCHIVE": "DEEP_ARCHIVE",
        "INTELLIGENT_TIERING": "INTELLIGENT_TIERING",
        "STANDARD_IA": "WARM",
        "IA": "WARM",
        "GLACIER": "COLD",
        "ARCHIVE": "COLD",
    },
    acls=("private", "public-read", "public-read-write", "bucket-owner-full-control"),
    grant_permissions=frozenset({"read", "read-acp", "write-acp", "full-control"}),
    sse={"AES256": "AES256", "kms": "kms"},
    url_encoded_on=KEY_RESPONSES,
    request_headers=frozenset({"x-obs-request-payer"}),
    redirects_only_root=True,
    # "Configuring WORM Retention for an Object": the mode can only be COMPLIANCE.
    retention_modes={"compliance": "COMPLIANCE"},
    locks_later=True,
    retention_in_ms=True,
)

OBS_V2 = replace(
    OBS,
    name="obs-v2",
    signature="v2",
    title="OBS with AWS V2 signatures",
    prefix="x-amz-",
    sign=AWS2_SIGNATURE.sign,
    presign=AWS2_SIGNATURE.presign,
    headers=_AWS_HEADERS,
    storage_classes={
        "STANDARD": "STANDARD",
        "WARM": "STANDARD_IA",
        "COLD": "GLACIER",
        "DEEP_ARCHIVE": "DEEP_ARCHIVE",
        "STANDARD_IA": "STANDARD_IA",
        "IA": "STANDARD_IA",
        "GLACIER": "GLACIER",
        "ARCHIVE": "GLACIER",
    },
    acls=(
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    ),
    sse={"AES256": "AES256", "kms": "aws:kms"},
    request_headers=frozenset({"x-amz-request-payer"}),
    customer_key_bytes=(32, 64),
)

OBS_V4 = replace(
    OBS_V2,
    name="obs-v4",
    signature="v4",
    title="OBS with AWS V4 signatures",
    sign=AWS4_SIGNATURE.sign,
    presign=AWS4_SIGNATURE.presign,
    needs_region=True,
)

_HUAWEI = r"myhuaweicloud\.(?:com|eu|cn)"
_OTC = r"(?:sc\.)?otc\.t-systems\.com"

# Sources: OBS, "Regions and Endpoints"; OBS Python SDK, ECS security provider. obsutil encrypts the credentials in its
# configuration file, so that file is not read.
VENDOR = Vendor(
    name="obs",
    dialects=(OBS, OBS_V2, OBS_V4),
    hosts=(
        HostFamily("huawei", rf"obs-website\.{REGION}\.{_HUAWEI}", refusal=WEBSITE_REFUSAL),
        HostFamily("huawei", rf"obs\.{REGION}\.{_HUAWEI}"),
        HostFamily("huawei", rf"obs\.{_HUAWEI}", is_global=True),
        HostFamily("otc", rf"obs-website\.{REGION}\.{_OTC}", refusal=WEBSITE_REFUSAL),
        HostFamily("otc", rf"obs\.{REGION}\.{_OTC}"),
        HostFamily("otc", r"obs\.otc\.t-systems\.com", region="eu-de", is_global=True),
    ),
    # The vendor's tools have files, but no such variables: the names follow those of its keys.
    endpoint_variables=("OBS_ENDPOINT",),
    region_variables=("OBS_REGION",),
    credential_chain="obs",
    credential_variables=(KeyNames("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY", ("OBS_SECURITY_TOKEN",)),),
    credential_files=(),
    metadata_service=MetadataService(
        name="obs",
        token_path="/meta-data/latest/api/token",
        # The vendor's libraries disagree: the one for OBS has the first name, the one for all services the second.
        token_headers=("X-securitykey-Token", "X-Metadata-Token"),
        life_headers=("X-securitykey-Token-Ttl-Seconds", "X-Metadata-Token-Ttl-Seconds"),
        path="/openstack/latest/securitykey",
        has_roles=False,
        envelope="credential",
        names=KeyNames("access", "secret", ("securitytoken",)),
        expiry="expires_at",
    ),
)
