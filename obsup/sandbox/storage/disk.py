"""Buckets and objects as plain files in DIR/BUCKET/KEY, with metadata under DIR/.sandbox/.

The metadata of an object is one JSON file, named by the hash of its key. It is valid only for the file size and
mtime that it was written with. A file that was created or changed in DIR/BUCKET by hand is also an object:
its ETag is then computed from its bytes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from obsup.sandbox.platform import lock_file, storage_folder
from obsup.sandbox.storage.attributes import Attributes
from obsup.sandbox.storage.names import key_of_path, path_of_key

_STATE = ".sandbox"


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A received part. ``size`` is bytes, ``md5`` hex of the stored bytes, ``modified`` epoch seconds."""

    number: int
    size: int
    etag: str
    md5: str
    modified: float
    crc64: int | None = None
    file: str = ""
    """The file name in the upload's folder; empty if bodies are discarded."""
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object. ``size`` is bytes, ``modified`` epoch seconds, ``etag`` lower-case without quotes."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: float
    crc64: int | None = None
    upload_id: str = ""
    """The multipart upload that made the object, empty for PutObject."""
    parts: list[StoredPart] = field(default_factory=list)
    """The parts that the object was made of, without their files; empty for PutObject."""
    checksums: dict[str, str] = field(default_factory=dict)
    """Further checksum headers to echo, by header name."""
    attributes: Attributes = field(default_factory=Attributes)


class Disk:
    """The storage folder of the sandbox. Thread-safe."""

    def __init__(self, directory: Path, *, discard: bool = False) -> None:
        """With *discard*, objects are sparse files of the right size.

        Raises OSError if another sandbox uses the folder.
        """
        self.directory = directory = storage_folder(directory)
        self.discard = discard
        self.lock = threading.RLock()
        self.uploads_folder = directory / _STATE / "uploads"
        self._metadata = directory / _STATE / "objects"
        self._incoming = directory / _STATE / "incoming"
        (directory / _STATE).mkdir(parents=True, exist_ok=True)
        self._claimed = _claim(directory)
        self._ignores_case = (directory / _STATE / "LOCK").exists()
        # Partial files of an earlier sandbox were never acknowledged.
        shutil.rmtree(self._incoming, ignore_errors=True)
        for folder in (self.uploads_folder, self._metadata, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Release the folder."""
        self._claimed.close()

    def credentials(self, access_key: str | None, secret_key: str | None) -> tuple[str, str]:
        """Return the keys of the account: a missing secret key is the last one of this folder, or random and kept."""
        path = self.directory / _STATE / "keys.json"
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if secret_key is None and access_key in (None, kept["accessKeyId"]):
                return kept["accessKeyId"], kept["secretAccessKey"]
        access_key = access_key or "SANDBOX" + secrets.token_hex(7).upper()
        if secret_key is None:
            secret_key = secrets.token_hex(20)
            write_json(path, {"accessKeyId": access_key, "secretAccessKey": secret_key})
        return access_key, secret_key

    def buckets(self) -> list[tuple[str, float]]:
        """Return the names of the buckets, and when their folders last changed, in epoch seconds."""
        folders = [path for path in self.directory.iterdir() if self.has_bucket(path.name)]
        return sorted((path.name, path.stat().st_mtime) for path in folders)

    def has_bucket(self, bucket: str) -> bool:
        """Return whether *bucket* exists."""
        return bool(bucket) and not bucket.startswith(".") and (self.directory / bucket).is_dir()

    def make_bucket(self, bucket: str) -> None:
        """Create *bucket*; the caller has checked its name."""
        (self.directory / bucket).mkdir(exist_ok=True)

    def remove_bucket(self, bucket: str) -> bool:
        """Remove *bucket*; return False if it is not empty."""
        try:
            (self.directory / bucket).rmdir()
        except OSError:
            return False
        shutil.rmtree(self._metadata / bucket, ignore_errors=True)
        return True

    @contextlib.contextmanager
    def receiving(self) -> Iterator[Path]:
        """Yield the path of a file to receive into, on the file system of the objects; delete it if it stays there."""
        path = self._incoming / uuid.uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def path(self, bucket: str, key: str) -> Path:
        """Return the path of the object, whether it exists or not."""
        with self.lock:
            entry = self._read_entry(bucket, key)
            if entry is not None and (self.directory / bucket / entry["path"]).is_file():
                return Path(self.directory / bucket / entry["path"])
            return self._free_path(bucket, key)

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """Return the object, or None."""
        with self.lock:
            path = self.path(bucket, key)
            if not path.is_file():
                return None
            entry = self._read_entry(bucket, key)
            stat = path.stat()
            if entry is not None and (entry["size"], entry["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns):
                return _object_from_json(bucket, key, entry)
            with path.open("rb") as file:
                etag = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            return StoredObject(bucket, key, stat.st_size, etag, stat.st_mtime)

    def open(self, bucket: str, key: str) -> BinaryIO:
        """Open an object's bytes for reading; they do not change if the object is replaced."""
        with self.lock:
            return self.path(bucket, key).open("rb")

    def publish(self, received: Path, stored: StoredObject) -> None:
        """Publish *received* as the object, atomically replacing an earlier one.

        With discard the object becomes a sparse file of its size.
        """
        if self.discard:
            with received.open("wb") as file:
                file.truncate(stored.size)
        with self.lock:
            path = self.path(stored.bucket, stored.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            received.replace(path)
            self._write_entry(stored, path)

    def update(self, stored: StoredObject) -> None:
        """Replace what is recorded about an object that exists."""
        with self.lock:
            self._write_entry(stored, self.path(stored.bucket, stored.key))

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object if it exists, and folders that become empty."""
        with self.lock:
            path = self.path(bucket, key)
            path.unlink(missing_ok=True)
            self._entry_path(bucket, key).unlink(missing_ok=True)
            folder = path.parent
            with contextlib.suppress(OSError):  # The first folder that is not empty ends the walk.
                while folder != self.directory / bucket:
                    folder.rmdir()
                    folder = folder.parent

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of *bucket* in the order of their UTF-8 bytes."""
        root = self.directory / bucket
        with self.lock:
            found = [
                key_of_path((Path(folder) / name).relative_to(root).parts)
                for folder, _, names in os.walk(root)
                for name in names
            ]
        return sorted(found, key=lambda key: key.encode("utf-8", "surrogateescape"))

    def _free_path(self, bucket: str, key: str) -> Path:
        path = self.directory / bucket
        *folders, name = path_of_key(key)
        for folder in folders:
            path = path / folder
            while path.is_file() or self._is_taken(path):
                path = path.with_name(path.name + "%")
        path = path / name
        while path.is_dir() or self._is_taken(path):
            path = path.with_name(path.name + "%")
        return path

    def _is_taken(self, path: Path) -> bool:
        """Return whether the file system would take a file or folder for *path* whose name differs in case."""
        if not self._ignores_case or not path.exists():
            return False
        return path.name not in (one.name for one in path.parent.iterdir())

    def _entry_path(self, bucket: str, key: str) -> Path:
        return self._metadata / bucket / (hashlib.sha256(key.encode("utf-8")).hexdigest() + ".json")

    def _read_entry(self, bucket: str, key: str) -> dict[str, Any] | None:
        try:
            entry: dict[str, Any] = json.loads(self._entry_path(bucket, key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return entry

    def _write_entry(self, stored: StoredObject, path: Path) -> None:
        entry = {
            "key": stored.key,
            "path": path.relative_to(self.directory / stored.bucket).as_posix(),
            "size": stored.size,
            "mtime_ns": path.stat().st_mtime_ns,
            "etag": stored.etag,
            "modified": stored.modified,
            "crc64": stored.crc64,
            "uploadId": stored.upload_id,
            "parts": [asdict(part) for part in stored.parts],
            "checksums": stored.checksums,
            "attributes": asdict(stored.attributes),
        }
        write_json(self._entry_path(stored.bucket, stored.key), entry)


def _claim(directory: Path) -> TextIO:
    """Lock the folder; the lock is released when the process ends."""
    lock = (directory / _STATE / "lock").open("w", encoding="ascii")
    if not lock_file(lock):
        lock.close()
        raise OSError(errno.EAGAIN, f"another sandbox serves from {directory}")
    return lock


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write *value* to *path* atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(value), encoding="utf-8")
    partial.replace(path)


def _object_from_json(bucket: str, key: str, entry: dict[str, Any]) -> StoredObject:
    return StoredObject(
        bucket=bucket,
        key=key,
        size=entry["size"],
        etag=entry["etag"],
        modified=entry["modified"],
        crc64=entry["crc64"],
        upload_id=entry["uploadId"],
        parts=[StoredPart(**part) for part in entry.get("parts", [])],
        checksums=entry["checksums"],
        attributes=Attributes(**entry["attributes"]),
    )
