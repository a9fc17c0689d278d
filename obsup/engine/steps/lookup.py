"""Find the upload that a command means: through the checkpoint of SOURCE and TARGET, or through its upload id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from obsup.errors import NextStep, SourceChanged, SourceTouched, UploadGone, WrongUsage
from obsup.local.files.existing import is_file
from obsup.local.source.identity import check_same_file
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, started_uploads
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import SourceStat, Target, Upload
from obsup.text import operand, quoted, shell_line
from obsup.value import Value


class UploadSelector(Value):
    """How a command selects an upload. ``checkpoint`` is the file that the user gave, None for the default path."""

    target: Target
    source: Path | None = None
    upload_id: str | None = None
    checkpoint: Path | None = None

    @property
    def path(self) -> Path | None:
        """The path of the checkpoint; None without a source."""
        if self.checkpoint is not None or self.source is None:
            return self.checkpoint
        return checkpoint_path.default_path(self.source, self.target)

    @property
    def ignored(self) -> str:
        """Which file at the default path is ignored and why; "" if none is."""
        if self.checkpoint is not None or self.source is None:
            return ""
        return checkpoint_path.describe_ignored(self.source, self.target)


class FoundUpload(Value):
    """An upload, and its checkpoint with its path, or else the record ``started``, if this machine has one."""

    upload: Upload
    checkpoint: Checkpoint | None = None
    path: Path | None = None
    started: StartedUpload | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether this machine initiated the upload, or has its checkpoint."""
        return self.checkpoint is not None or self.started is not None

    def check_of_file(self) -> None:
        """Raise WrongUsage for the upload of a stream: only a run that reads the stream knows where it ends."""
        recorded = self.checkpoint or self.started
        if recorded is not None and recorded.source and not Path(recorded.source).is_absolute():
            raise WrongUsage(
                f"the upload of {self.upload.target} is the upload of a stream",
                "Only the command that reads the stream can send its parts and complete it",
                NextStep(
                    "complete it with the same obsup upload command, or abort it",
                    command=self.upload.abort_command,
                ),
            )

    @contextmanager
    def needed(self, selector: UploadSelector) -> Iterator[None]:
        """Raise UploadGone with what the user of a single step can do, if the block finds that this upload is gone."""
        try:
            yield
        except UploadGone as exc:
            raise self.gone(exc, selector) from exc

    def gone(self, error: UploadGone, selector: UploadSelector) -> UploadGone:
        """Return *error* with what the user of a single step can do."""
        if selector.source is not None and selector.upload_id is None:
            step = self.send_again("send the file with a new upload", selector.source)
        else:
            step = NextStep(
                "initiate a new upload, and send its parts",
                command=("obsup", "init", self.upload.target.name),
            )
        return UploadGone(error.what, error.why, step, error.refusal)

    def check_same_source(self, source: Path, stat: SourceStat) -> None:
        """Raise SourceChanged if *source* is not that of the checkpoint, with what the user of a single step can do."""
        assert self.checkpoint is not None
        try:
            check_same_file(source, self.checkpoint.stat, stat)
        except SourceChanged as exc:
            # If only its times differ, upload compares the content and may keep the parts.
            options = () if isinstance(exc, SourceTouched) else ("--restart",)
            raise type(exc)(
                exc.what, exc.why, self.send_again("send it as it is now", source, *options)
            ) from exc

    def send_again(self, text: str, source: Path, *options: str) -> NextStep:
        """Return the step *text*, which uploads *source*; without a command if that would lack object options."""
        command = ("obsup", "upload", operand(source), self.upload.target.name, *options)
        if self.checkpoint is not None and self.checkpoint.requested:
            lost = "the object options (encryption, ACL, metadata and others) that were given to init"
            return NextStep(f"{text} ({shell_line(command)}), and with {lost}")
        return NextStep(text, command=command)

    def forget(self) -> None:
        """Remove the checkpoint and the record of the upload, which is completed or aborted."""
        if self.path is not None:
            checkpoints.remove(self.path)
        started_uploads.remove(self.upload)


def find_upload(selector: UploadSelector) -> FoundUpload | None:
    """Return the selected upload, or None if nothing on this machine identifies one.

    An upload id needs no checkpoint, and the checkpoint of another upload is ignored. Raises WrongUsage for a
    checkpoint of another target and for an empty upload id, CheckpointDamaged.
    """
    if selector.upload_id == "":
        raise WrongUsage(
            "the upload id is empty",
            "The command that should have printed it may have failed",
            NextStep(
                "give an upload id; this lists the open uploads",
                command=("obsup", "uploads", selector.target.name),
            ),
        )
    target, upload_id, path = selector.target, selector.upload_id, selector.path
    found = _load(path, is_needed=upload_id is None) if path is not None else None
    if upload_id is not None:
        if found is not None and (found.upload.target, found.upload.upload_id) == (target, upload_id):
            return FoundUpload(found.upload, found, path)
        upload = Upload(target, upload_id)
        known = started_uploads.find(upload)
        return FoundUpload(known.upload if known is not None else upload, started=known)
    if found is None:
        return None
    recorded = found.upload.target
    if recorded != target:
        raise WrongUsage(
            f"the checkpoint {quoted(str(path))} belongs to {recorded}",
            f"It was written for {recorded.provider} at {recorded.endpoint}; the given target is {target}, for "
            f"{target.provider} at {target.endpoint}",
            NextStep("give another file with --checkpoint, or the upload id with --upload-id"),
        )
    return FoundUpload(found.upload, found, path) if found.upload.upload_id else None


def require_upload(selector: UploadSelector) -> FoundUpload:
    """Return the selected upload. Raises WrongUsage if nothing on this machine identifies one."""
    found = find_upload(selector)
    if found is not None:
        return found
    if selector.source is None:
        raise WrongUsage(
            f"no upload id given for {selector.target}",
            "Without SOURCE no checkpoint can be found",
            NextStep(
                "give it with --upload-id; this lists the open uploads",
                command=("obsup", "uploads", selector.target.name),
            ),
        )
    ignored = selector.ignored
    step = NextStep(
        "give its upload id with --upload-id, or initiate one",
        command=("obsup", "init", operand(selector.source), selector.target.name),
    )
    if not is_file(selector.source):
        step = NextStep("check SOURCE, which is not a file, or give the upload id with --upload-id")
    raise WrongUsage(
        f"no upload of {quoted(selector.source)} to {selector.target} is recorded here",
        f"The checkpoint {quoted(str(selector.path))} does not exist" + (f"; {ignored}" if ignored else ""),
        step,
    )


def find_completed_upload(selector: UploadSelector) -> StartedUpload | None:
    """Return the record of an upload that this machine completed, if *selector* means it by its id or its source."""
    completed = started_uploads.find_finished(selector.target)
    if completed is None:
        return None
    if selector.upload_id is not None:
        return completed if selector.upload_id == completed.upload.upload_id else None
    is_of_source = selector.source is not None and str(selector.source.absolute()) == completed.source
    return completed if is_of_source else None


def _load(path: Path, *, is_needed: bool) -> Checkpoint | None:
    try:
        return checkpoints.load_named(
            path, NextStep("give the upload id with --upload-id, or run obsup upload, which asks the store")
        )
    except CheckpointDamaged:
        if is_needed:
            raise
        return None
