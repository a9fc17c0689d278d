"""Resumable, verified multipart uploads to OBS, S3 and OSS object stores.

The public API, described in obsup-python(7). Names load on first use, so ``import obsup`` (and ``obsup --help``) is
fast:

    from obsup import upload_file
    result = upload_file("big.iso", "backups/big.iso", parts=5)
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for that of typing, which takes long to load
if TYPE_CHECKING:
    from obsup.api import abort_upload as abort_upload
    from obsup.api import complete_upload as complete_upload
    from obsup.api import copy_part as copy_part
    from obsup.api import initiate_upload as initiate_upload
    from obsup.api import list_parts as list_parts
    from obsup.api import list_uploads as list_uploads
    from obsup.api import upload_file as upload_file
    from obsup.api import upload_part as upload_part
    from obsup.api import verify_file as verify_file
    from obsup.engine.inspect.open_uploads import ListedUpload as ListedUpload
    from obsup.engine.job.result import Result as Result
    from obsup.engine.job.stop import StopSignal as StopSignal
    from obsup.engine.job.target_settings import ConnectOptions as ConnectOptions
    from obsup.engine.verify.comparison import CannotCompare as CannotCompare
    from obsup.engine.verify.comparison import Identical as Identical
    from obsup.errors import BadConfiguration as BadConfiguration
    from obsup.errors import Busy as Busy
    from obsup.errors import CheckpointUnwritable as CheckpointUnwritable
    from obsup.errors import CommandFailed as CommandFailed
    from obsup.errors import DataMismatch as DataMismatch
    from obsup.errors import Denied as Denied
    from obsup.errors import DigestRequired as DigestRequired
    from obsup.errors import HungUp as HungUp
    from obsup.errors import Interrupted as Interrupted
    from obsup.errors import LocalFailure as LocalFailure
    from obsup.errors import NextStep as NextStep
    from obsup.errors import NotFinished as NotFinished
    from obsup.errors import NotPermitted as NotPermitted
    from obsup.errors import ObjectExists as ObjectExists
    from obsup.errors import ObsupError as ObsupError
    from obsup.errors import OtherRank as OtherRank
    from obsup.errors import OutOfTime as OutOfTime
    from obsup.errors import Refusal as Refusal
    from obsup.errors import Refused as Refused
    from obsup.errors import SourceChanged as SourceChanged
    from obsup.errors import SourceTouched as SourceTouched
    from obsup.errors import SourceUnreadable as SourceUnreadable
    from obsup.errors import Stopped as Stopped
    from obsup.errors import Terminated as Terminated
    from obsup.errors import Throttled as Throttled
    from obsup.errors import Unsupported as Unsupported
    from obsup.errors import UploadGone as UploadGone
    from obsup.errors import WorkerLost as WorkerLost
    from obsup.errors import WrongUsage as WrongUsage
    from obsup.events import Begun as Begun
    from obsup.events import Event as Event
    from obsup.events import Noted as Noted
    from obsup.events import Observer as Observer
    from obsup.events import PartSent as PartSent
    from obsup.events import PartStored as PartStored
    from obsup.events import ProgressCallback as ProgressCallback
    from obsup.events import Requested as Requested
    from obsup.events import Retried as Retried
    from obsup.local.source.expectation import Expectation as Expectation
    from obsup.local.source.file_object import Readable as Readable
    from obsup.local.state.checkpoint import CheckpointDamaged as CheckpointDamaged
    from obsup.model import Credentials as Credentials
    from obsup.model import ObjectInfo as ObjectInfo
    from obsup.model import ObjectLock as ObjectLock
    from obsup.model import ObjectOptions as ObjectOptions
    from obsup.model import Receipt as Receipt
    from obsup.model import SourceStat as SourceStat
    from obsup.model import Stored as Stored
    from obsup.model import StoredPart as StoredPart
    from obsup.model import Target as Target
    from obsup.model import Upload as Upload
    from obsup.store.http.settings import ConnectionSettings as ConnectionSettings
    from obsup.version import __version__ as __version__

# Where each name is. Type checkers read the imports above.
_NAMES = {
    "obsup.api": """abort_upload complete_upload copy_part initiate_upload list_parts list_uploads upload_file
        upload_part verify_file""",
    "obsup.engine.inspect.open_uploads": "ListedUpload",
    "obsup.engine.job.result": "Result",
    "obsup.engine.job.stop": "StopSignal",
    "obsup.engine.job.target_settings": "ConnectOptions",
    "obsup.engine.verify.comparison": "CannotCompare Identical",
    "obsup.errors": """BadConfiguration Busy CheckpointUnwritable CommandFailed DataMismatch Denied DigestRequired
        HungUp Interrupted LocalFailure NextStep NotFinished NotPermitted ObjectExists ObsupError OtherRank OutOfTime
        Refusal Refused SourceChanged SourceTouched SourceUnreadable Stopped Terminated Throttled Unsupported UploadGone
        WorkerLost WrongUsage""",
    "obsup.events": "Begun Event Noted Observer PartSent PartStored ProgressCallback Requested Retried",
    "obsup.local.source.expectation": "Expectation",
    "obsup.local.source.file_object": "Readable",
    "obsup.local.state.checkpoint": "CheckpointDamaged",
    "obsup.model": """Credentials ObjectInfo ObjectLock ObjectOptions Receipt SourceStat Stored StoredPart Target
        Upload""",
    "obsup.store.http.settings": "ConnectionSettings",
    "obsup.version": "__version__",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'obsup' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
