"""Each fault at each operation, once and always: the documented code, nothing lost, nothing left behind."""

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
    """One sandbox for the whole matrix; each case has a key of its own."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def rig(store: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A source of six parts and a key of its own."""
    source = tmp_path / "bigfile"
    source.write_bytes(random.Random(1).randbytes(SIZE))
    yield Rig(store, source, key=f"key-{len(store.requests)}")
    store.clear_faults()


def prepare(rig: Rig, case: Case) -> None:
    """Bring the upload to where the operation of *case* comes: HEAD only after a lost answer, ListParts on resume."""
    if case.operation == "put":
        rig.source.write_bytes(rig.source.read_bytes()[:50_000])
        rig.part_size = None
    elif case.operation == "parts":
        rig.break_off("op=part,part=4")
    elif case.operation == "head":
        rig.sandbox.add_fault("drop-answer,op=complete")


def check_kept(rig: Rig) -> None:
    """Assert that no upload is open but the recorded one."""
    open_ids = rig.open_ids()
    assert len(open_ids) <= 1
    if open_ids:
        assert f'"uploadId": "{open_ids[0]}"' in rig.checkpoint.read_text()


@pytest.mark.parametrize("case", parameters())
def test_fault(case: Case, rig: Rig) -> None:
    """Survived, or the documented code with all that was stored kept; then the same command finishes."""
    prepare(rig, case)
    rig.sandbox.add_fault(case.rule)
    code = rig.code(IMPATIENT if case.is_always else PATIENT)
    assert code == case.code
    assert any(r.fault and case.rule in r.fault for r in rig.sandbox.requests[rig.begun_at :])
    if code == 0 and not case.is_always and case.operation == "part" and not case.fault.forgets:
        assert len(rig.requests("part")) == rig.parts - 1 + case.fault.tries
    if code != 0:
        finish(rig, case)
    assert rig.is_stored()
    assert rig.open_ids() == []
    assert not list(rig.source.parent.glob("*.obsup.json*"))
    # Only abort, --restart and gc abort an upload.
    assert not [r for r in rig.sandbox.requests if r.key == rig.key and r.operation == "abort"]


def finish(rig: Rig, case: Case) -> None:
    """Assert that nothing is lost, mend the cause, and run the same command: it sends only what is missing."""
    check_kept(rig)
    there = rig.right_parts()
    if case.operation == "part" and not case.fault.forgets:
        assert there >= set(range(1, int(case.place[-1])))
    rig.sandbox.clear_faults()
    result = rig.run()
    if rig.part_size is not None and case.operation not in ("complete", "head"):
        sent = rig.requests("part")
        assert set(sent) == set(range(1, rig.parts + 1)) - there
        assert len(sent) == result.sent_parts


def test_every_error_has_what_why_and_next(store: Sandbox, tmp_path: Path) -> None:
    """The last line is the command to run, or what to mend."""
    source = tmp_path / "bigfile"
    source.write_bytes(bytes(SIZE))
    for case in cases():
        if case.is_always and case.place == "part,part=3" and case.code:
            rig = Rig(store, source, key=f"said-{len(store.requests)}")
            store.add_fault(case.rule)
            with pytest.raises(ObsupError) as caught:
                rig.run(IMPATIENT)
            store.clear_faults()
            assert caught.value.what
            assert caught.value.why
            assert str(caught.value.next_step)
            assert "part 3" in caught.value.what
            rig.run(restart=True)
