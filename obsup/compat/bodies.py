"""The bodies of the SDK's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from obsup import events
from obsup.compat.models import Model, encryption_of, local_time, quoted_etag
from obsup.store.answers import xml


def completed_body(result: Any, bucket: str, key: str) -> Model:
    """Return the body of a completed object."""
    return Model(
        location=result.location,
        bucket=bucket,
        key=key,
        etag=quoted_etag(result.etag),
        versionId=result.version_id,
        objectUrl=result.location,
        **encryption_of(result),
    )


def parts_body(listed: Sequence[Any], seen: Sequence[events.Requested], names: tuple[str, str, str]) -> Model:
    """Return the body of a list of parts. *names* are bucket, key and upload id."""
    first, last = xml.parse(seen[0].body), xml.parse(seen[-1].body)
    parts = [
        Model(
            partNumber=one.number,
            lastModified=local_time(one.last_modified),
            etag=quoted_etag(one.etag),
            size=one.size,
        )
        for one in listed
    ]
    return Model(
        bucketName=names[0],
        objectKey=names[1],
        uploadId=names[2],
        storageClass=last.findtext("StorageClass"),
        partNumberMarker=int(first.findtext("PartNumberMarker") or 0),
        nextPartNumberMarker=int(last.findtext("NextPartNumberMarker") or 0),
        isTruncated=last.findtext("IsTruncated") == "true",
        parts=parts,
        **_people(last),
    )


def uploads_body(
    listed: Sequence[Any], seen: Sequence[events.Requested], bucket: str, wanted: Mapping[str, Any]
) -> Model:
    """Return the body of a list of uploads; *wanted* is the request."""
    pages = [xml.parse(one.body) for one in seen]
    elements = {one.findtext("UploadId"): one for page in pages for one in page.findall("Upload")}
    uploads = [
        Model(
            key=one.upload.target.key,
            uploadId=one.upload.upload_id,
            storageClass=elements[one.upload.upload_id].findtext("StorageClass"),
            initiated=local_time(one.initiated),
            **_people(elements[one.upload.upload_id]),
        )
        for one in listed
        if not one.is_prefix and one.upload.upload_id in elements
    ]
    return Model(
        bucket=bucket,
        keyMarker=wanted.get("key_marker"),
        uploadIdMarker=wanted.get("upload_id_marker"),
        nextKeyMarker=xml.key(
            pages[-1], "NextKeyMarker", url_encoded=pages[-1].findtext("EncodingType") == "url"
        ),
        nextUploadIdMarker=pages[-1].findtext("NextUploadIdMarker"),
        isTruncated=pages[-1].findtext("IsTruncated") == "true",
        prefix=wanted.get("prefix"),
        delimiter=wanted.get("delimiter"),
        upload=uploads,
        commonPrefixs=[Model(prefix=one.upload.target.key) for one in listed if one.is_prefix],
    )


def _people(element: xml.Element) -> dict[str, Model]:
    """Return who initiated an upload and who owns it."""
    return {
        "initiator": Model(
            id=element.findtext("Initiator/ID"), name=element.findtext("Initiator/DisplayName")
        ),
        "owner": Model(
            owner_id=element.findtext("Owner/ID"), owner_name=element.findtext("Owner/DisplayName")
        ),
    }
