"""Two machines, two sets of object options and two versions of the source, in any order, with failures and crashes.

Each machine has its own copy of the source and its own state directory; both upload to one key of one store. Whatever
one machine starts, the other may continue. Hypothesis searches for a sequence that publishes a mixture of the versions,
or exits 0 with another content or other options than those asked for.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from obsup.engine.job.connection import connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.steps.abort import abort_upload
from obsup.engine.steps.complete import ManualCompletion
from obsup.engine.steps.completion_checks import CompletionChecks
from obsup.engine.steps.lookup import UploadSelector
from obsup.engine.steps.part import PartWindow, send_one
from obsup.engine.upload.uploader import Uploader
from obsup.errors import ObsupError
from obsup.model import Credentials, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from obsup.store.interface import FixedCredentials
from obsup.store.retrying import RetryingStore, RetryPolicy
from tests.doubles.faulty_store import KINDS, Crash, FaultyStore
from tests.support.fault_matrix import PAIR_SEARCHES, PAIR_STEPS
from tests.support.state_machines import machine_settings
from tests.support.upload_runs import PART, SEED

ALLOWED_CODES = {0, 2, 65, 66, 69, 75, 77}
SIZE = 2 * PART + 50_000
VERSIONS = tuple((f"{version:04d}" * SIZE).encode()[:SIZE] for version in (1, 2))
OPTIONS = (
    ObjectOptions(metadata={"set": "first"}, acl="private", content_type="text/first"),
    ObjectOptions(metadata={"set": "second"}, acl="public-read", content_type="text/second"),
)
FAULTS = st.dictionaries(st.integers(1, 12), st.sampled_from(KINDS), max_size=2)
MACHINES = st.integers(0, 1)
OPTION_SETS = st.integers(0, 1)


@dataclass(frozen=True)
class Machine:
    """A machine: its folder with the source in it, and its state directory."""

    folder: Path

    @property
    def source(self) -> Path:
        """Its copy of the source."""
        return self.folder / "files" / "bigfile"

    def freeze(self) -> None:
        """Copy everything but the source, because a killed process writes nothing more."""
        shutil.copytree(self.folder, self.frozen, ignore=lambda _folder, _names: ["bigfile"])

    def thaw(self) -> None:
        """Restore the instant of the crash."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path != self.source:
                path.unlink()
        shutil.copytree(self.frozen, self.folder, dirs_exist_ok=True)
        shutil.rmtree(self.frozen)

    @property
    def frozen(self) -> Path:
        """Where the copy is."""
        return self.folder.with_name(f"{self.folder.name}-frozen")


@seed(SEED)
class TwoMachines(RuleBasedStateMachine):
    """Uploads of two machines to one key, and everything that can happen to them."""

    sandbox: Sandbox
    keys = itertools.count()

    @initialize(provider=st.sampled_from(["obs", "oss"]))
    def begin(self, provider: str) -> None:
        """Give both machines the first version."""
        self.provider = provider
        self.key = f"key-{next(self.keys)}"
        self.folder = Path(tempfile.mkdtemp())
        self.machines = [Machine(self.folder / name) for name in ("a", "b")]
        for machine in self.machines:
            machine.source.parent.mkdir(parents=True)
            machine.source.write_bytes(VERSIONS[0])
        # Whether a complete that names an upload id, and no options, may have made the object. OSS takes the ACL from
        # the request to Complete, so the object then has none, as that command asked for none.
        self.is_by_hand = False

    # What one machine does.

    def context(
        self, machine: Machine, option_set: int, faults: dict[int, str], **more: Any
    ) -> UploadContext:
        """Return the context of a command on *machine* whose requests have *faults*, by their number."""
        os.environ["OBSUP_STATE_DIR"] = str(machine.folder / "state")
        connecting = ConnectOptions(endpoint=self.sandbox.endpoint, provider=self.provider, region="here")
        target, store_settings = resolve_target(f"bucket/{self.key}", connecting)
        stop = StopSignal()
        connection = connect(
            store_settings,
            sleep=lambda _s: False,
            credentials=FixedCredentials(Credentials(self.sandbox.access_key, self.sandbox.secret_key)),
        )
        faulty = FaultyStore(connection.store._inner, faults, machine.freeze)
        policy = RetryPolicy(
            monotonic=lambda: 0.0, sleep=lambda _seconds: False, uniform=lambda low, _high: low
        )
        store = RetryingStore(faulty, policy, connection.recovery)
        request = UploadRequest(
            machine.source, target, OPTIONS[option_set], part_size=PART, jobs=1, executor="inline", **more
        )
        return UploadContext(
            replace(connection, store=store, policy=policy), request, ProgressTally(None), stop
        )

    def attempt(self, machine: Machine, act: Callable[[], object]) -> int | None:
        """Return the exit code of *act*, or None if the process crashed."""
        code: int | None = 0
        try:
            act()
        except Crash:
            machine.thaw()
            code = None
        except ObsupError as exc:
            code = exc.exit_code
        assert code is None or code in ALLOWED_CODES
        return code

    def selector(self, machine: Machine, context: UploadContext, upload_id: str | None) -> UploadSelector:
        """Return how a command selects its upload: by an id, or by the checkpoint of its source."""
        return UploadSelector(context.request.target, machine.source, upload_id, None)

    # Rules.

    @rule(
        name=MACHINES,
        option_set=OPTION_SETS,
        faults=FAULTS,
        on_change=st.sampled_from(["fail", "resend"]),
        verify=st.booleans(),
        keep=st.sampled_from([True, True, False]),
        restart=st.sampled_from([False, False, False, True]),
    )
    def upload(
        self,
        name: int,
        option_set: int,
        faults: dict[int, str],
        on_change: str,
        verify: bool,
        keep: bool,
        restart: bool,
    ) -> None:
        """Upload the source of one machine with one set of options."""
        machine = self.machines[name]
        context = self.context(
            machine,
            option_set,
            faults,
            on_change=on_change,
            verify_source=verify,
            keep_checkpoint=keep,
            restart=restart,
        )
        code = self.attempt(machine, lambda: Uploader(context.connection, context.request).run())
        if code == 0:
            self.check_object(machine, option_set)

    @rule(name=MACHINES, option_set=OPTION_SETS, faults=FAULTS)
    def init(self, name: int, option_set: int, faults: dict[int, str]) -> None:
        """Initiate an upload with a checkpoint, or find the existing one."""
        machine = self.machines[name]
        context = self.context(machine, option_set, faults)
        self.attempt(machine, lambda: Uploader(context.connection, context.request).initiate())

    @rule(name=MACHINES, number=st.integers(1, 3), faults=FAULTS, choice=st.integers(0, 3))
    def part(self, name: int, number: int, faults: dict[int, str], choice: int) -> None:
        """Send one part of the recorded upload, or of any open one."""
        machine, upload_id = self.machines[name], self.choose(choice)
        context = self.context(machine, 0, faults)
        selector = self.selector(machine, context, upload_id)
        window = PartWindow(part_size=PART)
        self.attempt(machine, lambda: send_one(context, selector, number, window))

    @rule(name=MACHINES, faults=FAULTS, choice=st.integers(0, 3), verify=st.booleans())
    def complete(self, name: int, faults: dict[int, str], choice: int, verify: bool) -> None:
        """Complete the recorded upload, or any open one, naming the source."""
        machine, upload_id = self.machines[name], self.choose(choice)
        context = self.context(machine, 0, faults)
        context = replace(context, request=replace(context.request, options=ObjectOptions()))
        selector = self.selector(machine, context, upload_id)
        checks = CompletionChecks(verify_source=verify)
        self.is_by_hand = self.is_by_hand or upload_id is not None
        if self.attempt(machine, ManualCompletion(context, selector, checks).complete) == 0:
            assert self.content() == machine.source.read_bytes()

    @rule(name=MACHINES, faults=FAULTS, choice=st.integers(0, 3))
    def abort(self, name: int, faults: dict[int, str], choice: int) -> None:
        """Abort the recorded upload, or any open one."""
        machine, upload_id = self.machines[name], self.choose(choice)
        context = self.context(machine, 0, faults)
        selector = self.selector(machine, context, upload_id)
        code = self.attempt(machine, lambda: abort_upload(context, selector))
        assert code != 0 or upload_id not in self.open_ids()

    @rule(
        name=MACHINES,
        version=st.integers(0, 1),
        how=st.sampled_from(["write", "write", "replace", "keep-time"]),
    )
    def change_source(self, name: int, version: int, how: str) -> None:
        """Give one machine a version of the source: in place, by rename, or with the old modification time."""
        source = self.machines[name].source
        before = source.stat()
        other = source.with_name("other")
        other.write_bytes(VERSIONS[version])
        if how == "replace":
            other.replace(source)
        else:
            with source.open("r+b") as file:
                file.write(VERSIONS[version])
            other.unlink()
        if how != "write":
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(name=MACHINES)
    def lose_checkpoint(self, name: int) -> None:
        """Delete the checkpoint of one machine."""
        for path in self.machines[name].source.parent.glob("*.obsup.json"):
            path.unlink()

    @rule(name=MACHINES)
    def lose_state(self, name: int) -> None:
        """Delete the state directory of one machine."""
        shutil.rmtree(self.machines[name].folder / "state", ignore_errors=True)

    @rule(name=MACHINES)
    def copy_checkpoint(self, name: int) -> None:
        """Copy the checkpoint of one machine to the other, as a shared disk would."""
        machine, other = self.machines[name], self.machines[1 - name]
        for path in machine.source.parent.glob("*.obsup.json"):
            shutil.copy2(path, other.source.parent)

    @rule(name=MACHINES, option_set=OPTION_SETS)
    def finish(self, name: int, option_set: int) -> None:
        """Without faults an upload ends with the right object, or refuses other options; --restart always ends."""
        machine = self.machines[name]
        codes = []
        for restart in (False, True):
            context = self.context(machine, option_set, {}, on_change="resend", restart=restart)
            codes.append(
                self.attempt(machine, lambda c=context: Uploader(c.connection, c.request).run())  # type: ignore[misc]
            )
            if codes[-1] == 0:
                self.check_object(machine, option_set)
                return
        assert codes[1] == 0, codes

    # What must be true.

    @invariant()
    def object_is_one_version_with_one_set_of_options(self) -> None:
        """The object never mixes versions or options."""
        if hasattr(self, "key") and self.content() is not None:
            assert self.content() in VERSIONS, "a mixture"
            expected = [expected_options(one) for one in OPTIONS]
            if self.is_by_hand and self.provider == "oss":
                expected += [(marks, "", content_type) for marks, _acl, content_type in expected]
            assert self.options() in expected

    def check_object(self, machine: Machine, option_set: int) -> None:
        """Assert that the object is the source of *machine* with these options."""
        assert self.content() == machine.source.read_bytes(), "exit 0 with another content"
        assert self.options() == expected_options(OPTIONS[option_set]), "exit 0 with other options"

    def content(self) -> bytes | None:
        """Return the content of the object, if it exists."""
        path = self.sandbox.object_path("bucket", self.key)
        return path.read_bytes() if path.exists() else None

    def options(self) -> tuple[object, ...]:
        """Return the options of the object."""
        found = self.sandbox.object_metadata("bucket", self.key).attributes
        marks = {name: value for name, value in found.metadata.items() if name == "set"}
        return (marks, found.acl, found.headers.get("content-type"))

    def open_ids(self) -> list[str]:
        """Return the ids of the open uploads."""
        return [one.upload_id for one in self.sandbox.uploads() if one.key == self.key]

    def choose(self, choice: int) -> str | None:
        """Return one of the open uploads, or None for the recorded one."""
        open_ids = self.open_ids()
        return open_ids[choice - 1] if 0 < choice <= len(open_ids) else None

    def teardown(self) -> None:
        """Delete the files."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def expected_options(options: ObjectOptions) -> tuple[object, ...]:
    """Return what the store shows for these options."""
    return (dict(options.metadata), options.acl, options.content_type)


@pytest.fixture(autouse=True)
def machines(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the machines their store; each sets its own state directory."""
    monkeypatch.setenv("OBSUP_STATE_DIR", "")
    monkeypatch.setattr(TwoMachines, "sandbox", sandbox, raising=False)


def test_two_machines() -> None:
    """A short search for every test run."""
    run_state_machine_as_test(TwoMachines, settings=machine_settings(SEED, 8, 12))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_machines_at_length() -> None:
    """A long search."""
    run_state_machine_as_test(TwoMachines, settings=machine_settings(SEED, PAIR_SEARCHES, PAIR_STEPS))
