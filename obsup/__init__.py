"""Resumable, verified multipart uploads to OBS, S3 and OSS object stores.

The public API, described in obsup-python(7). Names load on first use, so ``import obsup`` (and ``obsup --help``) is
fast:

    from obsup import upload_file
    result = upload_file("big.iso", "backups/big.iso", parts=5)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obsup.api import (
        abort_upload,
        complete_upload,
        copy_part,
        initiate_upload,
        list_parts,
        list_uploads,
        upload_file,
        upload_part,
        verify_file,
    )
    from obsup.engine.inspect.open_uploads import ListedUpload
    from obsup.engine.job.result import Result
    from obsup.engine.job.stop import StopSignal
    from obsup.engine.job.target_settings import ConnectOptions
    from obsup.engine.verify.comparison import CannotCompare, Identical
    from obsup.errors import (
        BadConfiguration,
        Busy,
        CheckpointUnwritable,
        CommandFailed,
        DataMismatch,
        Denied,
        DigestRequired,
        HungUp,
        Interrupted,
        LocalFailure,
        NextStep,
        NotFinished,
        NotPermitted,
        ObjectExists,
        ObsupError,
        OtherRank,
        OutOfTime,
        Refusal,
        Refused,
        SourceChanged,
        SourceTouched,
        SourceUnreadable,
        Stopped,
        Terminated,
        Throttled,
        Unsupported,
        UploadGone,
        WorkerLost,
        WrongUsage,
    )
    from obsup.events import (
        Begun,
        Event,
        Noted,
        Observer,
        PartSent,
        PartStored,
        ProgressCallback,
        Requested,
        Retried,
    )
    from obsup.local.source.expectation import Expectation
    from obsup.local.source.file_object import Readable
    from obsup.local.state.checkpoint import CheckpointDamaged
    from obsup.model import (
        Credentials,
        ObjectInfo,
        ObjectLock,
        ObjectOptions,
        Receipt,
        SourceStat,
        Stored,
        StoredPart,
        Target,
        Upload,
    )
    from obsup.store.http.settings import ConnectionSettings
    from obsup.version import __version__

_NAMES = {
    "obsup.api": (
        "abort_upload",
        "complete_upload",
        "copy_part",
        "initiate_upload",
        "list_parts",
        "list_uploads",
        "upload_file",
        "upload_part",
        "verify_file",
    ),
    "obsup.engine.inspect.open_uploads": ("ListedUpload",),
    "obsup.engine.job.result": ("Result",),
    "obsup.engine.job.stop": ("StopSignal",),
    "obsup.engine.job.target_settings": ("ConnectOptions",),
    "obsup.engine.verify.comparison": (
        "CannotCompare",
        "Identical",
    ),
    "obsup.errors": (
        "BadConfiguration",
        "Busy",
        "CheckpointUnwritable",
        "CommandFailed",
        "DataMismatch",
        "Denied",
        "DigestRequired",
        "HungUp",
        "Interrupted",
        "LocalFailure",
        "NextStep",
        "NotFinished",
        "NotPermitted",
        "OtherRank",
        "ObjectExists",
        "ObsupError",
        "OutOfTime",
        "Refusal",
        "Refused",
        "SourceChanged",
        "SourceTouched",
        "SourceUnreadable",
        "Stopped",
        "Terminated",
        "Throttled",
        "Unsupported",
        "UploadGone",
        "WorkerLost",
        "WrongUsage",
    ),
    "obsup.events": (
        "Begun",
        "Event",
        "Noted",
        "Observer",
        "PartSent",
        "PartStored",
        "ProgressCallback",
        "Requested",
        "Retried",
    ),
    "obsup.local.source.expectation": ("Expectation",),
    "obsup.local.source.file_object": ("Readable",),
    "obsup.local.state.checkpoint": ("CheckpointDamaged",),
    "obsup.model": (
        "Credentials",
        "ObjectInfo",
        "ObjectLock",
        "ObjectOptions",
        "Receipt",
        "SourceStat",
        "Stored",
        "StoredPart",
        "Target",
        "Upload",
    ),
    "obsup.store.http.settings": ("ConnectionSettings",),
    "obsup.version": ("__version__",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "BadConfiguration",
    "Begun",
    "Busy",
    "CannotCompare",
    "CheckpointDamaged",
    "CheckpointUnwritable",
    "CommandFailed",
    "ConnectOptions",
    "ConnectionSettings",
    "Credentials",
    "DataMismatch",
    "Denied",
    "DigestRequired",
    "Event",
    "Expectation",
    "HungUp",
    "Identical",
    "Interrupted",
    "ListedUpload",
    "LocalFailure",
    "NextStep",
    "NotFinished",
    "NotPermitted",
    "Noted",
    "ObjectExists",
    "ObjectInfo",
    "ObjectLock",
    "ObjectOptions",
    "Observer",
    "ObsupError",
    "OtherRank",
    "OutOfTime",
    "PartSent",
    "PartStored",
    "ProgressCallback",
    "Readable",
    "Receipt",
    "Refusal",
    "Refused",
    "Requested",
    "Result",
    "Retried",
    "SourceChanged",
    "SourceStat",
    "SourceTouched",
    "SourceUnreadable",
    "StopSignal",
    "Stopped",
    "Stored",
    "StoredPart",
    "Target",
    "Terminated",
    "Throttled",
    "Unsupported",
    "Upload",
    "UploadGone",
    "WorkerLost",
    "WrongUsage",
    "__version__",
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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'obsup' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
