"""Several machines upload one tree, each its share: every file once, whatever is killed, and wherever it runs again."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.errors import BadConfiguration
from obsup.local.state.journal import Journal
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from obsup.shard import Shard
from tests.support import locales
from tests.support.batch import LARGE_SIZE, assert_stored, count_operations, make_files, stored_keys
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_runs import SEED
from tests.support.waiting import wait_for

MACHINES = 8
JOBS = 4
MAX_KILLS = 2
"""Of each machine."""


class Machine:
    """One of the machines: its share, and a state directory, a hash seed and a locale of its own."""

    def __init__(self, shell: Shell, sandbox: Sandbox, number: int) -> None:
        self.shard = Shard(number, MACHINES)
        self._shell = shell
        self._sandbox = sandbox
        self._number = number
        self._rng = random.Random(f"{SEED} {number}")

    def command(self, name: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return the arguments and the environment of the upload on the machine *name*."""
        arguments = ("upload", "-r", "tree", "bucket/p/", "--shard", str(self.shard), "-j", str(JOBS))
        locale = locales.environment(locales.ASCII, self._shell.folder) if self._number % 2 else {}
        state = str(self._shell.folder / name)
        return arguments, {"OBSUP_STATE_DIR": state, "PYTHONHASHSEED": str(self._number), **locale}

    def sent(self) -> int:
        """Return how many requests with content of this share's files have succeeded."""
        records = list(self._sandbox.requests)
        return sum(
            r.operation in ("put", "part") and r.status == 200 and self.shard.has(r.key) for r in records
        )

    def run(self) -> None:
        """Start the upload and kill it, at random moments, then run it to its end; the last run is elsewhere."""
        name = f"state-{self._number}"
        for _ in range(1 + self._number % MAX_KILLS):
            before, most = self.sent(), self._rng.randrange(3, 10)
            arguments, environment = self.command(name)
            with self._shell.begin(*arguments, **environment) as process:
                wait_for(lambda b=before, m=most: self.sent() >= b + m)  # type: ignore[misc]
                process.send_signal(signal.SIGKILL)
            if self._rng.random() < 0.5:
                name = f"other-{name}"
        self.finish(name)

    def finish(self, name: str) -> None:
        """Run the upload to its end on the machine *name*."""
        arguments, environment = self.command(name)
        outcome = self._shell.run(*arguments, **environment)
        assert outcome.code == 0, f"SEED={SEED}\n{outcome.err}"


def on_all(machines: list[Machine], work: str, *arguments: str) -> None:
    """Call the method *work* of each machine at the same time."""
    with ThreadPoolExecutor(len(machines)) as threads:
        for future in [threads.submit(getattr(one, work), *arguments) for one in machines]:
            future.result()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_eight_machines_that_are_killed(shell: Shell, sandbox: Sandbox) -> None:
    """All objects are right; only what was in flight is sent twice; nothing when every share runs again elsewhere."""
    small = [f"tree/{number % 7}/ä 漢 {number}" for number in range(240)]
    large = [f"tree/large/{number}" for number in range(16)]
    make_files(shell, *small)
    make_files(shell, *large, size=LARGE_SIZE)
    for rule in ("delay=0.03,op=put", "slow=20M,op=part"):
        sandbox.add_fault(f"{rule},times=always")
    machines = [Machine(shell, sandbox, number) for number in range(1, MACHINES + 1)]
    on_all(machines, "run")
    assert_stored(shell, sandbox, "p/", [*small, *large])
    assert stored_keys(sandbox) == sorted(f"p/{name}" for name in [*small, *large])
    assert sandbox.uploads() == []
    sent = Counter(
        (r.key, r.part_number) for r in sandbox.requests if r.operation in ("put", "part") and r.status == 200
    )
    assert sum(count - 1 for count in sent.values()) <= JOBS * MAX_KILLS * MACHINES, f"SEED={SEED}"
    completed = Counter(r.key for r in sandbox.requests if r.operation == "complete" and r.status == 200)
    assert set(completed) == {f"p/{name}" for name in large}
    assert not list((shell.folder / "tree").rglob("*.obsup.json*"))
    before = len(sandbox.requests)
    for machine in machines:
        verified = shell.run("verify", "-r", "tree", "bucket/p/", "--shard", str(machine.shard))
        assert verified.code == 0, verified.err
    compared = Counter(r.key for r in list(sandbox.requests)[before:] if r.operation == "head")
    assert compared == Counter(f"p/{name}" for name in [*small, *large])
    before = len(sandbox.requests)
    on_all(machines, "finish", "state-elsewhere")
    repeated = {r.operation for r in list(sandbox.requests)[before:]}
    assert not repeated & {"put", "part", "initiate", "complete"}


def test_two_sources_of_one_key_meet_in_the_share_of_the_key(inside: Inside, sandbox: Sandbox) -> None:
    """So that no two machines can replace each other's object. The other share is sent."""
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "x").write_text(folder)
    Path("a", "y").write_text("y")
    owner = next(number for number in range(1, 9) if Shard(number, 8).has("p/x"))
    for number in range(1, 9):
        outcome = inside.run("upload", "-r", "a/", "b/", "bucket/p/", "--shard", f"{number}/8")
        assert outcome.code == (2 if number == owner else 0), outcome.err
        assert ("two sources for one key" in outcome.err) == (number == owner)
    assert stored_keys(sandbox) == ["p/y"] * (not Shard(owner, 8).has("p/y"))


def test_a_missing_source_fails_on_every_machine(inside: Inside, sandbox: Sandbox) -> None:
    """For example on one where the storage is not mounted."""
    for shard in ("1/3", "2/3", "3/3"):
        assert inside.run("upload", "-r", "photos", "bucket/p/", "--shard", shard).code == 66
    assert stored_keys(sandbox) == []


def test_the_journal_of_another_machine_is_used(inside: Inside, sandbox: Sandbox) -> None:
    """With object options, only it shows what is done. The other machine numbers its devices differently."""
    for folder in ("tree", "state"):
        Path(folder).mkdir()
    for number in range(20):
        Path("tree", str(number)).write_text(str(number))
    options = ("--shard", "1/2", "--checkpoint-dir", "state", "--acl", "private")
    run = ("upload", "-r", "tree", "bucket/p/", *options)
    assert inside.run(*run).code == 0
    [path] = Path("state").iterdir()
    with closing(Journal(path, Target("s3", sandbox.endpoint, "bucket", "p/"))) as journal:
        entries = [entry for name in stored_keys(sandbox) if (entry := journal.find(name.removeprefix("p/")))]
        journal.add(*(replace(one, stat=replace(one.stat, device=one.stat.device + 1)) for one in entries))
    before = len(sandbox.requests)
    assert inside.run(*run).code == 0
    assert len(entries) == len(stored_keys(sandbox)) > 3
    assert {r.operation for r in list(sandbox.requests)[before:]} == {"list"}


def test_a_share_in_the_configuration_file(inside: Inside, sandbox: Sandbox) -> None:
    """So that all machines have one command line. A wrong share is an error before anything is read."""
    Path("tree").mkdir()
    for number in range(20):
        Path("tree", str(number)).write_text(str(number))
    run = ("upload", "-r", "tree", "bucket/p/", "--config", "obsup.toml")
    for share in ("0/3", "4/3"):
        Path("obsup.toml").write_text(f'[defaults]\nshard = "{share}"\n')
        with pytest.raises(BadConfiguration, match="invalid value of shard"):
            inside.run(*run)
    Path("obsup.toml").write_text('[defaults]\nshard = "2/3"\n')
    assert inside.run(*run).code == 0
    keys = [f"p/tree/{number}" for number in range(20)]
    assert stored_keys(sandbox) == sorted(key for key in keys if Shard(2, 3).has(key))


@pytest.mark.slow
def test_status_of_a_named_journal_knows_no_shard(shell: Shell, sandbox: Sandbox) -> None:
    """It is unknown whether it is running, unless the batch of the whole directory is."""
    (shell.folder / "tree").mkdir()
    (shell.folder / "tree/file").write_text("1")
    status = ("status", "tree", "--checkpoint", "journal")
    for words, live, text in (
        (("tree", "bucket/p/"), True, "yes"),
        (("tree/", "bucket/p/"), True, "yes"),
        (("tree/", "bucket/p/", "--shard", "1/1"), None, "unknown"),
    ):
        sandbox.add_fault("error=503:SlowDown,op=put,times=always")
        before = count_operations(sandbox)["put"]
        with shell.begin("upload", "-r", *words, "--checkpoint", "journal") as process:
            wait_for(lambda before=before: count_operations(sandbox)["put"] > before)  # type: ignore[misc]
            fields, shown = shell.run(*status, "--json"), shell.run(*status)
            sandbox.clear_faults()
            process.communicate(timeout=100)
        assert [one["live"] for one in fields.json["batches"]] == [live]
        assert f"running     {text}\n" in shown.out
        for key in stored_keys(sandbox):
            sandbox.object_path("bucket", key).unlink()
        (shell.folder / "journal").unlink(missing_ok=True)


def test_status_and_verify_know_shards(inside: Inside, sandbox: Sandbox) -> None:
    """status: what each share has done here. verify: each share compares its files, all of them every file once."""
    Path("tree").mkdir()
    for number in range(12):
        Path("tree", str(number)).write_text(str(number))
    shares = ("1/3", "2/3", "3/3")
    for share in shares[:2]:
        assert inside.run("upload", "-r", "tree", "bucket/p/", "--shard", share).code == 0
    for arguments in (("tree",), ("tree/", "bucket/p/")):
        status = inside.run("status", *arguments, "--json")
        assert [one["shard"] for one in status.json["batches"]] == ["1/3", "2/3"]
    assert sum(one["files"] for one in status.json["batches"]) == len(stored_keys(sandbox))
    assert inside.run("status", "tree", "bucket/other/").out == ""
    assert "shard       1/3\n" in inside.run("status", "tree").out
    before = len(sandbox.requests)
    codes = [
        inside.run("verify", "-r", "tree", "bucket/p/", "--shard", share, "--failed-list", f"failed-{number}")
        for number, share in enumerate(shares)
    ]
    assert [one.code for one in codes] == [0, 0, 65]
    heads = [r.key for r in sandbox.requests[before:] if r.operation == "head"]
    assert sorted(heads) == sorted(f"p/tree/{number}" for number in range(12))
    missing = [one.replace("./", "p/", 1) for one in Path("failed-2").read_text().split()]
    assert sorted([*stored_keys(sandbox), *missing]) == sorted(heads)
    assert inside.run("upload", "--from-list", "failed-2", "bucket/p/").code == 0
    sandbox.object_path("bucket", "p/tree/7").write_bytes(b"x")
    outcome = inside.run("verify", "-r", "tree", "bucket/p/", "--json")
    *files, batch = [json.loads(line) for line in outcome.out.splitlines()]
    assert (outcome.code, batch["status"], batch["sent"], batch["failed"]) == (65, "failed", 11, 1)
    assert {one["source"]: one["status"] for one in files}["tree/7"] == "failed"
    assert {one["status"] for one in files} == {"identical", "failed"}
