"""The sections of obsup-stores(7): one for each service, with three commands that a test runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from obsup.dialects.dialect import Dialect
from obsup.dialects.registry import STORES
from obsup.dialects.stores import StoreService
from obsup.engine.job.connection import StoreSettings
from obsup.units import format_size


class Example(NamedTuple):
    """What the commands of a section give, and what a user of the service should know.

    ``sources`` are the pages and reports of the facts and of the service's row in ``dialects.stores``. ``throttling``
    are its answers (status, code) to too many requests. ``encryption`` is what it does unasked, ``lists`` in what lists
    and copies differ; empty if nothing is known.
    """

    options: str
    text: str
    bucket: str = "backups"
    sources: tuple[str, ...] = ()
    throttling: tuple[tuple[int, str], ...] = ((503, "SlowDown"),)
    encryption: str = ""
    lists: str = ""


EXAMPLES: Mapping[str, Example] = {
    "aws": Example(
        "--region eu-central-1",
        "Access points and directory buckets are refused.",
        sources=(
            "docs.aws.amazon.com/AmazonS3, Amazon S3 multipart upload limits",
            "docs.aws.amazon.com/AmazonS3, Checking object integrity",
            "docs.aws.amazon.com/AmazonS3, Setting default server-side encryption",
        ),
        encryption="every object, with AES256 unless the bucket names a key; with a key, ETags are not MD5s",
    ),
    "huawei": Example(
        "--region ap-southeast-1",
        "The cloud in Europe has other hosts: give `--endpoint https://obs.eu-west-101.myhuaweicloud.eu`.",
        sources=(
            "support.huaweicloud.com, OBS API reference: Uploading Parts, Error Codes, Server-Side Encryption",
        ),
        encryption="if the bucket is configured so; with a key of KMS, ETags are not MD5s",
    ),
    "otc": Example(
        "--region eu-de",
        "The Swiss cloud has other hosts: give its endpoint.",
        sources=(
            "docs.otc.t-systems.com, OBS API reference: Uploading Parts, Error Codes, Server-Side Encryption",
        ),
        encryption="if the bucket is configured so; with a key of KMS, ETags are not MD5s",
    ),
    "alibaba": Example(
        "--region eu-central-1",
        "Inside the cloud use the endpoint with `-internal`.",
        sources=(
            "alibabacloud.com/help/oss, Limits, InitiateMultipartUpload, Error codes, Server-side encryption",
        ),
        throttling=(
            (503, "QpsLimitExceeded"),
            (503, "UploadTrafficRateLimitExceeded"),
            (503, "TotalQpsLimitExceeded"),
        ),
        encryption="if the bucket is configured so; the CRC-64 stays comparable",
    ),
    "r2": Example(
        f"--account {'0123456789abcdef' * 2}",
        "All parts of an upload but the last have the same size: a stream of unknown length gets parts of 524 "
        "MiB, two of them in memory, so that it can have 5 TiB; with `--expect-size` or `--part-size`, they are "
        "smaller (see obsup-streams(7)). Create an API token for R2: it comes with an "
        "access key id and a secret access key, and its endpoint contains the account. A bucket of the "
        "jurisdiction EU is at `--endpoint https://ACCOUNT.eu.r2.cloudflarestorage.com`.",
        sources=(
            "developers.cloudflare.com/r2, S3 API compatibility",
            "developers.cloudflare.com/r2, Multipart upload",
            "developers.cloudflare.com/r2, Limits",
        ),
        throttling=((429, "TooManyRequests"), (503, "ServiceUnavailable")),
        encryption="every object at rest, without effect on the answers",
    ),
    "b2": Example(
        "--region us-west-004",
        "The region is part of the endpoint of the bucket. Use an application key: its keyID is the access key "
        "id, its applicationKey the secret access key. The master key does not work.",
        sources=(
            "backblaze.com/docs, S3-Compatible API; only signature V4, only https",
            "backblaze.com/docs, Large files: 10 TB",
            "github.com/stonith404/pingvin-share, issue 798 (checksum headers)",
        ),
        encryption="if the bucket is configured so (SSE-B2)",
    ),
    "wasabi": Example(
        "--region eu-central-1",
        "The bucket is in the path, as Wasabi recommends.",
        sources=(
            "docs.wasabi.com, Service URLs for storage regions",
            "docs.wasabi.com, REST API introduction: path-style is recommended; error codes",
            "wasabi.com, Minimum and maximum object sizes",
        ),
        throttling=((403, "RequestRateLimitExceeded"), (503, "SlowDown")),
        encryption="every object at rest, without effect on the answers",
    ),
    "minio": Example(
        "--endpoint https://minio.example.org:9000",
        "The bucket is in the path. If the server sets a region, give it with `--region`.",
        sources=(
            "min.io/docs, Thresholds and limits",
            "min.io/docs, S3 API compatibility",
            "min.io/docs, Server configuration: us-east-1 unless the server sets another region",
        ),
        encryption="if server or bucket is configured so; then ETags are not MD5s",
        lists="ListMultipartUploads finds only uploads whose key is the whole prefix",
    ),
    "ceph": Example(
        "--endpoint https://rgw.example.org",
        "The bucket is in the path; any region works.",
        sources=(
            "docs.ceph.com/radosgw, Object Gateway Config Reference",
            "docs.ceph.com/radosgw, Encryption",
        ),
        encryption="if server or bucket is configured so",
    ),
    "scaleway": Example(
        "--region fr-par",
        "An upload has at most 1,000 parts: obsup makes parts large enough for the file, up to 5 TB. A stream"
        " gets larger parts as it grows.",
        sources=(
            "scaleway.com/en/docs/object-storage, Managing multipart uploads: 1,000 parts, objects of 5 TB",
        ),
        encryption="if the bucket is configured so",
    ),
    "ovh": Example(
        "--region gra",
        "For the regions in the United States see ovh-us.",
        sources=(
            "help.ovhcloud.com, Object Storage - Technical limitations",
            "github.com/ovh/public-cloud-roadmap, issue 781 (checksum headers)",
        ),
        encryption="if the bucket is configured so",
    ),
    "ovh-us": Example(
        "--region us-east-va",
        "The regions outside of the United States are at ovh.",
        sources=(
            "help.ovhcloud.com, Object Storage - Technical limitations",
            "github.com/ovh/public-cloud-roadmap, issue 781 (checksum headers)",
        ),
        encryption="if the bucket is configured so",
    ),
    "digitalocean": Example(
        "--region fra1",
        "Use keys for Spaces, not an API token.",
        sources=("docs.digitalocean.com/products/spaces, Limits", "docs.digitalocean.com, Use AWS S3 SDKs"),
        encryption="every object at rest, without effect on the answers",
    ),
    "storj": Example(
        "",
        "One gateway serves all regions. Create S3 credentials in the console. Storj recommends parts of 64 MiB: "
        "`--part-size 64M` saves storage cost.",
        sources=(
            "storj.dev, S3 compatibility: the region of the signature is ignored",
            "storj.dev, Multipart part size",
            "github.com/rclone/rclone, backend/s3/provider/Storj.yaml (copies of parts)",
        ),
        throttling=((429, "TooManyRequests"), (503, "SlowDown")),
        encryption="every object at rest, without effect on the answers",
        lists="not in alphabetical order; parts cannot be copied",
    ),
    "idrive": Example(
        "--endpoint https://q5r1.fra.idrivee2-32.com",
        "The dashboard shows the endpoint, which differs between customers; `https://s3.REGION.idrivee2.com` "
        "contains the region.",
        sources=("idrive.com/object-storage-e2, Developer guide; S3 compatible API",),
        encryption="if the bucket is configured so; then ETags are not MD5s",
    ),
    "cos": Example(
        "--region eu-frankfurt",
        "The name of a bucket ends in the id of the account. The SecretId is the access key id.",
        bucket="backups-1250000000",
        sources=(
            "tencentcloud.com/document/product/436, Use the AWS S3 SDK to access COS: the bucket is in the host",
            "tencentcloud.com/document/product/436, CRC64 Check",
            "tencentcloud.com/document/product/436, Object Overview",
            "github.com/rclone/rclone, backend/s3/provider/TencentCOS.yaml (ETags)",
        ),
        encryption="if the bucket is configured so",
    ),
    "gcs": Example(
        "",
        "Create an HMAC key for a service account (interoperability) and use it as access key and secret.",
        sources=(
            "cloud.google.com/storage, Simple migration from Amazon S3: HMAC keys, the region auto",
            "cloud.google.com/storage, XML API multipart uploads; Hashes and ETags",
            "cloud.google.com/storage, Quotas and limits",
            "github.com/rclone/rclone, backend/s3/provider/GCS.yaml (copies of parts)",
            "github.com/langfuse/langfuse, pull request 13280 (checksum headers)",
        ),
        throttling=((429, "TooManyRequests"), (503, "SlowDown")),
        encryption="every object at rest, without effect on the answers",
        lists="parts cannot be copied",
    ),
}


def commands(service: StoreService) -> str:
    """Return the three commands of the section of *service*."""
    example = EXAMPLES[service.name]
    options = f" {example.options}".rstrip()
    first = f"obsup config init --provider {service.name}{options}"
    return f"{first}\nobsup doctor {example.bucket}\nobsup upload bigfile {example.bucket}/2026/\n"


def sections() -> str:
    """Return all sections, in Markdown."""
    return "\n\n".join(_section(service) for service in STORES.values())


def _section(service: StoreService) -> str:
    family = service.family
    rules = [f"Endpoint: {f'`{service.endpoint}`' if service.endpoint else 'given with `--endpoint`'}."]
    if family is not None and family.region is not None and "{region}" not in service.endpoint:
        rules.append(f"Region of the signatures: {family.region}, unless `--region` says otherwise.")
    text = f"{' '.join(rules)} {EXAMPLES[service.name].text}"
    block = f"<!-- store: {service.name} -->\n```sh\n{commands(service)}```"
    facts = "\n".join(f"- {title}: {fact}." for title, fact in _facts(service) if fact)
    return f"## {service.name}: {service.title}\n\n{text}\n\n{block}\n\n{facts}"


def _facts(service: StoreService) -> Iterator[tuple[str, str]]:
    """Yield what a user should know, as (title, fact); limits, ETags and checksums from the data that obsup uses."""
    example = EXAMPLES[service.name]
    dialect = StoreSettings(service.provider, "https://store.example", store=service.name).dialect
    limits = dialect.limits
    equal = ", all of one size but the last" if limits.equal_parts else ""
    yield (
        "Objects",
        f"up to {_size(limits.max_object)}, in up to {limits.max_parts:,} parts of {_size(limits.min_part)} "
        f"to {_size(limits.max_part)}{equal}",
    )
    yield "ETags", _etags(dialect)
    yield "Checksums", _checksums(service, dialect)
    yield "Encryption unasked", example.encryption
    yield "Lists and copies", example.lists
    answers = ", ".join(f"{status} {code}" for status, code in example.throttling)
    yield "Too many requests", f"{answers}; obsup waits, and sends fewer parts at the same time"
    yield "Sources", "; ".join(example.sources)


def _size(size: int) -> str:
    """Return *size* as the services count it: binary, or decimal if that is a round number."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9)):
        if size % scale == 0:
            return f"{size // scale} {unit}"
    return format_size(size).replace(".0 ", " ")


def _etags(dialect: Dialect) -> str:
    if dialect.etag_is_composite:
        return "the MD5 of a part; of an object, the MD5 of those of its parts"
    return "the MD5 of a part; that of an object in parts is not compared"


def _checksums(service: StoreService, dialect: Dialect) -> str:
    crc64 = f"CRC-64 in `{dialect.headers.crc64}`, of parts and objects" if dialect.headers.crc64 else ""
    family = service.family
    if service.provider != "s3" or crc64:
        return crc64
    if family is None:
        return "crc64nvme, crc32c, sha256 and others"
    if family.checksums is None:
        return "not in the sources"
    return ", ".join(family.checksums) or "requests with their headers were rejected, so obsup sends none"
