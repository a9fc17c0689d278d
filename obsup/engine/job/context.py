"""The context of one upload: the request, the connected store, the observer and the stop signal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import field
from msgspec.structs import replace

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.dialects.endpoints import is_vendor_host
from obsup.dialects.objects.object_headers import Operation, object_headers
from obsup.engine.job.connection import Connection
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.send_options import SendOptions, initiate_confirms, parts_confirm, skips_checksums
from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.encryption import RequestedEncryption, requested_encryption
from obsup.engine.proof.part_proof import DigestChoice, choose_digests
from obsup.errors import ObsupError
from obsup.local.source.digest import Gate
from obsup.local.source.expectation import SourceDigests
from obsup.local.source.identity import ignore_times
from obsup.local.state import checkpoint_path
from obsup.local.state.lock import UploadLock
from obsup.model import SourceStat
from obsup.store.interface import ObjectStore
from obsup.value import Value


class UploadContext(Value):
    """What every step of an upload needs.

    ``limit`` is called before bytes are sent; it returns how many of them may be sent now and may block.
    ``stream_name`` identifies a stream in its checkpoint ("-" for standard input); it is None for a file. Only a
    repeatable stream, which its name can open again (a command), has a checkpoint by default. ``source_digests`` are
    those of the whole file before it is sent, if the request needs them: what is sent must have them. ``is_touched``:
    the times of the file keep changing, so they are ignored, and what was sent is compared with the file.
    ``since_s`` is when the upload began, in seconds since the epoch: the duration of a retention counts from it.
    ``sends_parts``: whether this run sends parts, so that another machine which does must not be at work.
    """

    connection: Connection
    request: UploadRequest
    observe: events.Observer
    stop: StopSignal
    limit: Gate | None = None
    clock: Callable[[], float] = time.time
    stream_name: str | None = None
    is_repeatable: bool = False
    source_digests: SourceDigests | None = None
    is_touched: bool = False
    since_s: float = field(default_factory=time.time)
    sends_parts: bool = True

    def now_s(self) -> float:
        """Return the time by the store's clock, as far as it is known, in seconds since the epoch."""
        return self.clock() + self.connection.recovery.clock.true_offset_s

    def begun_now(self) -> UploadContext:
        """Return this context as that of an upload that begins now by the store's clock.

        If a retention counts from now, one request for the object shows whether this computer's clock is wrong.
        """
        if self.request.options.retain_until:
            self.connection.learned.learn("the store's clock", self._compare_clocks)
        return replace(self, since_s=self.now_s())

    def _compare_clocks(self) -> None:
        try:
            self.store.head_object(self.request.target)
        except ObsupError as exc:
            if exc.retryable:
                raise

    @property
    def store(self) -> ObjectStore:
        """The connected store, which retries failed requests."""
        return self.connection.store

    @property
    def dialect(self) -> Dialect:
        """The store's dialect."""
        return self.connection.store.dialect

    @property
    def source(self) -> Path:
        """The source, as an absolute path."""
        return Path(self.request.source).absolute()

    @property
    def source_name(self) -> str:
        """The source in the checkpoint: the absolute path of a file, or the name of a stream."""
        return str(self.source) if self.stream_name is None else self.stream_name

    @property
    def options_digest(self) -> str:
        """Identifies the object options and the customer key: the same upload cannot be resumed with others."""
        digests = (self.request.headers_digest, self.connection.customer_key_digest)
        return "-".join(one for one in digests if one)

    @property
    def source_sha256(self) -> str | None:
        """The SHA-256 of the source before it is sent, if it was computed."""
        return self.source_digests.sha256 if self.source_digests is not None else None

    @property
    def digests(self) -> DigestChoice:
        """The digests that verify each part, and the checksum to ask for."""
        digests = choose_digests(
            self.request.digest,
            self.dialect,
            encrypted=self.request.encrypted,
            is_compared=self.is_touched or self.source_digests is not None,
            # If a store returned no checksum of the object, a stream could not be read again for its MD5.
            is_read_once=self.stream_name is not None and not is_vendor_host(self.request.target.endpoint),
        )
        if skips_checksums(self.connection.learned, self.request.target, self.request.digest):
            return replace(digests, checksum=None)
        return digests

    @property
    def send_options(self) -> SendOptions:
        """The options for sending each part."""
        return SendOptions(
            self.digests,
            self.request.content_md5,
            self.observe,
            self.gate,
            self.read_gate,
            encryption=self.encryption,
            learned=self.connection.learned,
            attempts=self.connection.attempts,
        )

    @property
    def encryption(self) -> RequestedEncryption | None:
        """The encryption that the request asks for, which the store must confirm."""
        options, names = self.request.options, self.dialect.headers
        headers = self.headers("put") if options.sse else dict(options.headers)
        return requested_encryption(names, headers, customer_key_md5=self.connection.customer_key_md5)

    @property
    def encryption_of_initiate(self) -> RequestedEncryption | None:
        """The encryption that the response to Initiate must confirm, because it has confirmed it before."""
        requested = self.encryption
        if requested is None:
            return None
        fact = initiate_confirms(self.request.target, requested)
        return requested if self.connection.learned.has(fact) else None

    @property
    def encryption_of_parts(self) -> RequestedEncryption | None:
        """The encryption with keys of the service that parts must confirm, because Initiate does not."""
        requested = self.encryption
        if requested is None or requested.customer_key_md5:
            return None
        fact = parts_confirm(self.request.target, requested)
        return requested if self.connection.learned.has(fact) else None

    @property
    def checkpoint_path(self) -> Path | None:
        """The path of the checkpoint, or None if this upload keeps none."""
        if not self.request.keep_checkpoint:
            return None
        if self.request.checkpoint is not None:
            return self.request.checkpoint
        if self.stream_name is None:
            return checkpoint_path.default_path(self.source, self.request.target)
        if not self.is_repeatable:
            return None
        return checkpoint_path.default_stream_path(self.stream_name, self.request.target)

    def headers(self, operation: Operation) -> dict[str, str]:
        """Return the headers of the object options for *operation*. Raises WrongUsage."""
        self.note_redirect(self.request.target.key)
        return self.request.object_headers(
            self.dialect, operation, key=self.request.target.key, since_s=self.since_s
        )

    @property
    def requested_headers(self) -> dict[str, str]:
        """The headers of the object options that are set. Raises WrongUsage."""
        options = replace(self.request.options, no_overwrite=False)
        return object_headers(self.dialect, options, "put", since_s=self.since_s)

    def note(self, text: str, *, command: tuple[str, ...] = ()) -> None:
        """Report the note *text*, and the *command* that it asks for."""
        self.observe(events.Noted(text, command))

    def note_once(self, text: str) -> None:
        """Report the note *text* once in this run."""
        self.connection.learned.note(text, self.observe)

    def note_redirect(self, key: str) -> None:
        """Note, once in this run, that the store ignores the requested website redirect of *key*."""
        if self.request.options.website_redirect and self.dialect.redirects_only_root and "/" in key:
            text = (
                "--website-redirect has no effect: the store redirects only objects in the root of a bucket"
            )
            self.note_once(text)

    def lock(
        self, *, shared: bool = False, part: tuple[str, int] | None = None, has_checkpoint: bool = False
    ) -> UploadLock:
        """Return the lock of the upload; *shared* with other processes that send single parts.

        *part*: the lock of one part, by upload id and part number. *has_checkpoint*: one will be written. Machines that
        share the storage of the checkpoint exclude each other, too, unless they send single parts.
        """
        target = self.request.target
        path = None if shared or part is not None else self.checkpoint_path
        return UploadLock(
            target,
            shared=shared,
            part=part,
            wait=self.request.if_running == "wait",
            is_stopped=lambda: self.stop.reason is not None,
            on_wait=lambda: self.note(f"another obsup is at work on {target}: waiting"),
            note=self.note_once,
            checkpoint=path if path is not None and (has_checkpoint or os.path.lexists(path)) else None,
        )

    def planned(self, stat: SourceStat) -> SourceStat:
        """Return *stat* as the identity that the file must have each time it is opened."""
        return ignore_times(stat) if self.is_touched else stat

    def read_source(self, stat: SourceStat) -> UploadContext:
        """Return this context with the digests of the file *stat*, which is read if the request needs them.

        Raises DataMismatch if the request expects another content, and what PartBody raises.
        """
        request = self.request
        digests = request.expect.check_file(
            self.source, self.planned(stat), self.read_gate, with_sha256=request.verify_source
        )
        return replace(self, source_digests=digests)

    def gate(self, size: int) -> int:
        """Return how many of *size* bytes may be sent now. Raises if the upload must end at once."""
        self.stop.check_in_flight()
        return size if self.limit is None else self.limit(size)

    def read_gate(self, size: int) -> int:
        """Return *size*: reading is not limited. Raises if the upload must end at once."""
        self.stop.check_in_flight()
        return size
