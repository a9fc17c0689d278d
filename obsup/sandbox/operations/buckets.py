"""Bucket operations that upload clients use."""

from __future__ import annotations

from obsup.sandbox.operations.call import Call
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.names import check_bucket_name
from obsup.sandbox.wire.response import Child, Response, document, iso_date

REGION = "sandbox"


def head(call: Call) -> Response:
    """Report that the bucket exists (it is checked before every operation)."""
    if call.vendor.name == "s3":
        return Response(headers={"x-amz-bucket-region": REGION})
    return Response(headers={call.vendor.header("bucket-location"): REGION})


def create(call: Call) -> Response:
    """Create a bucket; an existing bucket is left unchanged."""
    check_bucket_name(call.bucket, call.vendor)
    call.disk.make_bucket(call.bucket)
    return Response(headers={"Location": f"/{call.bucket}"})


def delete(call: Call) -> Response:
    """Remove an empty bucket. Raises Refused (409 BucketNotEmpty)."""
    if call.uploads.listed(call.bucket) or not call.disk.remove_bucket(call.bucket):
        raise Refused(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
    return Response(204)


def list_all(call: Call) -> Response:
    """List all buckets."""
    buckets: list[Child] = [
        ("Bucket", [("Name", name), ("CreationDate", iso_date(changed))])
        for name, changed in call.disk.buckets()
    ]
    owner: list[Child] = [("ID", "sandbox"), ("DisplayName", "sandbox")]
    return document("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", buckets)], call.vendor)


def location(call: Call) -> Response:
    """Return the bucket's region. OSS and S3 return it as the text of the root element."""
    if call.vendor.prefix == "x-obs-":
        return document("Location", [("Location", REGION)], call.vendor)
    root = "LocationConstraint"
    xmlns = f' xmlns="{call.vendor.namespace}"' if call.vendor.namespace else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{xmlns}>{REGION}</{root}>'
    return Response(headers={"Content-Type": "application/xml"}, body=text.encode())


def versioning(call: Call) -> Response:
    """Report that versioning was never enabled."""
    return document("VersioningConfiguration", [], call.vendor)
