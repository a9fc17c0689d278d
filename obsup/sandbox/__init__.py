"""A local test server for the multipart dialects of OBS, S3 and OSS."""

from obsup.sandbox.limits import Limits
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import ObjectMetadata, OpenUpload, Sandbox

__all__ = ["Limits", "ObjectMetadata", "OpenUpload", "RequestRecord", "Sandbox"]
