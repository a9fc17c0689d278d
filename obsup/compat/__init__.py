"""The calls of the vendors' SDK over the API of obsup: a program runs after its import of the SDK is changed."""

from obsup.compat.client import ObsClient
from obsup.compat.constants import HeadPermission, Permission, StorageClass
from obsup.compat.models import (
    CompleteMultipartUploadRequest,
    CompletePart,
    ExtensionGrant,
    GetResult,
    ListMultipartUploadsRequest,
    SseCHeader,
    SseKmsHeader,
    UploadFileHeader,
)

__all__ = [
    "CompleteMultipartUploadRequest",
    "CompletePart",
    "ExtensionGrant",
    "GetResult",
    "HeadPermission",
    "ListMultipartUploadsRequest",
    "ObsClient",
    "Permission",
    "SseCHeader",
    "SseKmsHeader",
    "StorageClass",
    "UploadFileHeader",
]
