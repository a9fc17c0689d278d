"""Each fault of each operation, once and permanent: the exit code is documented, and no part or upload is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.errors import ObsupError
from obsup.sandbox.sandbox import Sandbox
from tests.support.fault_matrix import Case, cases, parameters
from tests.support.upload_rig import IMPATIENT, PART, PATIENT, Rig

SIZE = 5 * PART + 50_000


@pytest.fixture(scope="module")
def store() -> Iterator[Sandbox]:
    """One sandbox for the whole matrix; each case has its own key."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def rig(store: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A source of six parts and its own key."""
    source = tmp_path / "bigfile"
    source.write_bytes(random.Random(1).randbytes(SIZE))
    yield Rig(store, source, key=f"key-{len(store.requests)}")
    store.clear_faults()


def prepare(rig: Rig, case: Case) -> None:
    """Make the next run use the operation of *case*: HEAD follows a lost response, ListParts a resume."""
    if case.operation == "put":
        rig.source.write_bytes(rig.source.read_bytes()[:50_000])
        rig.part_size = None
    elif case.operation == "parts":
        rig.break_off("op=part,part=4")
    elif case.operation == "head":
        rig.sandbox.add_fault("drop-answer,op=complete")


def check_kept(rig: Rig) -> None:
    """Assert that only the recorded upload is open."""
    open_ids = rig.open_ids()
    assert len(open_ids) <= 1
    if open_ids:
        assert f'"uploadId": "{open_ids[0]}"' in rig.checkpoint.read_text()


@pytest.mark.parametrize("case", parameters())
def test_fault(case: Case, rig: Rig) -> None:
    """The run succeeds, or fails with the documented code and keeps all parts; then the same command succeeds."""
    prepare(rig, case)
    rig.sandbox.add_fault(case.rule)
    code = rig.code(IMPATIENT if case.is_always else PATIENT)
    assert code == case.code
    assert any(r.fault and case.rule in r.fault for r in rig.sandbox.requests[rig.first_request :])
    if code == 0 and not case.is_always and case.operation == "part" and not case.fault.forgets:
        assert len(rig.requests("part")) == rig.parts - 1 + case.fault.tries
    if code != 0:
        finish(rig, case)
    assert rig.is_stored()
    assert rig.open_ids() == []
    assert not list(rig.source.parent.glob("*.obsup.json*"))
    # Only abort, --restart and gc abort an upload. A trial upload has one byte.
    requests = [r for r in rig.sandbox.requests if r.key == rig.key]
    trials = {r.upload_id for r in requests if r.operation == "part" and r.received == 1}
    assert not [r for r in requests if r.operation == "abort" and r.upload_id not in trials]


def finish(rig: Rig, case: Case) -> None:
    """Assert that nothing is lost, remove the fault, and run the same command: it sends only missing parts."""
    check_kept(rig)
    stored = rig.right_parts()
    if case.operation == "part" and not case.fault.forgets:
        assert stored >= set(range(1, int(case.place[-1])))
    rig.sandbox.clear_faults()
    result = rig.run()
    if rig.part_size is not None and case.operation not in ("complete", "head"):
        sent = rig.requests("part")
        assert set(sent) == set(range(1, rig.parts + 1)) - stored
        assert len(sent) == result.sent_parts


def test_every_error_has_what_why_and_next(store: Sandbox, tmp_path: Path) -> None:
    """The last line is the command to run, or what to fix."""
    source = tmp_path / "bigfile"
    source.write_bytes(bytes(SIZE))
    for case in cases():
        if case.is_always and case.place == "part,part=3" and case.code:
            rig = Rig(store, source, key=f"message-{len(store.requests)}")
            store.add_fault(case.rule)
            with pytest.raises(ObsupError) as caught:
                rig.run(IMPATIENT)
            store.clear_faults()
            assert caught.value.what
            assert caught.value.why
            assert str(caught.value.next_step)
            assert "part 3" in caught.value.what
            rig.run(restart=True)
