"""Amazon S3 and compatible stores with AWS V4 and V2 signatures.

Sources: Amazon S3 API reference, "CreateMultipartUpload", "PutObject", "Authenticating Requests"; S3 user
guide, "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

from msgspec.structs import replace

from obsup.dialects.addressing import resource_path, sent_path
from obsup.dialects.dialect import Dialect, Limits, headers_like_s3
from obsup.dialects.sign_v2 import SHARED_SUB_RESOURCES, SignatureV2
from obsup.dialects.sign_v4 import TRANSIENT_HEADERS, QueryNames, SignatureV4
from obsup.dialects.vendor import (
    REGION,
    WEBSITE_REFUSAL,
    CredentialFile,
    HostFamily,
    KeyNames,
    MetadataService,
    Vendor,
)
from obsup.units import KIB, MIB

AWS2_SIGNATURE = SignatureV2(
    auth_scheme="AWS",
    prefix="x-amz-",
    # Ceph signs the last two, and AWS itself needs no request with them: it honours the headers of the upload.
    sub_resources=SHARED_SUB_RESOURCES | {"retention", "legal-hold"},
    resource=resource_path,
    access_key_parameter="AWSAccessKeyId",
    token_parameter="x-amz-security-token",
    token_is_header=True,
)

AWS4_SIGNATURE = SignatureV4(
    algorithm="AWS4-HMAC-SHA256",
    key_prefix="AWS4",
    terminator="aws4_request",
    service="s3",
    prefix="x-amz-",
    path=sent_path,
    date_header="x-amz-date",
    signed_headers_field="SignedHeaders",
    query_names=QueryNames(
        algorithm="X-Amz-Algorithm",
        credential="X-Amz-Credential",
        date="X-Amz-Date",
        expires="X-Amz-Expires",
        headers="X-Amz-SignedHeaders",
        token="X-Amz-Security-Token",
        signature="X-Amz-Signature",
    ),
    unsigned=TRANSIENT_HEADERS | {"content-length"},  # as the vendor's client
    default_region="us-east-1",  # which compatible stores without regions accept
)

LIMITS = Limits(min_part=5 * MIB, max_key=1024, max_metadata=2 * KIB)

_HEADERS = replace(
    headers_like_s3("x-amz-", sse_kms_key_id="server-side-encryption-aws-kms-key-id"),
    tagging="x-amz-tagging",
    no_overwrite=("If-None-Match", "*"),
    checksum="x-amz-checksum-",
    bucket_region="x-amz-bucket-region",
    retry_after="x-amz-retry-after",
    legal_hold="x-amz-object-lock-legal-hold",
)

S3_V4 = Dialect(
    name="s3-v4",
    provider="s3",
    signature="v4",
    title="Amazon S3 and compatible",
    public_endpoint="https://s3.{region}.amazonaws.com",
    default_region="us-east-1",
    prefix="x-amz-",
    sign=AWS4_SIGNATURE.sign,
    presign=AWS4_SIGNATURE.presign,
    headers=_HEADERS,
    limits=LIMITS,
    storage_classes={
        "STANDARD": "STANDARD",
        "STANDARD_IA": "STANDARD_IA",
        "ONEZONE_IA": "ONEZONE_IA",
        "INTELLIGENT_TIERING": "INTELLIGENT_TIERING",
        "GLACIER_IR": "GLACIER_IR",
        "GLACIER": "GLACIER",
        "DEEP_ARCHIVE": "DEEP_ARCHIVE",
        "REDUCED_REDUNDANCY": "REDUCED_REDUNDANCY",
        "IA": "STANDARD_IA",
        "WARM": "STANDARD_IA",
        "ARCHIVE": "GLACIER",
        "COLD": "GLACIER",
    },
    acls=(
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
    ),
    grant_permissions=frozenset({"read", "read-acp", "write-acp", "full-control"}),
    sse={"AES256": "AES256", "kms": "aws:kms"},
    no_overwrite_on=frozenset({"put", "complete"}),
    request_headers=frozenset({"x-amz-request-payer", "x-amz-expected-bucket-owner"}),
    payload_hash_header="x-amz-content-sha256",
    retention_modes={"governance": "GOVERNANCE", "compliance": "COMPLIANCE"},
    grantee='id="{}"',
    reserved_bucket_starts=("xn--", "sthree-", "amzn-s3-demo-"),
    reserved_bucket_ends=("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"),
)

S3_V2 = replace(
    S3_V4,
    name="s3-v2",
    signature="v2",
    title="S3-compatible with AWS V2 signatures",
    sign=AWS2_SIGNATURE.sign,
    presign=AWS2_SIGNATURE.presign,
    # AWS accepts conditional writes only with V4 signatures.
    headers=replace(_HEADERS, no_overwrite=None),
    no_overwrite_on=frozenset(),
    payload_hash_header=None,
)

_AWS = r"amazonaws\.(?:com\.cn|com|eu)"
_FILE_KEYS = KeyNames(
    "aws_access_key_id", "aws_secret_access_key", ("aws_session_token", "aws_security_token")
)

# Sources: Amazon S3, "Service endpoints"; AWS SDKs and Tools Reference Guide, "Shared config and credentials files";
# Amazon EC2 User Guide, "Retrieve security credentials from instance metadata".
VENDOR = Vendor(
    name="s3",
    dialects=(S3_V4, S3_V2),
    hosts=(
        HostFamily("aws", rf"s3-website[.-]{REGION}\.{_AWS}", refusal=WEBSITE_REFUSAL),
        HostFamily(
            "aws",
            rf"s3express-.+\.{_AWS}",
            refusal="This host serves directory buckets, whose session authentication obsup does not support",
        ),
        HostFamily(
            "aws",
            rf"s3-(?:accesspoint(?:-fips)?|outposts|object-lambda)(?:\.dualstack)?\.{REGION}\.{_AWS}"
            rf"|accesspoint\.s3-global\.{_AWS}",
            refusal="This host serves access points, which obsup does not support",
        ),
        HostFamily("aws", rf"s3-accelerate(?:\.dualstack)?\.{_AWS}"),
        HostFamily("aws", rf"s3(?:-fips)?(?:\.dualstack)?\.{REGION}\.{_AWS}"),
        HostFamily("aws", r"s3-external-1\.amazonaws\.com", region="us-east-1"),
        HostFamily("aws", rf"s3-{REGION}\.{_AWS}"),
        HostFamily("aws", r"s3\.amazonaws\.com", region="us-east-1", is_global=True),
        # The S3-compatible hosts of Alibaba Cloud OSS.
        HostFamily(
            "oss-s3",
            r"s3\.(?P<region>oss-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com",
            has_object_lock=False,
        ),
    ),
    # AWS SDKs and Tools Reference Guide, "Service-specific endpoints" and "AWS Region".
    endpoint_variables=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    region_variables=("AWS_REGION", "AWS_DEFAULT_REGION"),
    credential_chain="aws",
    # AWS SDKs and Tools Reference Guide, "Shared config file", "Service-specific endpoints", "Dual-stack and FIPS"; AWS
    # CLI, "S3 configuration".
    file_settings=(
        ("endpoint", "s3.endpoint_url"),
        ("endpoint", "endpoint_url"),
        ("region", "region"),
        ("addressing", "s3.addressing_style"),
    ),
    dualstack_endpoint="https://s3.dualstack.{region}.amazonaws.com",
    dualstack_variable="AWS_USE_DUALSTACK_ENDPOINT",
    no_endpoints_variable="AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    # As the vendor's own library: few servers have a host, and a certificate, for each bucket.
    path_style_elsewhere=True,
    dualstack_keys=("s3.use_dualstack_endpoint", "use_dualstack_endpoint"),
    credential_variables=(
        KeyNames("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")),
    ),
    credential_files=(
        CredentialFile(
            ".aws/credentials", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE", ("{profile}",), _FILE_KEYS
        ),
        CredentialFile(
            ".aws/config", "AWS_CONFIG_FILE", "AWS_PROFILE", ("profile {profile}", "{profile}"), _FILE_KEYS
        ),
    ),
    metadata_service=MetadataService(
        name="aws",
        base_variable="AWS_EC2_METADATA_SERVICE_ENDPOINT",
        token_headers=("X-aws-ec2-metadata-token",),
        life_headers=("X-aws-ec2-metadata-token-ttl-seconds",),
        path="/latest/meta-data/iam/security-credentials/",
        names=KeyNames("AccessKeyId", "SecretAccessKey", ("Token",)),
    ),
)
