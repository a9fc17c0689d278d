"""The request of one upload, as the user gives it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from msgspec import field, to_builtins
from msgspec.structs import replace

from obsup.dialects.dialect import Dialect
from obsup.dialects.objects.object_headers import Operation, object_headers
from obsup.engine.plan.file_plan import INITIAL_JOBS, MAX_JOBS
from obsup.engine.proof.encryption import hides_md5
from obsup.engine.proof.part_proof import Digest
from obsup.errors import WrongUsage, run_again
from obsup.local.source.expectation import Expectation
from obsup.model import ObjectOptions, Target
from obsup.value import Value

Jobs = int | Literal["auto"]
# The vendors' limit of taskNum.
MOST_JOBS = 10_000
# Unset, these do not change the digest of the options: uploads that earlier versions initiated are resumed.
_OPTIONS_ADDED_LATER = ("retention", "retain_until", "legal_hold")


class UploadRequest(Value):
    """One upload.

    ``parts`` or ``part_size`` (bytes) determine the plan; by default it is the default part size. ``is_default_split``:
    they are defaults of the environment or the configuration, which do not concern an upload that a checkpoint records.
    ``jobs`` parts are in flight at once; ``auto`` starts with 5 and grows to 32 while throughput grows. ``checkpoint``
    is the path of the checkpoint, None for the default path; ``keep_checkpoint`` False keeps none. ``presign``: remote
    workers get presigned URLs and need no credentials. ``expect``: publish no other content. ``abort_on_failure``:
    abort the upload of a stream if it fails. ``skip_identical``: send nothing if the object has this content already.
    ``strict_options``: fail if HeadObject does not show an option of the object as requested. ``receipt`` is the path
    of the receipt. ``download``: compare the bytes of the object if nothing else can be compared.
    ``encrypted_by_customer``: every request has an SSE-C key. ``link_free``: how many names at the end of the path of
    ``source`` must not be symbolic links.
    """

    source: Path
    target: Target
    options: ObjectOptions = field(default_factory=ObjectOptions)
    parts: int | None = None
    part_size: int | None = None
    is_default_split: bool = False
    jobs: Jobs = "auto"
    executor: str = "threads"
    presign: bool = False
    checkpoint: Path | None = None
    keep_checkpoint: bool = True
    restart: bool = False
    verify_source: bool = False
    content_md5: bool = False
    digest: Digest = "auto"
    on_change: Literal["fail", "resend"] = "fail"
    if_running: Literal["fail", "wait", "skip"] = "fail"
    use_token: bool = True
    encrypted_by_customer: bool = False
    expect: Expectation = field(default_factory=Expectation)
    abort_on_failure: bool = False
    skip_identical: bool = False
    strict_options: bool = False
    receipt: Path | None = None
    download: bool = False
    link_free: int = 0

    @property
    def is_split_requested(self) -> bool:
        """Whether the user determined how the source is split."""
        return self.parts is not None or self.part_size is not None

    @property
    def must_keep_split(self) -> bool:
        """Whether an upload that a checkpoint records must have the requested split, too."""
        return self.is_split_requested and not self.is_default_split

    @property
    def initial_jobs(self) -> int:
        """The number of parts in flight at the start. Raises WrongUsage."""
        if self.jobs == "auto":
            return INITIAL_JOBS
        if not 1 <= self.jobs <= MOST_JOBS:
            raise WrongUsage(
                f"--jobs must be between 1 and {MOST_JOBS}, not {self.jobs}",
                "An upload has no more parts than that, and at least one must be in flight",
                run_again("use --jobs auto", add=("--jobs", "auto")),
            )
        return self.jobs

    @property
    def given_jobs(self) -> int | None:
        """The number of parts in flight that the user gave. Raises WrongUsage."""
        return None if self.jobs == "auto" else self.initial_jobs

    @property
    def max_jobs(self) -> int:
        """The largest number of parts in flight. Raises WrongUsage."""
        return MAX_JOBS if self.probes_jobs else self.initial_jobs

    @property
    def probes_jobs(self) -> bool:
        """Whether to adapt the number of parts in flight. Only threads report the progress of each part."""
        return self.jobs == "auto" and self.executor == "threads"

    @property
    def has_object_options(self) -> bool:
        """Whether the object must have options or a customer key, which a list of objects does not show."""
        return self.encrypted_by_customer or replace(self.options, no_overwrite=False) != ObjectOptions()

    @property
    def encrypted(self) -> bool:
        """Whether the object is encrypted so that ETags are not MD5s."""
        return self.encrypted_by_customer or hides_md5(self.options.sse)

    def object_headers(
        self, dialect: Dialect, operation: Operation, *, since_s: float, key: str | None = None
    ) -> dict[str, str]:
        """Return the headers of the object options for *operation*, as ``object_headers``. Raises WrongUsage."""
        return object_headers(
            dialect,
            self.options,
            operation,
            key=key,
            since_s=since_s,
            encrypted_by_customer=self.encrypted_by_customer,
        )

    @property
    def headers_digest(self) -> str:
        """The digest of the object options, which must be the same to resume."""
        options = {
            name: value
            for name, value in to_builtins(self.options).items()
            if value or name not in _OPTIONS_ADDED_LATER
        }
        plain = json.dumps([options, self.encrypted_by_customer], sort_keys=True, default=str)
        return hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:32]
