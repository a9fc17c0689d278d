"""README's table of what was survived, made of the tables that the fault matrix is made of."""

from __future__ import annotations

from collections.abc import Mapping

from tests.property.test_uploads_machine import Uploads
from tests.support.fault_matrix import FAULTS, KILLS, PLACES, SEARCHES, STEPS, Fault, cases

TIMES = {0: "–", 2: "twice", 3: "three times"}
REAL = (
    "With real servers: nginx in between (its TLS, 413, 502, 503 and 504, slow lines, connections closed and used up, "
    "workers killed, reloads), and Ceph's gateway, or all of its store, killed with `kill -9` and begun again. With "
    "real disks: full, or fit to be read only, for whatever obsup writes."
)
OPERATIONS = {"uploads": "list uploads", "parts": "list parts"}


def survival_table() -> str:
    """Return the table in Markdown, faults of the same fate in one row, and the numbers below it."""
    fates: dict[tuple[str, str, int], list[str]] = {}
    for fault in FAULTS:
        fates.setdefault((_codes(fault.once), _codes(fault.always), _again(fault)), []).append(fault.name)
    rows = ["| what goes wrong | once | every time | the part is sent |", "| --- | --- | --- | --- |"]
    for (once, always, tries), names in fates.items():
        rows.append(f"| {'; '.join(names).replace('<', '&lt;')} | {once} | {always} | {TIMES[tries]} |")
    return "\n".join([*rows, "", _numbers(), "", REAL])


def _codes(codes: Mapping[str, int]) -> str:
    """Return exit codes: that of all operations, then the others with theirs."""
    others: dict[int, list[str]] = {}
    for operation, code in codes.items():
        if operation != "*":
            others.setdefault(code, []).append(OPERATIONS.get(operation, operation))
    told = [f"{code} at {', '.join(operations)}" for code, operations in others.items()]
    return "; ".join([str(codes["*"]), *told])


def _again(fault: Fault) -> int:
    """Return how often a part is sent that the fault strikes once; 0 where it strikes no part that goes on."""
    is_survived = fault.code("part", is_always=False) == 0 and not fault.forgets
    return fault.tries if "part" in fault.at and is_survived else 0


def _numbers() -> str:
    places = len({place.partition(",")[0] for place in PLACES})
    kinds = len(Uploads().rules)
    return (
        f"{len(FAULTS)} faults, once and every time, at {places} operations, and at the first, a middle and the last "
        f"part: {len(list(cases()))} runs, with the exit codes that the table says. After each that is not 0 the same "
        "command finishes and sends no part again that was stored; in the end the object is the source, byte for "
        f"byte, and no upload is left open. Besides: {KILLS} times `kill -9`, at each step on disk and at random "
        f"instants, then the same command; and {SEARCHES} sequences of up to {STEPS} steps of {kinds} kinds (crashes, "
        "failing calls, a source rewritten, resized, replaced or touched, a checkpoint torn, emptied or deleted, "
        "uploads and objects of others), searched for one that breaks a promise."
    )
