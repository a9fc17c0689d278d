"""The public Python API: upload a file in one call, or in single steps. ``obsup`` exports all of it."""

from obsup.api.lists import list_parts as list_parts
from obsup.api.lists import list_uploads as list_uploads
from obsup.api.lists import verify_file as verify_file
from obsup.api.steps import abort_upload as abort_upload
from obsup.api.steps import complete_upload as complete_upload
from obsup.api.steps import copy_part as copy_part
from obsup.api.steps import initiate_upload as initiate_upload
from obsup.api.steps import upload_part as upload_part
from obsup.api.upload import upload_file as upload_file
