"""What is asked for, and what came of it: the two ends of an upload."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from msgspec import field, to_builtins

from obsup.errors import WrongUsage
from obsup.local.source.expectation import Expectation
from obsup.model import ObjectOptions, Target
from obsup.value import Value

Jobs = int | Literal["auto"]
# What auto begins with, and the most that it grows to.
INITIAL_JOBS, MAX_JOBS = 5, 32


class UploadRequest(Value):
    """One upload as the user asks for it.

    ``parts`` or ``part_size`` (bytes) decide the plan, or neither. ``jobs`` parts are in flight at
    once; ``auto`` begins with 5 and grows to 32 while throughput grows.
    ``checkpoint`` names its file; None is the default place, and ``keep_checkpoint`` False keeps none.
    ``presign``: workers elsewhere get signed URLs instead of finding credentials.
    ``expect`` lets nothing else be published. ``abort_on_failure`` leaves nothing of a stream's upload that failed.
    ``skip_identical`` sends nothing where the object is there already, with this content. ``receipt`` names a file
    for what is known of the finished object.
    ``encrypted_by_customer`` tells that every request carries an SSE-C key.
    """

    source: Path
    target: Target
    options: ObjectOptions = field(default_factory=ObjectOptions)
    parts: int | None = None
    part_size: int | None = None
    jobs: Jobs = "auto"
    executor: str = "threads"
    presign: bool = False
    checkpoint: Path | None = None
    keep_checkpoint: bool = True
    restart: bool = False
    verify_source: bool = False
    content_md5: bool = False
    digest: Literal["auto", "md5", "crc64", "none"] = "auto"
    on_change: Literal["fail", "resend"] = "fail"
    if_running: Literal["fail", "wait", "skip"] = "fail"
    use_token: bool = True
    encrypted_by_customer: bool = False
    expect: Expectation = field(default_factory=Expectation)
    abort_on_failure: bool = False
    skip_identical: bool = False
    receipt: Path | None = None

    @property
    def is_split_requested(self) -> bool:
        """Whether the user decided how the source is cut."""
        return self.parts is not None or self.part_size is not None

    @property
    def initial_jobs(self) -> int:
        """How many parts are in flight at first. Raises WrongUsage."""
        if self.jobs == "auto":
            return INITIAL_JOBS
        if self.jobs < 1:
            raise WrongUsage(f"{self.jobs} parts in flight send nothing", "", "use 1 or more, or auto")
        return self.jobs

    @property
    def probes_jobs(self) -> bool:
        """Whether the number in flight is to be tried out: only of threads is it known how each part gets on."""
        return self.jobs == "auto" and self.executor == "threads"

    @property
    def encrypted(self) -> bool:
        """Whether ETags may not be MD5s."""
        return self.encrypted_by_customer or (self.options.sse or "AES256").upper() != "AES256"

    @property
    def headers_digest(self) -> str:
        """What tells, on resume, whether the object was asked for with the same options."""
        plain = json.dumps(
            [to_builtins(self.options), self.encrypted_by_customer], sort_keys=True, default=str
        )
        return hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:32]
