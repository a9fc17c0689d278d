"""The services that use the protocol of a vendor: where they are, and in what they differ from it.

A service is selected by its name (``--provider r2``) or recognised by its host. No compatible service was tried with an
account: the rows are what the sources say. obsup-stores(7) shows them.
"""

from __future__ import annotations

from obsup.dialects.vendor import REGION, HostFamily
from obsup.units import GIB, MIB, TIB
from obsup.value import Value

Answers = tuple[tuple[int, str], ...]
_SLOW_DOWN: Answers = ((503, "SlowDown"),)
TB = 10**12


class StoreService(Value):
    """A service with its own endpoints.

    ``endpoint`` is their form, with ``{region}`` or ``{account}``; empty if every server or customer has another.
    ``provider`` is the vendor whose protocol it uses. ``family`` describes its hosts and its limits; None for a
    service of the vendor itself. ``throttling`` are its answers (status, code) to too many requests. ``encryption`` is
    what it does unasked, ``lists`` in what lists and copies differ; empty if nothing is known. ``sources`` are the
    pages and reports of these facts.
    """

    name: str
    title: str
    provider: str
    endpoint: str
    sources: tuple[str, ...]
    family: HostFamily | None = None
    throttling: Answers = _SLOW_DOWN
    encryption: str = ""
    lists: str = ""


def _compatible(
    name: str,
    title: str,
    endpoint: str,
    hosts: str,
    sources: tuple[str, ...],
    *,
    throttling: Answers = _SLOW_DOWN,
    encryption: str = "",
    lists: str = "",
    **rules: object,
) -> StoreService:
    family = HostFamily(name, hosts, is_vendor=False, **rules)  # type: ignore[arg-type]
    return StoreService(name, title, "s3", endpoint, sources, family, throttling, encryption, lists)


_NO_HOST = r"(?!)"
"""Matches no host: the servers of these services have the names that their owners give them."""

_OVH_SOURCES = (
    "help.ovhcloud.com, Object Storage - Technical limitations",
    "github.com/ovh/public-cloud-roadmap, issue 781 (checksum headers)",
)

SERVICES = (
    StoreService(
        "aws",
        "Amazon S3",
        "s3",
        "https://s3.{region}.amazonaws.com",
        (
            "docs.aws.amazon.com/AmazonS3, Amazon S3 multipart upload limits",
            "docs.aws.amazon.com/AmazonS3, Checking object integrity",
            "docs.aws.amazon.com/AmazonS3, Setting default server-side encryption",
        ),
        encryption="every object, with AES256 unless the bucket names a key; with a key, ETags are not MD5s",
    ),
    StoreService(
        "huawei",
        "Huawei Cloud OBS",
        "obs",
        "https://obs.{region}.myhuaweicloud.com",
        ("support.huaweicloud.com, OBS API reference: Uploading Parts, Error Codes, Server-Side Encryption",),
        encryption="if the bucket is configured so; with a key of KMS, ETags are not MD5s",
    ),
    StoreService(
        "otc",
        "Open Telekom Cloud OBS",
        "obs",
        "https://obs.{region}.otc.t-systems.com",
        ("docs.otc.t-systems.com, OBS API reference: Uploading Parts, Error Codes, Server-Side Encryption",),
        encryption="if the bucket is configured so; with a key of KMS, ETags are not MD5s",
    ),
    StoreService(
        "alibaba",
        "Alibaba Cloud OSS",
        "oss",
        "https://oss-{region}.aliyuncs.com",
        ("alibabacloud.com/help/oss, Limits, InitiateMultipartUpload, Error codes, Server-side encryption",),
        throttling=(
            (503, "QpsLimitExceeded"),
            (503, "UploadTrafficRateLimitExceeded"),
            (503, "TotalQpsLimitExceeded"),
        ),
        encryption="if the bucket is configured so; the CRC-64 stays comparable",
    ),
    _compatible(
        "r2",
        "Cloudflare R2",
        "https://{account}.r2.cloudflarestorage.com",
        r"[0-9a-f]{32}(?:\.(?:eu|fedramp))?\.r2\.cloudflarestorage\.com",
        (
            "developers.cloudflare.com/r2, S3 API compatibility",
            "developers.cloudflare.com/r2, Multipart upload",
            "developers.cloudflare.com/r2, Limits",
        ),
        throttling=((429, "TooManyRequests"), (503, "ServiceUnavailable")),
        encryption="every object at rest, without effect on the answers",
        region="auto",
        equal_parts=True,
        max_part=5 * GIB - 5 * MIB,
        max_object=5 * TIB - 5 * GIB,
        checksums=("crc64nvme",),
        has_object_lock=False,
    ),
    _compatible(
        "b2",
        "Backblaze B2",
        "https://s3.{region}.backblazeb2.com",
        rf"s3\.{REGION}\.backblazeb2\.com",
        (
            "backblaze.com/docs, S3-Compatible API; only signature V4, only https",
            "backblaze.com/docs, Large files: 10 TB",
            "github.com/stonith404/pingvin-share, issue 798 (checksum headers)",
        ),
        encryption="if the bucket is configured so (SSE-B2)",
        max_part=5 * 10**9,
        max_object=10 * TB,
        checksums=(),
    ),
    _compatible(
        "wasabi",
        "Wasabi",
        "https://s3.{region}.wasabisys.com",
        rf"s3(?:\.{REGION})?\.wasabisys\.com",
        (
            "docs.wasabi.com, Service URLs for storage regions",
            "docs.wasabi.com, REST API introduction: path-style is recommended; error codes",
            "wasabi.com, Minimum and maximum object sizes",
        ),
        throttling=((403, "RequestRateLimitExceeded"), *_SLOW_DOWN),
        encryption="every object at rest, without effect on the answers",
        region="us-east-1",  # of the host without a region
        is_global=True,
        path_style=True,
        max_object=5 * TB,
    ),
    _compatible(
        "minio",
        "MinIO",
        "",
        _NO_HOST,
        (
            "min.io/docs, Thresholds and limits",
            "min.io/docs, S3 API compatibility",
            "min.io/docs, Server configuration: us-east-1 unless the server sets another region",
        ),
        encryption="if server or bucket is configured so; then ETags are not MD5s",
        lists="ListMultipartUploads finds only uploads whose key is the whole prefix",
        region="us-east-1",
        path_style=True,
    ),
    _compatible(
        "ceph",
        "Ceph RADOS Gateway",
        "",
        _NO_HOST,
        (
            "docs.ceph.com/radosgw, Object Gateway Config Reference",
            "docs.ceph.com/radosgw, Encryption",
        ),
        encryption="if server or bucket is configured so",
        region="us-east-1",
        path_style=True,
    ),
    _compatible(
        "scaleway",
        "Scaleway Object Storage",
        "https://s3.{region}.scw.cloud",
        rf"s3\.{REGION}\.scw\.cloud",
        ("scaleway.com/en/docs/object-storage, Managing multipart uploads: 1,000 parts, objects of 5 TB",),
        encryption="if the bucket is configured so",
        max_parts=1000,
        max_object=5 * TB,
    ),
    _compatible(
        "ovh",
        "OVHcloud Object Storage",
        "https://s3.{region}.io.cloud.ovh.net",
        rf"s3\.{REGION}\.(?:io|perf)\.cloud\.ovh\.net",
        _OVH_SOURCES,
        encryption="if the bucket is configured so",
        max_object=48 * TIB,
        checksums=(),
    ),
    _compatible(
        "ovh-us",
        "OVHcloud Object Storage (United States)",
        "https://s3.{region}.io.cloud.ovh.us",
        rf"s3\.{REGION}\.io\.cloud\.ovh\.us",
        _OVH_SOURCES,
        encryption="if the bucket is configured so",
        max_object=48 * TIB,
        checksums=(),
    ),
    _compatible(
        "digitalocean",
        "DigitalOcean Spaces",
        "https://{region}.digitaloceanspaces.com",
        rf"{REGION}\.digitaloceanspaces\.com",
        ("docs.digitalocean.com/products/spaces, Limits", "docs.digitalocean.com, Use AWS S3 SDKs"),
        encryption="every object at rest, without effect on the answers",
        max_part=5 * 10**9,
        max_object=5 * TB,
    ),
    _compatible(
        "storj",
        "Storj",
        "https://gateway.storjshare.io",
        r"gateway(?:\.(?:us1|eu1|ap1))?\.storjshare\.io",
        (
            "storj.dev, S3 compatibility: the region of the signature is ignored",
            "storj.dev, Multipart part size",
            "github.com/rclone/rclone, backend/s3/provider/Storj.yaml (copies of parts)",
        ),
        throttling=((429, "TooManyRequests"), *_SLOW_DOWN),
        encryption="every object at rest, without effect on the answers",
        lists="not in alphabetical order; parts cannot be copied",
        region="global",
    ),
    _compatible(
        "idrive",
        "IDrive e2",
        "",
        rf"s3\.{REGION}\.idrivee2\.com|[a-z0-9]+\.[a-z0-9]+\.idrivee2-[0-9]+\.com",
        ("idrive.com/object-storage-e2, Developer guide; S3 compatible API",),
        encryption="if the bucket is configured so; then ETags are not MD5s",
        region="us-east-1",
        path_style=True,
    ),
    _compatible(
        "cos",
        "Tencent Cloud COS",
        "https://cos.{region}.myqcloud.com",
        rf"cos\.(?!accelerate\.){REGION}\.myqcloud\.com",
        (
            "tencentcloud.com/document/product/436, Use the AWS S3 SDK to access COS: the bucket is in the host",
            "tencentcloud.com/document/product/436, CRC64 Check",
            "tencentcloud.com/document/product/436, Object Overview",
            "github.com/rclone/rclone, backend/s3/provider/TencentCOS.yaml (ETags)",
        ),
        encryption="if the bucket is configured so",
        has_composite_etags=False,
        crc64="x-cos-hash-crc64ecma",
    ),
    _compatible(
        "gcs",
        "Google Cloud Storage (interoperability)",
        "https://storage.googleapis.com",
        r"storage\.googleapis\.com",
        (
            "cloud.google.com/storage, Simple migration from Amazon S3: HMAC keys, the region auto",
            "cloud.google.com/storage, XML API multipart uploads; Hashes and ETags",
            "cloud.google.com/storage, Quotas and limits",
            "github.com/rclone/rclone, backend/s3/provider/GCS.yaml (copies of parts)",
            "github.com/langfuse/langfuse, pull request 13280 (checksum headers)",
        ),
        throttling=((429, "TooManyRequests"), *_SLOW_DOWN),
        encryption="every object at rest, without effect on the answers",
        lists="parts cannot be copied",
        region="auto",
        max_object=5 * TIB,
        has_composite_etags=False,
        checksums=(),
    ),
)
"""Every service with a name, those of the vendors first."""
