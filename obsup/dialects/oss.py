"""Alibaba Cloud OSS with V4 and V1 signatures.

Sources: OSS API reference, "InitiateMultipartUpload", "CompleteMultipartUpload", "PutObject", "Include a V4
signature in the Authorization header", "Include a V1 signature in the Authorization header".
"""

from __future__ import annotations

from msgspec.structs import replace

from obsup.dialects.addressing import bucket_path, raw_resource_path
from obsup.dialects.dialect import KEY_RESPONSES, Dialect, HeaderNames, Limits
from obsup.dialects.sign_v2 import SHARED_SUB_RESOURCES, SignatureV2
from obsup.dialects.sign_v4 import QueryNames, SignatureV4
from obsup.dialects.vendor import REGION, CredentialFile, HostFamily, KeyNames, MetadataService, Vendor
from obsup.units import KIB

# Of the vendor's list, those for one object or its uploads.
SUB_RESOURCES = SHARED_SUB_RESOURCES | {
    "append",
    "callback",
    "callback-var",
    "encryption",
    "objectMeta",
    "position",
    "security-token",
    "sequential",
    "symlink",
    "x-oss-process",
    "x-oss-request-payer",
    "x-oss-traffic-limit",
}

OSS1_SIGNATURE = SignatureV2(
    auth_scheme="OSS",
    prefix="x-oss-",
    sub_resources=SUB_RESOURCES,
    resource=raw_resource_path,
    access_key_parameter="OSSAccessKeyId",
    token_parameter="security-token",
    own_date_replaces_date=False,
    bare_when_empty=True,
)

OSS4_SIGNATURE = SignatureV4(
    algorithm="OSS4-HMAC-SHA256",
    key_prefix="aliyun_v4",
    terminator="aliyun_v4_request",
    service="oss",
    prefix="x-oss-",
    path=bucket_path,
    date_header="x-oss-date",
    signed_headers_field="AdditionalHeaders",
    query_names=QueryNames(
        algorithm="x-oss-signature-version",
        credential="x-oss-credential",
        date="x-oss-date",
        expires="x-oss-expires",
        headers="x-oss-additional-headers",
        token="x-oss-security-token",
        signature="x-oss-signature",
    ),
    implied=frozenset({"content-type", "content-md5"}),
    bare_when_empty=True,
    collapses_spaces=False,
    service_of_region=(("cb-", "oss-cloudbox"),),
)

LIMITS = Limits(min_part=100 * KIB, max_key=1023, max_metadata=8 * KIB)

_HEADERS = HeaderNames(
    security_token="x-oss-security-token",
    meta="x-oss-meta-",
    acl="x-oss-object-acl",
    storage_class="x-oss-storage-class",
    tagging="x-oss-tagging",
    sse="x-oss-server-side-encryption",
    sse_kms_key_id="x-oss-server-side-encryption-key-id",
    copy_source="x-oss-copy-source",
    copy_source_range="x-oss-copy-source-range",
    no_overwrite=("x-oss-forbid-overwrite", "true"),
    request_id="x-oss-request-id",
    host_id="x-oss-ec",  # OSS has no host id; its support asks for the error code EC
    version_id="x-oss-version-id",
    crc64="x-oss-hash-crc64ecma",
    encoded_error="x-oss-err",
)

OSS_V4 = Dialect(
    name="oss-v4",
    provider="oss",
    signature="oss4",
    title="Alibaba Cloud OSS",
    public_endpoint="https://oss-{region}.aliyuncs.com",
    prefix="x-oss-",
    sign=OSS4_SIGNATURE.sign,
    presign=OSS4_SIGNATURE.presign,
    headers=_HEADERS,
    limits=LIMITS,
    storage_classes={
        "STANDARD": "Standard",
        "IA": "IA",
        "ARCHIVE": "Archive",
        "COLDARCHIVE": "ColdArchive",
        "DEEPCOLDARCHIVE": "DeepColdArchive",
        "COLD_ARCHIVE": "ColdArchive",
        "DEEP_COLD_ARCHIVE": "DeepColdArchive",
        "STANDARD_IA": "IA",
        "WARM": "IA",
        "GLACIER": "Archive",
        "COLD": "Archive",
    },
    acls=("default", "private", "public-read", "public-read-write"),
    grant_permissions=frozenset(),
    sse={"AES256": "AES256", "kms": "KMS"},
    needs_region=True,
    acl_on_complete=True,
    no_overwrite_on=frozenset({"put", "initiate", "complete"}),
    etag_is_composite=False,
    url_encoded_on=KEY_RESPONSES,
    request_headers=frozenset({"x-oss-request-payer", "x-oss-traffic-limit"}),
    metadata_name=r"[A-Za-z0-9-]+",
    bucket_characters="a-z0-9-",
    refused_key_starts="/\\",
)

OSS_V1 = replace(
    OSS_V4,
    name="oss-v1",
    signature="oss1",
    title="Alibaba Cloud OSS with V1 signatures",
    sign=OSS1_SIGNATURE.sign,
    presign=OSS1_SIGNATURE.presign,
    needs_region=False,
)

_ALIYUN = r"aliyuncs\.com"
_FILE_KEYS = KeyNames("accessKeyID", "accessKeySecret", ("stsToken",))

# Sources: Alibaba OSS, "Regions and endpoints"; OSS developer reference, "Configure ossutil" (2.0 also reads the
# section [Credentials] of 1.0); Alibaba Cloud ECS User Guide, "Obtain instance metadata" (security hardening mode).
VENDOR = Vendor(
    name="oss",
    dialects=(OSS_V4, OSS_V1),
    hosts=(
        HostFamily("oss", rf"(?P<region>cb-[a-z0-9-]+)\.[a-z0-9-]+\.oss-cloudbox(?:-control)?\.{_ALIYUN}"),
        HostFamily("oss", rf"oss-accelerate(?:-overseas)?\.{_ALIYUN}"),
        HostFamily("oss", rf"oss-{REGION}(?:-internal)?\.{_ALIYUN}"),
        HostFamily("oss", rf"{REGION}\.oss\.{_ALIYUN}"),
    ),
    # Alibaba OSS, "Regions and endpoints": the id of a region of OSS is oss-cn-hangzhou, its general id cn-hangzhou.
    region_prefix="oss-",
    # ossutil, "Configure ossutil": environment variables and configuration file.
    endpoint_variables=("OSS_ENDPOINT",),
    region_variables=("OSS_REGION",),
    file_settings=(("endpoint", "endpoint"), ("region", "region")),
    credential_chain="oss",
    credential_variables=(
        KeyNames("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", ("OSS_SESSION_TOKEN",)),
        KeyNames(
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            ("ALIBABA_CLOUD_SECURITY_TOKEN",),
        ),
    ),
    credential_files=(
        CredentialFile(
            ".ossutilconfig",
            "OSSUTIL_CONFIG_FILE",
            "OSSUTIL_PROFILE",
            ("profile {profile}",),
            _FILE_KEYS,
            default_sections=("default", "profile default"),
        ),
        CredentialFile(
            ".ossutilconfig", "OSSUTIL_CONFIG_FILE", "OSSUTIL_PROFILE", ("Credentials",), _FILE_KEYS
        ),
    ),
    metadata_service=MetadataService(
        name="oss",
        base="http://100.100.100.200",
        token_headers=("X-aliyun-ecs-metadata-token",),
        life_headers=("X-aliyun-ecs-metadata-token-ttl-seconds",),
        path="/latest/meta-data/ram/security-credentials/",
        names=KeyNames("AccessKeyId", "AccessKeySecret", ("SecurityToken",)),
    ),
)
