"""Buckets: as much of them as uploading clients ask about."""

from __future__ import annotations

from obsup.sandbox.operations.call import Call
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.names import check_bucket_name
from obsup.sandbox.wire.response import Answer, Child, document, iso_date

REGION = "sandbox"


def head(call: Call) -> Answer:
    """Answer that the bucket exists (whether it does is checked before any operation)."""
    if call.vendor.name == "s3":
        return Answer(headers={"x-amz-bucket-region": REGION})
    return Answer(headers={call.vendor.header("bucket-location"): REGION})


def create(call: Call) -> Answer:
    """Make a bucket; a bucket that is there stays as it is."""
    check_bucket_name(call.bucket, call.vendor)
    call.disk.make_bucket(call.bucket)
    return Answer(headers={"Location": f"/{call.bucket}"})


def delete(call: Call) -> Answer:
    """Remove an empty bucket. Raises Refused (409 BucketNotEmpty)."""
    if call.uploads.listed(call.bucket) or not call.disk.remove_bucket(call.bucket):
        raise Refused(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
    return Answer(204)


def list_all(call: Call) -> Answer:
    """Answer the names of all buckets."""
    buckets: list[Child] = [
        ("Bucket", [("Name", name), ("CreationDate", iso_date(0))]) for name in call.disk.buckets()
    ]
    owner: list[Child] = [("ID", "sandbox"), ("DisplayName", "sandbox")]
    return document("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", buckets)], call.vendor)


def location(call: Call) -> Answer:
    """Answer the bucket's region. OSS and S3 have it as the document's own text."""
    if call.vendor.prefix == "x-obs-":
        return document("Location", [("Location", REGION)], call.vendor)
    root = "LocationConstraint"
    xmlns = f' xmlns="{call.vendor.namespace}"' if call.vendor.namespace else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{xmlns}>{REGION}</{root}>'
    return Answer(headers={"Content-Type": "application/xml"}, body=text.encode())
