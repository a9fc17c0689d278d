"""A local test server for the multipart dialects of OBS, S3 and OSS."""

from obsup.sandbox.limits import Limits
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import OpenUpload, Sandbox
from obsup.sandbox.storage.disk import StoredObject

__all__ = ["Limits", "OpenUpload", "RequestRecord", "Sandbox", "StoredObject"]
