"""The sandbox as a Python object: start it, inspect its requests, stop it."""

from __future__ import annotations

import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from obsup.sandbox.faults import FaultBook
from obsup.sandbox.limits import Limits
from obsup.sandbox.platform import storage_folder
from obsup.sandbox.request_records import Journal, RequestRecord
from obsup.sandbox.server import Server
from obsup.sandbox.service import Service
from obsup.sandbox.signatures.check import Account
from obsup.sandbox.storage.disk import Disk, StoredObject
from obsup.sandbox.storage.uploads import Uploads


class OpenUpload(NamedTuple):
    """An open multipart upload. ``parts`` maps part numbers to sizes in bytes."""

    bucket: str
    key: str
    upload_id: str
    parts: dict[int, int]


class Sandbox:
    """A local server for OBS, S3 and OSS on 127.0.0.1 that runs during its ``with`` block.

    *directory*: where objects are stored and kept; by default a temporary folder that is removed.
    *buckets*: only these exist, and those that clients create; by default a bucket is created on first use.
    *faults*: rules, see faults.py.
    *limits*: Limits, or some of its fields by name. *discard*: hash and count bodies, store sparse files.
    *clock*: epoch seconds. *tls*: paths of a certificate chain and its key, to serve https, and of the authority
    that must have signed the certificates of clients, if they must show one.
    *custom_domains*: host name → bucket. *require_token*: requests must carry this security token.
    *aws_vendor*: whose rules apply to AWS signatures, ``s3`` or ``obs``. *encrypts*: KMS is the default of
    every bucket, so that no ETag is an MD5. *log*: file for JSON lines.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int = 0,
        buckets: Iterable[str] = (),
        faults: Iterable[str] = (),
        limits: Limits | Mapping[str, Any] | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        discard: bool = False,
        clock: Callable[[], float] = time.time,
        tls: tuple[Path, ...] | None = None,
        custom_domains: Mapping[str, str] | None = None,
        require_token: str | None = None,
        aws_vendor: str = "s3",
        encrypts: bool = False,
        log: Path | None = None,
    ) -> None:
        self._scheme = "http" if tls is None else "https"
        with ExitStack() as stack:
            disk = _open_disk(stack, directory, only := frozenset(buckets), discard=discard)
            self._journal = stack.enter_context(closing(Journal(log)))
            self.access_key, self.secret_key = disk.credentials(access_key, secret_key)
            self._service = Service(
                disk=disk,
                uploads=Uploads(disk.uploads_folder),
                account=Account(self.access_key, self.secret_key, require_token),
                limits=limits if isinstance(limits, Limits) else replace(Limits(), **limits or {}),
                faults=FaultBook(faults),
                clock=clock,
                custom_domains=dict(custom_domains or {}),
                only_buckets=only,
                aws_vendor=aws_vendor,
                encrypts=encrypts,
            )
            self._server = Server(port, self._service, self._journal, _tls_context(tls))
            self._held = stack.pop_all()
        self.directory = disk.directory

    def __enter__(self) -> Self:
        """Start serving."""
        thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="sandbox", daemon=True
        )
        thread.start()
        self._held.callback(thread.join)
        self._held.callback(self._server.stop)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop, close all connections, and remove the temporary folder."""
        self._held.close()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self._server.server_port

    @property
    def endpoint(self) -> str:
        """The endpoint for path style, ``http://127.0.0.1:PORT``."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests so far, as a snapshot. A request is recorded before its response is sent."""
        return self._journal.snapshot()

    @property
    def connections(self) -> int:
        """The number of accepted TCP connections."""
        return self._server.connections

    @property
    def require_token(self) -> str | None:
        """The security token that requests must have; may be changed while the server runs."""
        return self._service.account.token

    @require_token.setter
    def require_token(self, token: str | None) -> None:
        self._service.account = replace(self._service.account, token=token)

    def add_fault(self, rule: str) -> None:
        """Add a fault rule. Raises ValueError."""
        self._service.faults.add(rule)

    @property
    def injected_faults(self) -> int:
        """How many faults were injected so far; a request that a fault delays is counted when it arrives."""
        return self._service.faults.injected

    def clear_faults(self) -> None:
        """Remove all fault rules and the tokens that they expired."""
        self._service.faults.clear()
        self._service.revive_tokens()

    def uploads(self) -> list[OpenUpload]:
        """Return the open uploads by key."""
        return [
            OpenUpload(u.bucket, u.key, u.upload_id, {part.number: part.size for part in u.listed_parts()})
            for u in self._service.uploads.listed()
        ]

    def object_path(self, bucket: str, key: str) -> Path:
        """Return the file that holds, or would hold, an object."""
        return self._service.disk.path(bucket, key)

    def object_metadata(self, bucket: str, key: str) -> StoredObject:
        """Return what is known of an object. Raises KeyError if it does not exist."""
        stored = self._service.disk.find(bucket, key)
        if stored is None:
            raise KeyError(f"{bucket}/{key}")
        return stored


def _temporary_directory(stack: ExitStack) -> str:
    directory = tempfile.mkdtemp(prefix="obsup-sandbox-")
    stack.callback(shutil.rmtree, storage_folder(Path(directory)), ignore_errors=True)
    return directory


def _open_disk(stack: ExitStack, directory: Path | None, buckets: Iterable[str], *, discard: bool) -> Disk:
    """Open the storage folder with *buckets*; *stack* closes it."""
    disk = Disk(Path(directory or _temporary_directory(stack)), discard=discard)
    stack.callback(disk.close)
    for bucket in buckets:
        disk.make_bucket(bucket)
    return disk


def _tls_context(tls: tuple[Path, ...] | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    chain, key, *authorities = tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    for authority in authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority)
    return context
