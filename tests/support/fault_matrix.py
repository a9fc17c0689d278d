"""The fault matrix: faults, the operations that they affect, and the exit codes. Source of obsup-guarantees(7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

PART_PLACES = ("part=1", "part=3", "part=6")
PLACES = (
    "initiate",
    *(f"part,{place}" for place in PART_PLACES),
    "complete",
    "uploads",
    "parts",
    "put",
    "head",
)
"""Operations of the protocol. Part occurs three times: the first, a middle one and the last of six."""

SEARCHES, STEPS = 1000, 30
"""Number of random sequences that the slow lane runs, and the steps of each."""
PAIR_SEARCHES, PAIR_STEPS = 150, 25
"""The same with two machines, two sets of options and two versions of the source."""


@dataclass(frozen=True)
class Fault:
    """One fault. *rule* is a rule of the sandbox, in which ``{bytes}`` is replaced by half the size of the body.

    ``once`` and ``always`` are the exit codes by operation if the fault occurs once or every time; ``*`` stands for
    all other operations. *at* has the operations that it can affect. *forgets*: stored parts are lost. *tries*: how
    often a part is sent if the fault affects it once.
    """

    name: str
    rule: str
    once: Mapping[str, int]
    always: Mapping[str, int]
    at: frozenset[str] = frozenset(place.partition(",")[0] for place in PLACES)
    forgets: bool = False
    tries: int = 2

    def code(self, operation: str, *, is_always: bool) -> int:
        """Return the expected exit code."""
        codes = self.always if is_always else self.once
        return codes.get(operation, codes["*"])


@dataclass(frozen=True)
class Case:
    """One fault at one operation, once or always."""

    fault: Fault
    place: str
    is_always: bool

    @property
    def operation(self) -> str:
        """The operation without the part."""
        return self.place.partition(",")[0]

    @property
    def rule(self) -> str:
        """The sandbox's rule."""
        bodies = {"part": 25_000, "put": 25_000, "complete": 100}
        fault = self.fault.rule.format(bytes=bodies.get(self.operation, 0))
        return f"{fault},op={self.place},times={'always' if self.is_always else 1}"

    @property
    def code(self) -> int:
        """The expected exit code."""
        return self.fault.code(self.operation, is_always=self.is_always)

    def __str__(self) -> str:
        frequency = "always" if self.is_always else "once"
        return f"{self.fault.name} at {self.place.replace(',', ' ').replace('=', ' ')} {frequency}"


def codes(others: int, **by_operation: int) -> dict[str, int]:
    """Return exit codes by operation."""
    return {"*": others, **by_operation}


SURVIVED = codes(0)
# Without permission to list uploads the upload continues: the list is needed only if a checkpoint was lost.
RETRIED = codes(75)
DENIED = codes(77, uploads=0)
REFUSED = codes(69, uploads=0)
# Executed, response lost: HEAD finds the object. Parts and lists are requested again.
RESPONSE_LOST = codes(75, initiate=0, complete=0)
MULTIPART = frozenset({"part", "complete", "parts"})

FAULTS = (
    Fault("401 Unauthorized", "error=401:Unauthorized", SURVIVED, DENIED),
    # Parts are verified by their receipts, and the object by what the store shows without HeadObject.
    Fault("403 AccessDenied", "error=403:AccessDenied", SURVIVED, codes(77, uploads=0, parts=0, head=0)),
    Fault("403 SignatureDoesNotMatch", "error=403:SignatureDoesNotMatch", SURVIVED, DENIED),
    # If it occurs once, the measured clock offset is wrong for the next request and is measured again.
    Fault("403 RequestTimeTooSkewed, the store's clock 1 h ahead", "skew=3600", SURVIVED, SURVIVED, tries=3),
    Fault("security token expires", "expire-token", SURVIVED, DENIED),
    Fault("404 NoSuchBucket", "error=404:NoSuchBucket", REFUSED, REFUSED),
    Fault(
        "404 NoSuchUpload, although the upload exists",
        "error=404:NoSuchUpload",
        codes(0, parts=75),
        codes(69, parts=75),
        MULTIPART,
    ),
    # Not InvalidArgument, which may mean the header with the CRC-64: what has one is sent once more without it.
    Fault("400 InvalidStorageClass", "error=400:InvalidStorageClass", REFUSED, REFUSED),
    Fault("400 RequestTimeout", "error=400:RequestTimeout", SURVIVED, RETRIED),
    Fault("408 RequestTimeout", "error=408:RequestTimeout", SURVIVED, RETRIED),
    Fault("409 OperationAborted", "error=409:OperationAborted", SURVIVED, RETRIED),
    Fault("429 TooManyRequests", "error=429:TooManyRequests", SURVIVED, RETRIED),
    Fault("500 InternalError", "error=500:InternalError", SURVIVED, RETRIED),
    Fault("502 BadGateway", "error=502:BadGateway", SURVIVED, RETRIED),
    Fault("503 SlowDown with Retry-After", "error=503:SlowDown,retry-after=0", SURVIVED, RETRIED),
    Fault("503 before the store reads the body", "error=503:SlowDown,early=1", SURVIVED, RETRIED),
    Fault("504 GatewayTimeout", "error=504:GatewayTimeout", SURVIVED, RETRIED),
    Fault("421 MisdirectedRequest", "error=421:MisdirectedRequest", SURVIVED, RETRIED),
    Fault("connection reset in the middle of the request", "reset={bytes}", SURVIVED, RETRIED),
    Fault("connection closed in the middle of the request", "drop-request={bytes}", SURVIVED, RETRIED),
    Fault("no response, then the connection is closed", "stall=0.02", SURVIVED, RETRIED),
    Fault("request executed, response lost", "drop-answer", SURVIVED, RESPONSE_LOST),
    Fault("request executed, response truncated", "truncate-answer", SURVIVED, RESPONSE_LOST),
    Fault("request executed, 500 InternalError", "error-after=500:InternalError", SURVIVED, RESPONSE_LOST),
    Fault("request executed, 524 of a proxy", "error-after=524:OriginTimeout", SURVIVED, RESPONSE_LOST),
    Fault(
        "200 with a foreign page, request executed",
        "garble-answer",
        SURVIVED,
        codes(69, initiate=0, part=0, uploads=0, complete=0),
        frozenset({"initiate", "part", "complete", "parts", "uploads", "put"}),
    ),
    Fault(
        "200 with <Error>, request not executed",
        "error-in-200=InternalError",
        SURVIVED,
        RETRIED,
        frozenset({"complete"}),
    ),
    Fault(
        "200 with <Error>, request executed",
        "error-in-200=InternalError,done=1",
        SURVIVED,
        SURVIVED,
        frozenset({"complete"}),
    ),
    Fault("200 with an empty ETag", "empty-etag", SURVIVED, SURVIVED, frozenset({"complete"})),
    Fault("a bit flips in transit", "flip-bit", SURVIVED, codes(65), frozenset({"part", "put"})),
    Fault(
        "the store forgets the upload",
        "forget-upload",
        SURVIVED,
        codes(69, parts=0),
        MULTIPART,
        forgets=True,
    ),
)


# Faults that run at every operation each time. The others run at one part, and at all places in the slow lane.
REPRESENTATIVES = (
    "403 AccessDenied",
    "403 RequestTimeTooSkewed, the store's clock 1 h ahead",
    "404 NoSuchUpload, although the upload exists",
    "500 InternalError",
    "connection reset in the middle of the request",
    "request executed, response lost",
    "200 with a foreign page, request executed",
    "the store forgets the upload",
)


def parameters() -> list[Any]:
    """Return the whole matrix as test parameters; most of it runs in the slow lane."""
    return [
        pytest.param(case, id=str(case), marks=[] if _runs_every_time(case) else [pytest.mark.slow])
        for case in cases()
    ]


def _runs_every_time(case: Case) -> bool:
    if case.operation == "part":
        return case.place == f"part,{PART_PLACES[1]}"
    return case.operation == "complete" or case.fault.name in REPRESENTATIVES


def cases() -> Iterator[Case]:
    """Yield the whole matrix."""
    for fault in FAULTS:
        for place in PLACES:
            if place.partition(",")[0] in fault.at:
                yield Case(fault, place, is_always=False)
                yield Case(fault, place, is_always=True)
