"""The open multipart uploads and their parts, kept under DIR/.sandbox/uploads/UPLOAD-ID/."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import Attributes
from obsup.sandbox.storage.disk import StoredPart, write_json
from obsup.sandbox.vendors import Vendor

_BLOCK = 1024 * 1024


@dataclass(slots=True, eq=False)
class Upload:
    """An upload between Initiate and its Complete or Abort. Hold ``lock`` while changing it."""

    folder: Path
    bucket: str
    key: str
    initiated: float
    attributes: Attributes
    vendor: str
    parts: dict[int, StoredPart] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_open: bool = True

    @property
    def upload_id(self) -> str:
        """The upload id."""
        return self.folder.name

    def listed_parts(self) -> list[StoredPart]:
        """Return the parts by ascending number, as they are now."""
        parts = dict(self.parts)
        return [parts[number] for number in sorted(parts)]


class Uploads:
    """All open uploads, in memory and on disk. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Load the uploads that an earlier sandbox left open in *folder*."""
        self._folder = folder
        self._lock = threading.Lock()
        self._open = {upload.upload_id: upload for upload in _load_all(folder)}

    def initiate(
        self, bucket: str, key: str, *, vendor: Vendor, attributes: Attributes, initiated: float
    ) -> Upload:
        """Open an upload with a new id in the vendor's format."""
        folder = self._folder / _new_upload_id(vendor)
        about: dict[str, Any] = {"bucket": bucket, "key": key, "initiated": initiated, "vendor": vendor.name}
        upload = Upload(folder, attributes=attributes, **about)
        write_json(folder / "upload.json", about | {"attributes": asdict(attributes)})
        with self._lock:
            self._open[upload.upload_id] = upload
        return upload

    def find(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Return an open upload. Raises Refused (404 NoSuchUpload)."""
        with self._lock:
            upload = self._open.get(upload_id)
        if upload is None or not upload.is_open or (upload.bucket, upload.key) != (bucket, key):
            raise no_such_upload(upload_id)
        return upload

    def store_part(self, upload: Upload, part: StoredPart, received: Path | None) -> None:
        """Add *part* or replace an earlier one. Raises Refused if the upload no longer exists."""
        with upload.lock:
            if not upload.is_open:
                raise no_such_upload(upload.upload_id)
            replaced = upload.parts.get(part.number)
            if received is not None:
                received.replace(upload.folder / part.file)
            write_json(upload.folder / f"{part.number:05d}.json", asdict(part))
            upload.parts[part.number] = part
        if replaced is not None and replaced.file:
            (upload.folder / replaced.file).unlink(missing_ok=True)

    def forget(self, upload: Upload) -> None:
        """Discard an upload with its parts; the caller holds its lock or accepts the race."""
        upload.is_open = False
        with self._lock:
            self._open.pop(upload.upload_id, None)
        shutil.rmtree(upload.folder, ignore_errors=True)

    def listed(self, bucket: str | None = None) -> list[Upload]:
        """Return the open uploads by key (UTF-8 bytes) and upload id."""
        with self._lock:
            found = [upload for upload in self._open.values() if bucket in (None, upload.bucket)]
        return sorted(found, key=lambda upload: (upload.key.encode("utf-8"), upload.upload_id))


def new_part_file(number: int) -> str:
    """Return a new file name for the bytes of a part."""
    return f"{number:05d}.{uuid.uuid4().hex}.part"


def join_parts(upload: Upload, parts: Iterable[StoredPart], target: Path) -> None:
    """Write the bytes of *parts*, in order, to *target*."""
    with target.open("wb") as output:
        for part in parts:
            with (upload.folder / part.file).open("rb") as source:
                shutil.copyfileobj(source, output, _BLOCK)


def no_such_upload(upload_id: str) -> Refused:
    """Return the error for an upload that is not open."""
    message = (
        "The specified multipart upload does not exist. The upload ID might be invalid, "
        "or the multipart upload might have been aborted or completed."
    )
    return Refused(404, "NoSuchUpload", message, details={"UploadId": upload_id})


def _new_upload_id(vendor: Vendor) -> str:
    if vendor.name == "s3":
        return secrets.token_urlsafe(64) + "." + secrets.token_urlsafe(24)
    return secrets.token_hex(16).upper()


def _load_all(folder: Path) -> Iterable[Upload]:
    for record in sorted(folder.glob("*/upload.json")):
        values = json.loads(record.read_text(encoding="utf-8"))
        upload = Upload(record.parent, **values | {"attributes": Attributes(**values["attributes"])})
        for path in record.parent.glob("[0-9]*.json"):
            part = StoredPart(**json.loads(path.read_text(encoding="utf-8")))
            upload.parts[part.number] = part
        yield upload
