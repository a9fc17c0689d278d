"""Which upload a command is about: through the checkpoint of SOURCE and TARGET, or through its upload id."""

from __future__ import annotations

from pathlib import Path

from obsup.errors import WrongUsage
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, started_uploads
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged
from obsup.model import Target, Upload
from obsup.text import quoted, shell_line
from obsup.value import Value


class UploadSelector(Value):
    """How a command names an upload. ``checkpoint`` is the file that the user named, None for the usual place."""

    target: Target
    source: Path | None = None
    upload_id: str | None = None
    checkpoint: Path | None = None

    @property
    def path(self) -> Path | None:
        """Where the checkpoint is, or would be; None where no source tells."""
        if self.checkpoint is not None or self.source is None:
            return self.checkpoint
        return checkpoint_path.default_path(self.source, self.target)


class FoundUpload(Value):
    """An upload, and its checkpoint with its place where this machine has one."""

    upload: Upload
    checkpoint: Checkpoint | None = None
    path: Path | None = None

    def check_of_file(self) -> None:
        """Raise WrongUsage for the upload of a stream: only who reads the stream knows where it ends."""
        if self.checkpoint is not None and not Path(self.checkpoint.source).is_absolute():
            raise WrongUsage(
                f"the upload of {self.upload.target} was begun from a stream",
                "its parts are known only to who reads the stream, and so is its end",
                "end it with the same obsup upload, or give it up with obsup abort",
            )

    def forget(self) -> None:
        """Remove the checkpoint and the memory of the upload: it is completed or given up."""
        if self.path is not None:
            checkpoints.remove(self.path)
        started_uploads.remove(self.upload)


def find_upload(selector: UploadSelector) -> FoundUpload | None:
    """Return the upload that is meant, or None where nothing here tells of one.

    An upload id that is named needs no checkpoint, and one of another upload does not count. Raises WrongUsage
    for a checkpoint of another target, CheckpointDamaged.
    """
    path = selector.path
    found = _load(path, needed=selector.upload_id is None) if path is not None else None
    if selector.upload_id is not None:
        if found is not None and found.upload == Upload(
            selector.target, selector.upload_id, found.upload.token
        ):
            return FoundUpload(found.upload, found, path)
        known = started_uploads.find(Upload(selector.target, selector.upload_id))
        return FoundUpload(known.upload if known is not None else Upload(selector.target, selector.upload_id))
    if found is None or not found.upload.upload_id:
        return None
    if found.upload.target != selector.target:
        raise WrongUsage(
            f"the checkpoint {quoted(str(path))} is about {found.upload.target} at {found.upload.target.endpoint}",
            f"it is not about {selector.target} at {selector.target.endpoint}",
            "name another file with --checkpoint, or the upload with --upload-id",
        )
    return FoundUpload(found.upload, found, path)


def require_upload(selector: UploadSelector) -> FoundUpload:
    """Return the upload that is meant. Raises WrongUsage where nothing here tells of one."""
    found = find_upload(selector)
    if found is not None:
        return found
    if selector.source is None:
        listing = shell_line(["obsup", "uploads", selector.target.name])
        raise WrongUsage(
            f"which upload of {selector.target} is meant is not said",
            "without SOURCE there is no checkpoint that could tell",
            f"name it with --upload-id; {listing} lists the open ones",
        )
    begin = shell_line(["obsup", "init", selector.source, selector.target.name])
    raise WrongUsage(
        f"no upload of {quoted(selector.source)} to {selector.target} is known here",
        f"there is no checkpoint {quoted(str(selector.path))}",
        f"begin one with: {begin}, or name it with --upload-id",
    )


def _load(path: Path, *, needed: bool) -> Checkpoint | None:
    try:
        return checkpoints.load(path)
    except CheckpointDamaged as exc:
        if not needed:
            return None
        raise CheckpointDamaged(
            f"the checkpoint {quoted(path)} is of no use",
            exc.what,
            "name the upload with --upload-id, or run obsup upload, which asks the store",
        ) from exc
