"""The table of faults in obsup-guarantees(7), made from the fault matrix of the tests."""

from __future__ import annotations

from collections.abc import Mapping

from tests.property.test_uploads_machine import Uploads
from tests.support.fault_matrix import (
    FAULTS,
    PAIR_SEARCHES,
    PAIR_STEPS,
    PLACES,
    SEARCHES,
    STEPS,
    Fault,
    cases,
)
from tests.support.source_changes import CHANGES
from tests.support.survival import KILL, committed_runs
from tests.support.upload_runs import CHANGED_KINDS, KILLED_KINDS

TIMES = {0: "–", 2: "twice", 3: "three times"}
REAL = (
    "Also tested with real servers: nginx as a proxy (its TLS, 413, 502, 503 and 504, "
    "slow networks, closed and exhausted "
    "connections, killed workers, reloads), Squid, stunnel and a SOCKS server as proxies (logins, rejections, "
    "certificates, killed in the middle), and Ceph's gateway, or all of Ceph, killed "
    "with `kill -9` and restarted. Every operation is tested with Ceph, OpenStack Swift, SeaweedFS, rclone and "
    "moto. And with "
    "real disks that are full or read-only, for every file that obsup writes."
)
OPERATIONS = {"uploads": "list uploads", "parts": "list parts"}


def survival_table() -> str:
    """Return the table in Markdown, faults with the same outcome in one row, and the numbers below it."""
    outcomes: dict[tuple[str, str, int], list[str]] = {}
    for fault in FAULTS:
        outcomes.setdefault((_codes(fault.once), _codes(fault.always), _tries(fault)), []).append(fault.name)
    rows = [
        "| fault | exit code if it happens once | if it happens every time | the part is sent |",
        "| --- | --- | --- | --- |",
    ]
    for (once, always, tries), names in outcomes.items():
        rows.append(f"| {'; '.join(names).replace('<', '&lt;')} | {once} | {always} | {TIMES[tries]} |")
    return "\n".join([*rows, "", _numbers(), "", REAL])


COLUMNS = tuple(dict.fromkeys((*CHANGED_KINDS, *KILLED_KINDS)))
LEGEND = (
    "The numbers are runs, each at a random instant. *file*: one file in parts; *verify*: with `--verify-source`; "
    "*resend*: with `--on-change resend`; *processes*: with `--executor processes`; *small*: in one request; *batch*: "
    "one of many files of `-r`; *pipe*: standard input with `--checkpoint`; *command*: `--from-command`. After "
    "`kill -9` the same command exits 0: the objects equal their sources, nothing was sent twice except what was in "
    "flight, and no upload and no process is left. (For *resend* the source also changes before the kill.) If the "
    "source changes, exit 0 means that the object is one version of it, with the options asked for; with any other "
    "code nothing is published, and the same command with `--on-change resend` finishes the upload without sending a "
    "right part again."
)


def run_table() -> str:
    """Return the table of kills and changes of the source by kind of upload, in Markdown."""
    runs = committed_runs()
    head = ["fault", *(kind.name for kind in COLUMNS), "exit code"]
    rows = [_run_row(f"{KILL}, then the same command", runs[KILL], "0")]
    for change in CHANGES:
        codes = ", ".join(map(str, sorted({0, *change.codes})))
        rows.append(_run_row(change.name, runs[change.name], codes))
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(["\n".join(f"| {' | '.join(line)} |" for line in lines), "", LEGEND])


def _run_row(name: str, runs: Mapping[str, int], codes: str) -> list[str]:
    return [name, *(str(runs.get(kind.name, "–")) for kind in COLUMNS), codes]


def _codes(codes: Mapping[str, int]) -> str:
    """Return exit codes: that of all operations, then the others with theirs."""
    others: dict[int, list[str]] = {}
    for operation, code in codes.items():
        if operation != "*":
            others.setdefault(code, []).append(OPERATIONS.get(operation, operation))
    parts = [f"{code} at {', '.join(operations)}" for code, operations in others.items()]
    return "; ".join([str(codes["*"]), *parts])


def _tries(fault: Fault) -> int:
    """Return how often a part is sent if the fault hits it once; 0 if the fault hits no part that is retried."""
    is_survived = fault.code("part", is_always=False) == 0 and not fault.forgets
    return fault.tries if "part" in fault.at and is_survived else 0


def _numbers() -> str:
    count = len({operation.partition(",")[0] for operation in PLACES})
    kinds = len(Uploads().rules)
    return (
        f"{len(FAULTS)} faults, once and every time, at {count} operations, and at the first, a middle and the last "
        f"part: {len(list(cases()))} runs end with the exit codes in the table. After each run "
        "that does not exit 0, the same "
        "command finishes the upload and does not send stored parts again. In the end the "
        "object equals the source, and "
        f"no upload is left open. In addition: {SEARCHES} random sequences of up to {STEPS} "
        f"steps of {kinds} kinds (crashes, "
        "failing requests, a source rewritten, resized, replaced or touched, a checkpoint "
        "truncated, emptied or deleted, "
        f"uploads and objects of others), and {PAIR_SEARCHES} of up to {PAIR_STEPS} steps in which two machines with "
        "two sets of object options and two versions of the source share one upload (init, part, complete, abort, "
        "upload, crashes, lost and copied state), none of which may break a promise."
    )
