"""Patience: the same verbs, tried again as the classification table says, each attempt signed anew."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import field

from obsup import events
from obsup.errors import NetworkError, Stopped, StoreError
from obsup.model import Credentials, ObjectInfo, ObjectPage, OpenUpload, Stored, StoredPart, Target, Upload
from obsup.store.answers.failure_rule import Action, FailureRule
from obsup.store.answers.failure_table import as_error, classify
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import OpenBody
from obsup.store.interface import CredentialSource, ObjectStore
from obsup.value import Value

T = TypeVar("T")
RESENDS = 2
# How often in a row each remedy is tried: behind one name may stand several servers, with a clock each.
REMEDIES = {Action.SET_CLOCK: 3, Action.RENEW_KEYS: 1}
# An attempt takes at most so much from the patience, in seconds: a large part on a slow line is no failure in itself.
ATTEMPT_S = 60.0


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


class RetryPolicy(Value):
    """How long and how often to try. Durations are seconds; randomness and time are arguments.

    Backoff with full jitter: before attempt n+1 a random wait of at most ``base_s * 2**n``, capped; what the
    store asks for in Retry-After is the least. ``sleep`` returns True when the work is to stop.
    """

    retry_for_s: float = 900.0
    base_s: float = 0.5
    cap_s: float = 30.0
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], bool] = _sleep
    uniform: Callable[[float, float], float] = field(default=random.uniform)

    def delay_s(self, attempt: int, asked_s: float | None) -> float:
        """Return how long to wait after the failed *attempt* (from 1), at least what the store asked for."""
        own = self.uniform(0.0, min(self.cap_s, self.base_s * 2 ** min(attempt, 16)))
        return max(own, min(asked_s or 0.0, self.retry_for_s))


class FailureRemedies:
    """What can be done about a failure besides waiting."""

    def __init__(self, credentials: CredentialSource, clock: ServerClock) -> None:
        self._credentials = credentials
        self._clock = clock

    def apply(self, rule: FailureRule, failure: StoreError | NetworkError, used: Credentials | None) -> bool:
        """Try to remove the cause; return whether trying again can help."""
        if not isinstance(failure, StoreError) or used is None:
            return False
        if rule.action is Action.SET_CLOCK:
            return self._clock.learn(failure.refusal.date)
        if rule.action is Action.RENEW_KEYS:
            # One refusal may also be the store's own mistake: the same keys get a second chance.
            self._credentials.refresh(used)
            return True
        return False

    def credentials(self) -> Credentials:
        """Return the credentials that the next attempt will use."""
        return self._credentials.current()


class Attempts:
    """The tries of one call: decides after each failure whether, and when, another follows."""

    def __init__(self, policy: RetryPolicy, remedies: FailureRemedies, observe: events.Observer) -> None:
        self._policy = policy
        self._remedies = remedies
        self._observe = observe
        self._count = 0
        self._spent_s = 0.0
        self._resends = 0
        self._remedied: list[Action] = []

    def run(self, call: Callable[[], T], *, doing: str, part_number: int | None = None) -> T:
        """Return what *call* returns, trying again as the table says.

        Raises the ObsupError of the last failure.
        """
        while True:
            self._count += 1
            used = self._remedies.credentials()
            begun = self._policy.monotonic()
            try:
                return call()
            except (StoreError, NetworkError) as exc:
                if self._count > 1:  # until the first failure nothing was failing
                    self._spent_s += min(self._policy.monotonic() - begun, ATTEMPT_S)
                delay_s = self._next_delay(exc, used)
                if delay_s is None:
                    raise as_error(exc, doing=doing) from exc
                reason = str(exc)
                throttled = classify(exc).action is Action.SLOW_DOWN
            self._observe(events.Retried(part_number, self._count, reason, delay_s, throttled))
            if delay_s and self._policy.sleep(delay_s):
                raise Stopped(f"{doing} was stopped while waiting to try again")

    def _next_delay(self, failure: StoreError | NetworkError, used: Credentials) -> float | None:
        """Return the seconds to wait before another try, or None where there is none."""
        rule = classify(failure)
        asked = failure.refusal.retry_after_s if isinstance(failure, StoreError) else None
        if rule.action in REMEDIES:
            self._remedied.append(rule.action)
            if self._remedied.count(rule.action) > REMEDIES[rule.action]:
                return None
            return self._policy.delay_s(0, None) if self._remedies.apply(rule, failure, used) else None
        self._remedied.clear()  # the store took clock and keys
        if rule.action in (Action.RESEND, Action.ASK_AGAIN):
            self._resends += 1
            return self._policy.delay_s(1, asked) if self._resends <= RESENDS else None
        if rule.action not in (Action.RETRY, Action.SLOW_DOWN):
            return None
        harder = 2 if rule.action is Action.SLOW_DOWN else 0
        delay_s = self._policy.delay_s(self._count + harder, asked)
        if self._spent_s + delay_s > self._policy.retry_for_s:
            return None
        self._spent_s += delay_s
        return delay_s


class RetryingStore:
    """An ObjectStore that tries again.

    Initiate and Complete are tried once: only a look at the store can tell what a failure of theirs means.
    """

    def __init__(
        self,
        inner: ObjectStore,
        policy: RetryPolicy,
        remedies: FailureRemedies,
        observe: events.Observer = events.ignore,
    ) -> None:
        self.dialect = inner.dialect
        self._inner = inner
        self._policy = policy
        self._remedies = remedies
        self._observe = observe

    def observed_by(self, observe: events.Observer) -> RetryingStore:
        """Return the same store with another to hear of the tries."""
        return RetryingStore(self._inner, self._policy, self._remedies, observe)

    def _run(self, call: Callable[[], T], doing: str, part_number: int | None = None) -> T:
        attempts = Attempts(self._policy, self._remedies, self._observe)
        return attempts.run(call, doing=doing, part_number=part_number)

    def initiate(self, target: Target, headers: Mapping[str, str]) -> str:
        """Not repeated here: see engine.begin. A lost answer would leave an upload that nobody knows."""
        return self._inner.initiate(target, headers)

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, *, content_md5: str | None = None
    ) -> Stored:
        """Safe to repeat: the same part number replaces."""
        return self._run(
            lambda: self._inner.upload_part(upload, part_number, open_body, content_md5=content_md5),
            f"part {part_number} of {upload.target}",
            part_number,
        )

    def copy_part(
        self, upload: Upload, part_number: int, source: str, *, byte_range: tuple[int, int] | None = None
    ) -> Stored:
        """Safe to repeat: the same part number replaces."""
        return self._run(
            lambda: self._inner.copy_part(upload, part_number, source, byte_range=byte_range),
            f"copying part {part_number} of {upload.target}",
            part_number,
        )

    def complete(
        self, upload: Upload, parts: Sequence[tuple[int, str]], headers: Mapping[str, str]
    ) -> Stored:
        """Not repeated here: see engine.finish."""
        return self._inner.complete(upload, parts, headers)

    def abort(self, upload: Upload) -> None:
        """Safe to repeat: gone is success."""
        self._run(lambda: self._inner.abort(upload), f"aborting the upload of {upload.target}")

    def list_parts(self, upload: Upload) -> Iterator[StoredPart]:
        """The whole list is fetched again after a failure: a half list must never pass for a whole one."""
        return iter(
            self._run(lambda: list(self._inner.list_parts(upload)), f"listing the parts of {upload.target}")
        )

    def list_uploads(self, bucket: str, prefix: str) -> Iterator[OpenUpload]:
        """As list_parts."""
        return iter(
            self._run(
                lambda: list(self._inner.list_uploads(bucket, prefix)), f"listing the uploads of {bucket}"
            )
        )

    def list_objects(self, bucket: str, prefix: str, marker: str) -> ObjectPage:
        """Safe to repeat, a page at a time: buckets have more objects than memory."""
        return self._run(
            lambda: self._inner.list_objects(bucket, prefix, marker), f"listing the objects of {bucket}"
        )

    def put_object(
        self,
        target: Target,
        open_body: OpenBody,
        headers: Mapping[str, str],
        *,
        content_md5: str | None = None,
    ) -> Stored:
        """Safe to repeat: the same content replaces itself."""
        return self._run(
            lambda: self._inner.put_object(target, open_body, headers, content_md5=content_md5),
            f"sending {target}",
            1,
        )

    def head_object(self, target: Target) -> ObjectInfo | None:
        """Safe to repeat."""
        return self._run(lambda: self._inner.head_object(target), f"looking at {target}")
