"""The services that use the protocol of a vendor: where they are, and in what they differ from it.

A service is selected by its name (``--provider r2``) or recognised by its host. No compatible service was tried with an
account: the rows are what the pages and reports say that obsup-stores(7) names.
"""

from __future__ import annotations

from obsup.dialects.vendor import REGION, HostFamily
from obsup.units import GIB, MIB, TIB
from obsup.value import Value

TB = 10**12


class StoreService(Value):
    """A service with its own endpoints.

    ``endpoint`` is their form, with ``{region}`` or ``{account}``; empty if every server or customer has another.
    ``provider`` is the vendor whose protocol it uses. ``family`` describes its hosts and its limits; None for a
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
    _compatible(
        "r2",
        "Cloudflare R2",
        "https://{account}.r2.cloudflarestorage.com",
        r"[0-9a-f]{32}(?:\.(?:eu|fedramp))?\.r2\.cloudflarestorage\.com",
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
        max_part=5 * 10**9,
        max_object=10 * TB,
        checksums=(),
    ),
    _compatible(
        "wasabi",
        "Wasabi",
        "https://s3.{region}.wasabisys.com",
        rf"s3(?:\.{REGION})?\.wasabisys\.com",
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
        region="us-east-1",
        path_style=True,
    ),
    _compatible(
        "ceph",
        "Ceph RADOS Gateway",
        "",
        _NO_HOST,
        region="us-east-1",
        path_style=True,
    ),
    _compatible(
        "scaleway",
        "Scaleway Object Storage",
        "https://s3.{region}.scw.cloud",
        rf"s3\.{REGION}\.scw\.cloud",
        max_parts=1000,
        max_object=5 * TB,
    ),
    _compatible(
        "ovh",
        "OVHcloud Object Storage",
        "https://s3.{region}.io.cloud.ovh.net",
        rf"s3\.{REGION}\.(?:io|perf)\.cloud\.ovh\.net",
        max_object=48 * TIB,
        checksums=(),
    ),
    _compatible(
        "ovh-us",
        "OVHcloud Object Storage (United States)",
        "https://s3.{region}.io.cloud.ovh.us",
        rf"s3\.{REGION}\.io\.cloud\.ovh\.us",
        max_object=48 * TIB,
        checksums=(),
    ),
    _compatible(
        "digitalocean",
        "DigitalOcean Spaces",
        "https://{region}.digitaloceanspaces.com",
        rf"{REGION}\.digitaloceanspaces\.com",
        max_part=5 * 10**9,
        max_object=5 * TB,
    ),
    _compatible(
        "storj",
        "Storj",
        "https://gateway.storjshare.io",
        r"gateway(?:\.(?:us1|eu1|ap1))?\.storjshare\.io",
        region="global",
    ),
    _compatible(
        "idrive",
        "IDrive e2",
        "",
        rf"s3\.{REGION}\.idrivee2\.com|[a-z0-9]+\.[a-z0-9]+\.idrivee2-[0-9]+\.com",
        region="us-east-1",
        path_style=True,
    ),
    _compatible(
        "cos",
        "Tencent Cloud COS",
        "https://cos.{region}.myqcloud.com",
        rf"cos\.(?!accelerate\.){REGION}\.myqcloud\.com",
        has_composite_etags=False,
        crc64="x-cos-hash-crc64ecma",
    ),
    _compatible(
        "gcs",
        "Google Cloud Storage (interoperability)",
        "https://storage.googleapis.com",
        r"storage\.googleapis\.com",
        region="auto",
        max_object=5 * TIB,
        has_composite_etags=False,
        checksums=(),
    ),
)
"""Every service with a name, those of the vendors first."""
