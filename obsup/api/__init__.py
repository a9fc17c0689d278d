"""The public Python API: upload a file in one call, or in single steps. ``obsup`` exports all of it."""

from obsup.api.lists import list_parts, list_uploads, verify_file
from obsup.api.steps import abort_upload, complete_upload, copy_part, initiate_upload, upload_part
from obsup.api.upload import upload_file

__all__ = [
    "abort_upload",
    "complete_upload",
    "copy_part",
    "initiate_upload",
    "list_parts",
    "list_uploads",
    "upload_file",
    "upload_part",
    "verify_file",
]
