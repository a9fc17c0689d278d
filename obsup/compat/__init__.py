"""The calls of the vendors' SDK over the API of obsup: a program runs after its import of the SDK is changed."""

from obsup.compat.client import ObsClient as ObsClient
from obsup.compat.constants import HeadPermission as HeadPermission
from obsup.compat.constants import Permission as Permission
from obsup.compat.constants import StorageClass as StorageClass
from obsup.compat.models import CompleteMultipartUploadRequest as CompleteMultipartUploadRequest
from obsup.compat.models import CompletePart as CompletePart
from obsup.compat.models import ExtensionGrant as ExtensionGrant
from obsup.compat.models import GetResult as GetResult
from obsup.compat.models import ListMultipartUploadsRequest as ListMultipartUploadsRequest
from obsup.compat.models import SseCHeader as SseCHeader
from obsup.compat.models import SseKmsHeader as SseKmsHeader
from obsup.compat.models import UploadFileHeader as UploadFileHeader
