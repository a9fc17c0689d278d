"""The engine in this process, against a sandbox: small files in small parts, little patience, keys that renew."""

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

PART = 102_400  # the smallest part that OBS takes
PATIENT = ConnectOptions(retry_for_s=60.0, backoff_s=0.001)
IMPATIENT = ConnectOptions(retry_for_s=0.05, backoff_s=0.001)


class RenewableKeys:
    """Temporary credentials: each refresh brings a new security token."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._number = 1

    def current(self) -> Credentials:
        """Return the keys of this moment."""
        sandbox = self._sandbox
        return Credentials(sandbox.access_key, sandbox.secret_key, f"token-{self._number}")

    def refresh(self, stale: Credentials) -> Credentials:
        """Return newer keys than *stale*."""
        if stale.token == f"token-{self._number}":
            self._number += 1
        return self.current()


@dataclass
class Rig:
    """Runs one upload, again and again: the same source to the same target."""

    sandbox: Sandbox
    source: Path
    key: str = "key"
    provider: str = "obs"
    part_size: int | None = PART
    jobs: int = 1
    endpoint: str = ""  # where the store is reached, where that is not at its own address
    begun_at: int = 0
    heard: list[events.Event] = field(default_factory=list)

    def run(
        self,
        connecting: ConnectOptions = PATIENT,
        *,
        stop: StopSignal | None = None,
        hear: Callable[[events.Event], None] = events.ignore,
        **order: Any,
    ) -> Result:
        """Upload; the requests that follow are this run's. Raises ObsupError."""
        self.begun_at = len(self.sandbox.requests)
        self.heard.clear()
        wanted, settings = resolve_target(
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
            self.heard.append(event)
            hear(event)

        tally, stop = ProgressTally(None, observe), stop or StopSignal()
        connection = connect(
            settings, observe=tally, sleep=stop.sleep, credentials=RenewableKeys(self.sandbox)
        )
        executor = "inline" if self.jobs == 1 else "threads"  # one after the other, none ahead
        asked = {"part_size": self.part_size, "jobs": self.jobs, "executor": executor, **order}
        return Uploader(connection, UploadRequest(self.source, wanted, **asked), tally=tally, stop=stop).run()

    def code(self, connecting: ConnectOptions = PATIENT, **order: Any) -> int:
        """Upload, and return the exit code that the command would have."""
        try:
            self.run(connecting, **order)
        except ObsupError as exc:
            return exc.exit_code
        return 0

    def break_off(self, at: str, **order: Any) -> None:
        """Upload until the store refuses what *at* says, as a fault has it; what is stored and recorded stays."""
        self.sandbox.add_fault(f"error=403:AccessDenied,{at},times=always")
        assert self.code(**order) == 77
        self.sandbox.clear_faults()

    @property
    def parts(self) -> int:
        """The number of parts of the source."""
        return -(-self.source.stat().st_size // (self.part_size or 1))

    def part_md5s(self) -> dict[int, str]:
        """Return the MD5 of each part of the source as it is now."""
        data, size = self.source.read_bytes(), self.part_size or 1
        return {
            number: hashlib.md5(data[(number - 1) * size : number * size]).hexdigest()
            for number in range(1, self.parts + 1)
        }

    def requests(self, operation: str) -> list[int | None]:
        """Return the part numbers of this run's requests of *operation*, in order."""
        return [r.part_number for r in self.sandbox.requests[self.begun_at :] if r.operation == operation]

    def right_parts(self) -> set[int]:
        """Return the parts that the store holds as the source has them now."""
        md5s, right = self.part_md5s(), set()
        for upload in self.sandbox.uploads():
            if upload.key == self.key:
                for path in (self.sandbox.directory / ".sandbox" / "uploads" / upload.upload_id).glob(
                    "*.json"
                ):
                    if path.stem.isdecimal():
                        number, stored = int(path.stem), json.loads(path.read_text())
                        right |= {number} if stored["md5"] == md5s.get(number) else set()
        return right

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint is by default."""
        wanted, _ = resolve_target(
            f"bucket/{self.key}",
            replace(
                PATIENT,
                endpoint=self.endpoint or self.sandbox.endpoint,
                provider=self.provider,
                region="here",
            ),
        )
        return checkpoint_path.default_path(self.source, wanted)

    def open_ids(self) -> list[str]:
        """Return the upload ids that are open for this key."""
        return [one.upload_id for one in self.sandbox.uploads() if one.key == self.key]

    def is_stored(self) -> bool:
        """Return whether the object is the source, byte for byte."""
        path = self.sandbox.object_path("bucket", self.key)
        return path.exists() and path.read_bytes() == self.source.read_bytes()

    def notes(self) -> str:
        """Return what the user was told."""
        return "\n".join(one.text for one in self.heard if isinstance(one, events.Noted))


def when_completed(act: Callable[[], object]) -> Callable[[events.Event], None]:
    """Return an observer that acts once, when Complete has been asked for and before anybody looks."""
    done: list[events.Event] = []

    def hear(event: events.Event) -> None:
        is_complete = isinstance(event, events.Requested) and event.operation == "CompleteMultipartUpload"
        if is_complete and not done:
            done.append(event)
            act()

    return hear


def die() -> None:
    """End, as far as one process can play the end of another."""
    raise Crash
