"""Run uploads in this process against a sandbox: small parts, short retry times, renewable credentials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import connect
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.upload.uploader import Uploader
from obsup.errors import ObsupError
from obsup.local.state import checkpoint_path
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.faulty_store import Crash

PART = 102_400  # the minimum part size of OBS
PATIENT = ConnectOptions(retry_for_s=60.0, backoff_s=0.001)
IMPATIENT = ConnectOptions(retry_for_s=0.05, backoff_s=0.001)


class RenewableKeys:
    """Temporary credentials: each refresh brings a new security token."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._number = 1

    def current(self) -> Credentials:
        """Return the current keys."""
        sandbox = self._sandbox
        return Credentials(sandbox.access_key, sandbox.secret_key, f"token-{self._number}")

    def refresh(self, stale: Credentials) -> Credentials:
        """Return keys that are newer than *stale*."""
        if stale.token == f"token-{self._number}":
            self._number += 1
        return self.current()


@dataclass
class Rig:
    """Runs uploads of one source to one target."""

    sandbox: Sandbox
    source: Path
    key: str = "key"
    provider: str = "obs"
    part_size: int | None = PART
    jobs: int = 1
    endpoint: str = ""  # if the store is not reached at its own address
    first_request: int = 0
    observed: list[events.Event] = field(default_factory=list)

    def run(
        self,
        connecting: ConnectOptions = PATIENT,
        *,
        stop: StopSignal | None = None,
        observer: Callable[[events.Event], None] = events.ignore,
        **order: Any,
    ) -> Result:
        """Upload. Requests and events of earlier runs are no longer counted. Raises ObsupError."""
        self.first_request = len(self.sandbox.requests)
        self.observed.clear()
        target, settings = resolve_target(
            f"bucket/{self.key}",
            replace(
                connecting,
                endpoint=self.endpoint or self.sandbox.endpoint,
                provider=self.provider,
                region="here",
            ),
            file_name=self.source.name,
        )

        def observe(event: events.Event) -> None:
            self.observed.append(event)
            observer(event)

        tally, stop = ProgressTally(None, observe), stop or StopSignal()
        connection = connect(
            settings, observe=tally, sleep=stop.sleep, credentials=RenewableKeys(self.sandbox)
        )
        executor = "inline" if self.jobs == 1 else "threads"  # inline sends one part at a time
        options = {"part_size": self.part_size, "jobs": self.jobs, "executor": executor, **order}
        return Uploader(
            connection, UploadRequest(self.source, target, **options), tally=tally, stop=stop
        ).run()

    def code(self, connecting: ConnectOptions = PATIENT, **order: Any) -> int:
        """Upload, and return the exit code that the command would have."""
        try:
            self.run(connecting, **order)
        except ObsupError as exc:
            return exc.exit_code
        return 0

    def break_off(self, at: str, **order: Any) -> None:
        """Upload until the store rejects the request that *at* (of a sandbox fault) selects; progress is kept."""
        self.sandbox.add_fault(f"error=403:AccessDenied,{at},times=always")
        assert self.code(**order) == 77
        self.sandbox.clear_faults()

    @property
    def parts(self) -> int:
        """The number of parts of the source."""
        return -(-self.source.stat().st_size // (self.part_size or 1))

    def part_md5s(self) -> dict[int, str]:
        """Return the MD5 of each part of the current source."""
        data, size = self.source.read_bytes(), self.part_size or 1
        return {
            number: hashlib.md5(data[(number - 1) * size : number * size]).hexdigest()
            for number in range(1, self.parts + 1)
        }

    def requests(self, operation: str) -> list[int | None]:
        """Return the part numbers of this run's requests of *operation*, in order."""
        return [
            r.part_number for r in self.sandbox.requests[self.first_request :] if r.operation == operation
        ]

    def right_parts(self) -> set[int]:
        """Return the stored parts that match the current source."""
        md5s, matching = self.part_md5s(), set()
        for upload in self.sandbox.uploads():
            if upload.key == self.key:
                for path in (self.sandbox.directory / ".sandbox" / "uploads" / upload.upload_id).glob(
                    "*.json"
                ):
                    if path.stem.isdecimal():
                        number, stored = int(path.stem), json.loads(path.read_text())
                        matching |= {number} if stored["md5"] == md5s.get(number) else set()
        return matching

    @property
    def checkpoint(self) -> Path:
        """The default path of the checkpoint."""
        target, _ = resolve_target(
            f"bucket/{self.key}",
            replace(
                PATIENT,
                endpoint=self.endpoint or self.sandbox.endpoint,
                provider=self.provider,
                region="here",
            ),
        )
        return checkpoint_path.default_path(self.source, target)

    def open_ids(self) -> list[str]:
        """Return the ids of the open uploads of this key."""
        return [upload.upload_id for upload in self.sandbox.uploads() if upload.key == self.key]

    def is_stored(self) -> bool:
        """Return whether the object is the source, byte for byte."""
        path = self.sandbox.object_path("bucket", self.key)
        return path.exists() and path.read_bytes() == self.source.read_bytes()

    def notes(self) -> str:
        """Return the notes to the user."""
        return "\n".join(event.text for event in self.observed if isinstance(event, events.Noted))


def when_completed(act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that calls *act* once, after Complete was requested and before the object is verified."""
    return when_requested("CompleteMultipartUpload", act)


def when_requested(operation: str, act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that calls *act* once, after the response to *operation* and before what follows it."""
    done: list[events.Event] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.Requested) and event.operation == operation and not done:
            done.append(event)
            act()

    return observe


def die() -> None:
    """Simulate the end of the process."""
    raise Crash
