"""Options for sending parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from msgspec import field

from obsup import events
from obsup.engine.job.connection import LearnedFacts
from obsup.engine.proof.encryption import RequestedEncryption
from obsup.engine.proof.part_proof import DigestChoice
from obsup.local.source.digest import Gate
from obsup.local.state import rejected_checksums
from obsup.model import Target
from obsup.store.retrying import Attempts
from obsup.value import Value

# Facts about the store.
REJECTS_CHECKSUMS = "rejects checksum headers"
CONFIRMS_CRC64 = "returns the CRC-64 that is sent"
_REJECTED_BEFORE, _RECALLED = "rejected checksum headers in an earlier run", "earlier runs are recalled"


def remember_rejection(learned: LearnedFacts, target: Target) -> None:
    """Remember, also for later runs, that the store of *target* rejects the headers of checksums."""
    learned.learn(REJECTS_CHECKSUMS, lambda: rejected_checksums.remember(target))


def skips_checksums(learned: LearnedFacts, target: Target, digest: str) -> bool:
    """Return whether the store of *target* rejected the headers of checksums in this run.

    If the user asks for no certain *digest*, that of an earlier run counts, too.
    """
    place = (target.endpoint, target.bucket)

    def recall() -> None:
        if rejected_checksums.is_remembered(target):
            learned.add((_REJECTED_BEFORE, *place))

    if digest == "auto":
        learned.learn((_RECALLED, *place), recall)
    return learned.has(REJECTS_CHECKSUMS) or (digest == "auto" and learned.has((_REJECTED_BEFORE, *place)))


def parts_confirm(target: Target, encryption: RequestedEncryption) -> Hashable:
    """Return the fact that the responses to parts confirm *encryption*, and not that to Initiate, as on MinIO."""
    return ("parts confirm the encryption", target.endpoint, target.bucket, encryption)


def initiate_confirms(target: Target, encryption: RequestedEncryption) -> Hashable:
    """Return the fact that the response to Initiate confirms *encryption*."""
    return ("Initiate confirms the encryption", target.endpoint, target.bucket, encryption)


class SendOptions(Value):
    """How content is sent: the digests that verify it, Content-MD5 or not, the observer, and the limits.

    ``learned`` remembers that the store requires Content-MD5, for all that is sent to it.

    ``encryption`` is what the response to PutObject must confirm, and that to a part if it has a customer key, or if
    ``learned`` has that parts confirm it.
    ``attempts`` begins the retries of a request that the store does not retry itself; without it, there are none.
    ``gate`` is called before bytes are sent, ``read_gate`` before bytes are read that are not sent. ``monotonic`` is a
    clock in seconds, which spaces the progress events.
    """

    digests: DigestChoice
    content_md5: bool = False
    observe: events.Observer = events.ignore
    gate: Gate | None = None
    read_gate: Gate | None = None
    encryption: RequestedEncryption | None = None
    learned: LearnedFacts = field(default_factory=LearnedFacts)
    attempts: Callable[[], Attempts] | None = None
    monotonic: Callable[[], float] = time.monotonic
