"""Resumable, verified multipart uploads to OBS, S3 and OSS object stores.

The public API. Names load on first use, so ``import obsup`` (and ``obsup --help``) is fast:

    from obsup import upload_file
    result = upload_file("big.iso", "backups/big.iso", parts=5)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obsup.api import abort_upload, complete_upload, initiate_upload, upload_file, upload_part
    from obsup.engine.job.result import Result
    from obsup.engine.upload.uploader import Uploader
    from obsup.errors import ObsupError
    from obsup.model import Credentials, ObjectOptions
    from obsup.version import __version__

_MODULES = {
    "__version__": "obsup.version",
    "upload_file": "obsup.api",
    "initiate_upload": "obsup.api",
    "upload_part": "obsup.api",
    "complete_upload": "obsup.api",
    "abort_upload": "obsup.api",
    "Uploader": "obsup.api",
    "Result": "obsup.api",
    "ObsupError": "obsup.errors",
    "Credentials": "obsup.model",
    "ObjectOptions": "obsup.model",
}

__all__ = [
    "Credentials",
    "ObjectOptions",
    "ObsupError",
    "Result",
    "Uploader",
    "__version__",
    "abort_upload",
    "complete_upload",
    "initiate_upload",
    "upload_file",
    "upload_part",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'obsup' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)
