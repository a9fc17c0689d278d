"""A store that retries failed requests as the failure table says. Every attempt is signed again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import field

from obsup import events
from obsup.errors import NetworkError, Stopped, StoreError
from obsup.model import (
    Credentials,
    Initiated,
    ListWindow,
    ObjectChecksums,
    ObjectInfo,
    ObjectLock,
    ObjectPage,
    OpenUpload,
    Stored,
    StoredPart,
    Target,
    Upload,
    UploadChecksum,
)
from obsup.store.answers.failure_rule import Action, FailureRule
from obsup.store.answers.failure_table import as_error, classify
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import NO_DIGESTS, BodyDigests, OpenBody
from obsup.store.http.settings import idle_limit
from obsup.store.interface import WHOLE_LIST, CredentialSource, ObjectStore
from obsup.value import Value

T = TypeVar("T")
MAX_RESENDS = 2
MAX_BACKOFF_S = 30.0
# In a row. One host name may belong to several servers, each with its own clock.
MAX_RECOVERIES = {Action.SET_CLOCK: 3, Action.RELOAD_CREDENTIALS: 1}
# An attempt counts for at most this much of the retry time, or for the longest wait for the response if that is longer:
# a large part on a slow network is not a failure.
MAX_COUNTED_ATTEMPT_S = 60.0
# How long the last attempt may be idle, which begins at the end of the retry time.
LAST_ATTEMPT_S = 1.5


def sleep(seconds: float) -> bool:
    """Sleep; nothing stops it."""
    time.sleep(seconds)
    return False


def _uniform(low: float, high: float) -> float:
    """Return a number between *low* and *high*. The module random, with four others, would take long to load."""
    return low + (high - low) * int.from_bytes(os.urandom(6), "big") / (1 << 48)


class RetryPolicy(Value):
    """How long to retry and how long to wait in between. Durations are seconds; randomness and time are arguments.

    Backoff with full jitter: before attempt n+1 a random wait of at most ``base_s * 2**n``, and of ``MAX_BACKOFF_S``,
    but at least what the store requests in Retry-After. ``sleep`` returns True if the work must stop.
    """

    retry_for_s: float = 900.0
    base_s: float = 0.5
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], bool] = sleep
    uniform: Callable[[float, float], float] = field(default=_uniform)

    def delay_s(self, attempt: int, requested_s: float | None) -> float:
        """Return the wait after the failed *attempt* (from 1), at least *requested_s*, the store's Retry-After."""
        backoff_s = self.uniform(0.0, min(MAX_BACKOFF_S, self.base_s * 2 ** min(attempt, 16)))
        return max(backoff_s, min(requested_s or 0.0, self.retry_for_s))


class FailureRecovery:
    """What removes the cause of a failure: the server's clock, and new credentials."""

    def __init__(self, credentials: CredentialSource, clock: ServerClock) -> None:
        self._credentials = credentials
        self.clock = clock

    def apply(self, rule: FailureRule, failure: StoreError | NetworkError, used: Credentials | None) -> bool:
        """Try to remove the cause; return whether a retry can succeed."""
        if not isinstance(failure, StoreError) or used is None:
            return False
        if rule.action is Action.SET_CLOCK:
            return self.clock.learn(failure.refusal.date)
        if rule.action is Action.RELOAD_CREDENTIALS:
            # The rejection may be an error of the store, so unchanged credentials are tried once more.
            self._credentials.refresh(used)
            return True
        return False

    def credentials(self) -> Credentials:
        """Return the credentials that the next attempt will use."""
        return self._credentials.current()


class Attempts:
    """The attempts of one operation. Decides after each failure whether and when to retry."""

    def __init__(self, policy: RetryPolicy, recovery: FailureRecovery, observe: events.Observer) -> None:
        self._policy = policy
        self._recovery = recovery
        self._observe = observe
        self._count = 0
        self._spent_s = 0.0
        self._resends = 0
        self._recoveries: list[Action] = []
        self._limit_s: float | None = (
            None  # of the next attempt, if it is one of those that the retry time limits
        )

    def run(self, operation: Callable[[], T], *, doing: str, part_number: int | None = None) -> T:
        """Return what *operation* returns, retried as the failure table says.

        *doing* describes it for messages. Raises the ObsupError of the last failure.
        """
        while True:
            self._count += 1
            used = self._recovery.credentials()
            started = self._policy.monotonic()
            try:
                with idle_limit(self._limit_s):
                    return operation()
            except (StoreError, NetworkError) as exc:
                self._spent_s += self._counted_s(exc, self._policy.monotonic() - started)
                delay_s = self._next_delay_s(exc, used)
                if delay_s is None:
                    raise as_error(exc, doing=doing) from exc
                reason = str(exc)
                throttled = classify(exc).action is Action.SLOW_DOWN
            self._observe(events.Retried(part_number, self._count, reason, delay_s, throttled))
            if delay_s and self._policy.sleep(delay_s):
                raise Stopped(
                    f"{doing} was stopped while waiting for a retry", f"The last attempt failed: {reason}"
                )

    def _counted_s(self, failure: StoreError | NetworkError, elapsed_s: float) -> float:
        """Return how much of the retry time an attempt of *elapsed_s* has used up."""
        kind = failure.kind if isinstance(failure, NetworkError) else ""
        if kind == "slow":
            return elapsed_s  # the time is that of the response alone
        if self._count == 1 and kind not in ("stall", "connect"):
            return 0.0  # nothing failed before; an idle connection had failed while obsup waited
        idle_s = failure.idle_s if isinstance(failure, NetworkError) and kind == "stall" else 0.0
        return min(elapsed_s, max(MAX_COUNTED_ATTEMPT_S, idle_s))

    def _next_delay_s(self, failure: StoreError | NetworkError, used: Credentials) -> float | None:
        """Return the wait before the next attempt, or None if no attempt follows."""
        rule, self._limit_s = classify(failure), None
        requested_s = failure.refusal.retry_after_s if isinstance(failure, StoreError) else None
        if rule.action in MAX_RECOVERIES:
            self._recoveries.append(rule.action)
            if self._recoveries.count(rule.action) > MAX_RECOVERIES[rule.action]:
                return None
            return self._policy.delay_s(0, None) if self._recovery.apply(rule, failure, used) else None
        self._recoveries.clear()  # the store accepted clock and credentials
        if rule.action in (Action.RESEND, Action.REPEAT):
            self._resends += 1
            return self._policy.delay_s(1, requested_s) if self._resends <= MAX_RESENDS else None
        if rule.action not in (Action.RETRY, Action.SLOW_DOWN):
            return None
        extra_attempts = 2 if rule.action is Action.SLOW_DOWN else 0
        delay_s = self._policy.delay_s(self._count + extra_attempts, requested_s)
        left_s = self._policy.retry_for_s - self._spent_s
        if left_s <= 0:
            return None
        delay_s = min(delay_s, left_s)  # the last attempt is at the end of the retry time
        self._spent_s += delay_s
        self._limit_s = max(LAST_ATTEMPT_S, left_s - delay_s)
        return delay_s


class RetryingStore:
    """An ObjectStore that retries every operation except initiate and complete.

    Only a look at the store can tell what a failure of these two means; the engine does that.
    """

    def __init__(
        self,
        inner: ObjectStore,
        policy: RetryPolicy,
        recovery: FailureRecovery,
        observe: events.Observer = events.ignore,
    ) -> None:
        self.dialect = inner.dialect
        self._inner = inner
        self._policy = policy
        self._recovery = recovery
        self._observe = observe

    def observed_by(self, observe: events.Observer) -> RetryingStore:
        """Return the same store, which reports its retries to *observe*."""
        return RetryingStore(self._inner, self._policy, self._recovery, observe)

    def _run(self, operation: Callable[[], T], doing: str, part_number: int | None = None) -> T:
        attempts = Attempts(self._policy, self._recovery, self._observe)
        return attempts.run(operation, doing=doing, part_number=part_number)

    def initiate(self, target: Target, headers: Mapping[str, str]) -> Initiated:
        return self._inner.initiate(target, headers)

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, digests: BodyDigests = NO_DIGESTS
    ) -> Stored:
        return self._run(
            lambda: self._inner.upload_part(upload, part_number, open_body, digests),
            f"part {part_number} of {upload.target}",
            part_number,
        )

    def copy_part(
        self,
        upload: Upload,
        part_number: int,
        source: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
    ) -> Stored:
        return self._run(
            lambda: self._inner.copy_part(
                upload, part_number, source, byte_range=byte_range, if_match=if_match
            ),
            f"copying part {part_number} of {upload.target}",
            part_number,
        )

    def upload_checksum(self, upload: Upload) -> UploadChecksum | None:
        return self._run(lambda: self._inner.upload_checksum(upload), f"listing the parts of {upload.target}")

    def complete(
        self,
        upload: Upload,
        parts: Sequence[tuple[int, str]],
        headers: Mapping[str, str],
        *,
        checksums: ObjectChecksums | None = None,
    ) -> Stored:
        return self._inner.complete(upload, parts, headers, checksums=checksums)

    def abort(self, upload: Upload) -> bool:
        return self._run(lambda: self._inner.abort(upload), f"aborting the upload of {upload.target}")

    def list_parts(self, upload: Upload, *, after: int = 0, most: int | None = None) -> Iterator[StoredPart]:
        """Yield the parts. A retry lists from the start, so that the list is always complete."""
        return iter(
            self._run(
                lambda: list(self._inner.list_parts(upload, after=after, most=most)),
                f"listing the parts of {upload.target}",
            )
        )

    def list_uploads(self, bucket: str, prefix: str, window: ListWindow = WHOLE_LIST) -> Iterator[OpenUpload]:
        return iter(
            self._run(
                lambda: list(self._inner.list_uploads(bucket, prefix, window)),
                f"listing the uploads of {bucket}",
            )
        )

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        return self._run(
            lambda: self._inner.list_objects(bucket, prefix, marker), f"listing the objects of {bucket}"
        )

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        digests: BodyDigests = NO_DIGESTS,
    ) -> Stored:
        return self._run(
            lambda: self._inner.put_object(target, open_body, headers, digests),
            f"uploading {target}",
            1,
        )

    def head_object(self, target: Target, *, is_copy_source: bool = False) -> ObjectInfo | None:
        return self._run(
            lambda: self._inner.head_object(target, is_copy_source=is_copy_source), f"checking {target}"
        )

    def read_object(self, target: Target, first: int, size: int) -> tuple[str, bytes]:
        return self._run(lambda: self._inner.read_object(target, first, size), f"reading {target}")

    def lock_object(self, target: Target, version_id: str, lock: ObjectLock) -> None:
        self._run(lambda: self._inner.lock_object(target, version_id, lock), f"locking {target}")
