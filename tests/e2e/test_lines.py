"""Lines that are slow, and lines that stand still: the first are waited for, the second are cut, both ways."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from obsup import events
from obsup.sandbox import Sandbox
from obsup.store.transport import LONG_WORK, LineSettings
from tests.doubles.certificates import Authority
from tests.doubles.relay import Relay, Still, Way
from tests.rig import PART, PATIENT, Rig

STALL_S = 0.4
MIB = 1024 * 1024
LINE = LineSettings(stall_timeout_s=STALL_S)
# Where a request stands still: the operation as the sandbox calls it, and how its line is known.
REQUESTS = {
    "initiate": r"^POST .*\?uploads[& ]",
    "part": r"^PUT .*partNumber=2&",
    "complete": r"^POST .*\?uploadId=",
    "put": r"^PUT /bucket/key ",
}


@pytest.fixture
def rig(sandbox: Sandbox, tmp_path: Path) -> Rig:
    """A source of three parts."""
    source = tmp_path / "bigfile"
    source.write_bytes(bytes(2 * PART + 50_000))
    return Rig(sandbox, source)


def retries(rig: Rig) -> list[events.Retried]:
    """Return what was tried again."""
    return [one for one in rig.heard if isinstance(one, events.Retried)]


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_a_slow_line_that_moves_is_never_cut(
    tmp_path: Path, sandbox: Sandbox, rig: Rig, is_secure: bool
) -> None:
    """A part takes ten times --stall-timeout, and the last bytes of it leave this machine's own buffers late."""
    rig.source.write_bytes(bytes(4 * MIB))
    rig.part_size = 4 * MIB
    line = LINE
    tls = None
    if is_secure:
        authority = Authority(tmp_path)
        tls = authority.files("127.0.0.1")
        line = replace(LINE, ca_bundle=str(authority.bundle))
    with Sandbox(tls=tls) as store, Relay(store.port, up=MIB) as relay:
        rig.sandbox = store
        rig.endpoint = relay.endpoint.replace("http:", "https:" if is_secure else "http:")
        result = rig.run(replace(PATIENT, line=line), parts=1, part_size=None)
        assert result.seconds > 8 * STALL_S
        assert retries(rig) == []
        assert rig.is_stored()


def test_an_answer_in_drops_is_waited_for(sandbox: Sandbox, rig: Rig) -> None:
    """Each answer takes longer than --stall-timeout, and moves."""
    with Relay(sandbox.port, down=500) as relay:
        rig.endpoint = relay.endpoint
        result = rig.run(replace(PATIENT, line=LINE))
    assert result.seconds > 4 * STALL_S
    assert retries(rig) == []
    assert rig.is_stored()


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("operation", REQUESTS)
def test_a_line_that_stands_still_is_cut(sandbox: Sandbox, rig: Rig, operation: str, way: Way) -> None:
    """The request is tried again, or its work found done; the rest goes on as if nothing had been."""
    if operation == "put":
        rig.source.write_bytes(bytes(50_000))
        rig.part_size = None
    after = 20_000 if (way, operation) in (("up", "part"), ("up", "put")) else 20
    still = Still(REQUESTS[operation], way, after)
    with Relay(sandbox.port, still=still) as relay:
        rig.endpoint = relay.endpoint
        result = rig.run(replace(PATIENT, line=LINE))
    assert still.struck
    assert result.seconds > STALL_S * (LONG_WORK if operation == "complete" else 1)
    is_sent_again = operation in ("part", "put")
    assert len(rig.requests(operation)) == (4 if operation == "part" else 1 + is_sent_again)
    assert rig.is_stored()
    assert rig.open_ids() == []


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_presigned_part_that_stands_still_is_cut(sandbox: Sandbox, rig: Rig, way: Way) -> None:
    """The worker without keys keeps the same patience."""
    still = Still(REQUESTS["part"], way, after=20)
    with Relay(sandbox.port, still=still) as relay:
        rig.endpoint = relay.endpoint
        rig.run(replace(PATIENT, line=LINE), executor="processes", presign=True, jobs=1)
    assert still.struck
    assert rig.is_stored()


def test_the_work_of_complete_may_take_longer_than_any_other(sandbox: Sandbox, rig: Rig) -> None:
    """A store that assembles ten thousand parts says nothing for minutes; a part's answer comes at once or never."""
    sandbox.add_fault(f"delay={3 * STALL_S},op=complete")
    rig.run(replace(PATIENT, line=LINE))
    assert retries(rig) == []
    sandbox.add_fault(f"delay={3 * STALL_S},op=part,part=2")
    rig.run(replace(PATIENT, line=LINE))
    assert [one.number for one in retries(rig)] == [2]
    assert rig.is_stored()
