"""The services that speak the protocol of a vendor: where they are, and in what they differ from it.

A service is selected by its name (``--provider r2``) or recognised by its host. No compatible service was tried with an
account: the rows are what the sources say.
"""

from __future__ import annotations

from obsup.dialects.vendor import REGION, HostFamily
from obsup.value import Value


class StoreService(Value):
    """A service with its own endpoints.

    ``endpoint`` is their form, with ``{region}`` or ``{account}``; empty if every server or customer has another.
    ``provider`` is the vendor whose protocol it speaks. ``family`` describes its hosts and its limits; None for a
    service of the vendor itself.
    """

    name: str
    title: str
    provider: str
    endpoint: str
    family: HostFamily | None = None


def _compatible(name: str, title: str, endpoint: str, hosts: str, **rules: object) -> StoreService:
    family = HostFamily(name, hosts, is_vendor=False, **rules)  # type: ignore[arg-type]
    return StoreService(name, title, "s3", endpoint, family)


_NO_HOST = r"(?!)"
"""Matches no host: the servers of these services have the names that their owners give them."""

SERVICES = (
    StoreService("aws", "Amazon S3", "s3", "https://s3.{region}.amazonaws.com"),
    StoreService("huawei", "Huawei Cloud OBS", "obs", "https://obs.{region}.myhuaweicloud.com"),
    StoreService("otc", "Open Telekom Cloud OBS", "obs", "https://obs.{region}.otc.t-systems.com"),
    StoreService("alibaba", "Alibaba Cloud OSS", "oss", "https://oss-{region}.aliyuncs.com"),
    # Cloudflare R2, "S3 API compatibility" and "Multipart upload": the region is auto; equal parts but for the last.
    _compatible(
        "r2",
        "Cloudflare R2",
        "https://{account}.r2.cloudflarestorage.com",
        r"[0-9a-f]{32}(?:\.(?:eu|fedramp))?\.r2\.cloudflarestorage\.com",
        region="auto",
        equal_parts=True,
    ),
    # Backblaze, "Call the S3-Compatible API": only signature V4, only https.
    _compatible(
        "b2",
        "Backblaze B2",
        "https://s3.{region}.backblazeb2.com",
        rf"s3\.{REGION}\.backblazeb2\.com",
    ),
    # Wasabi, "Service URLs for storage regions", "REST API introduction": path-style is recommended.
    _compatible(
        "wasabi",
        "Wasabi",
        "https://s3.{region}.wasabisys.com",
        rf"s3\.{REGION}\.wasabisys\.com",
        path_style=True,
    ),
    # MinIO, "Server configuration": us-east-1 unless the server sets another region; path-style without a domain.
    _compatible("minio", "MinIO", "", _NO_HOST, region="us-east-1", path_style=True),
    # Ceph, "RADOS Gateway: S3 API", "rgw_dns_name": path-style without a configured domain.
    _compatible("ceph", "Ceph RADOS Gateway", "", _NO_HOST, region="us-east-1", path_style=True),
    # Scaleway, "Object Storage: limitations": 1,000 parts per upload.
    _compatible(
        "scaleway",
        "Scaleway Object Storage",
        "https://s3.{region}.scw.cloud",
        rf"s3\.{REGION}\.scw\.cloud",
        max_parts=1000,
    ),
    # OVHcloud, "Object Storage: endpoints and geoavailability".
    _compatible(
        "ovh",
        "OVHcloud Object Storage",
        "https://s3.{region}.io.cloud.ovh.net",
        rf"s3\.{REGION}\.io\.cloud\.ovh\.net",
    ),
    _compatible(
        "ovh-us",
        "OVHcloud Object Storage (United States)",
        "https://s3.{region}.io.cloud.ovh.us",
        rf"s3\.{REGION}\.io\.cloud\.ovh\.us",
    ),
    # DigitalOcean, "Spaces: use AWS S3 SDKs".
    _compatible(
        "digitalocean",
        "DigitalOcean Spaces",
        "https://{region}.digitaloceanspaces.com",
        rf"{REGION}\.digitaloceanspaces\.com",
    ),
    # Storj, "S3 compatibility": one gateway for all regions; it ignores the region of the signature.
    _compatible(
        "storj",
        "Storj",
        "https://gateway.storjshare.io",
        r"gateway(?:\.(?:us1|eu1|ap1))?\.storjshare\.io",
        region="global",
    ),
    # IDrive e2, "Developer guide": every customer has an endpoint per region; the dashboard shows it.
    _compatible(
        "idrive",
        "IDrive e2",
        "",
        r"[a-z0-9]+\.[a-z]{2,3}\.idrivee2(?:-[0-9]+)?\.com",
        region="us-east-1",
        path_style=True,
    ),
    # Tencent Cloud, "Use the AWS S3 SDK to access COS": the bucket is in the host.
    _compatible(
        "cos",
        "Tencent Cloud COS",
        "https://cos.{region}.myqcloud.com",
        rf"cos\.(?!accelerate\.){REGION}\.myqcloud\.com",
    ),
    # Google Cloud, "Simple migration from Amazon S3": HMAC keys, the region auto.
    _compatible(
        "gcs",
        "Google Cloud Storage (interoperability)",
        "https://storage.googleapis.com",
        r"storage\.googleapis\.com",
        region="auto",
    ),
)
"""Every service with a name, those of the vendors first."""
