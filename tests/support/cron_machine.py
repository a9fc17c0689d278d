"""The machine of obsup-cron(7): its script, dumps and profile. A test starts each run, not cron."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from obsup.sandbox.sandbox import Sandbox
from tests.support.readme import CRON_PAGE, block
from tests.support.shell import Outcome

SIZE, PART_SIZE = 500_000, 102_400
DUMPS = ("files.dump", "shop.dump")


class CronMachine:
    """The script of the manual page with its own folder and profile."""

    def __init__(self, folder: Path, home: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.dumps = folder / "dumps"
        self.dumps.mkdir()
        self.helper = folder / "vault-helper"
        self.sandbox = sandbox
        self.script = folder / "obsup-nightly"
        self.script.write_text(block(CRON_PAGE, "cron script").replace("/srv/dumps", str(self.dumps)))
        config = home / ".config" / "obsup" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[profiles.nightly]\nendpoint = "{sandbox.endpoint}"\npart_size = {PART_SIZE}\njobs = 1\n'
            f'credential_process = "{self.helper}"\nlog_file = "{folder}/obsup.log"\n'
        )
        self.write_helper(":")
        self.environment: dict[str, str] = {}
        self._first_request = 0

    def write_helper(self, command: str) -> None:
        """Make the credential helper run *command*, then print keys with a new token each time."""
        keys = (
            f'{{"Version": 1, "AccessKeyId": "{self.sandbox.access_key}", '
            f'"SecretAccessKey": "{self.sandbox.secret_key}", "SessionToken": "token-$$"}}'
        )
        self.helper.write_text(f"#!/bin/sh\n{command}\ncat <<X\n{keys}\nX\n")
        self.helper.chmod(0o755)

    def write_dumps(self, seed: int) -> None:
        """Write the dumps of one evening; content and size depend on *seed*."""
        for index, name in enumerate(DUMPS):
            (self.dumps / name).write_bytes(random.Random(f"{seed} {index}").randbytes(SIZE + 1000 * seed))

    def start(self, before: str = "", **environment: str) -> subprocess.Popen[str]:
        """Start the script as cron does, with a shell and a minimal environment; run *before* in the shell first."""
        return subprocess.Popen(
            ["/bin/sh", "-c", f"{before} exec /bin/sh {self.script}"],
            cwd="/",
            env={
                "HOME": os.environ["HOME"],
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                **self.environment,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, before: str = "", **environment: str) -> Outcome:
        """Run the script to its end, as ``start`` does."""
        with self.start(before, **environment) as process:
            out, err = process.communicate(timeout=60)
        return Outcome(process.returncode, out, err)

    def is_up_to_date(self) -> bool:
        """Return whether every object has the content of its dump and no upload is open."""
        is_same = all(
            self.sandbox.object_path("backups", f"nightly/{name}").read_bytes()
            == (self.dumps / name).read_bytes()
            for name in DUMPS
        )
        return is_same and not self.sandbox.uploads()

    def parts_sent(self) -> Counter[tuple[str, int | None]]:
        """Return how often each part was stored since the last call of ``reset_count``."""
        return Counter(
            (record.key, record.part_number)
            for record in self.sandbox.requests[self._first_request :]
            if record.operation == "part" and record.status == 200
        )

    def reset_count(self) -> None:
        """Start counting parts from here."""
        self._first_request = len(self.sandbox.requests)


def is_silent_success(outcome: Outcome) -> bool:
    """Return whether the run exited with 0 and printed nothing, so that cron sends no mail."""
    return (outcome.code, outcome.out, outcome.err) == (0, "", "")


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants with SIGKILL, as a power failure does."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        kill_tree(int(child))
    os.kill(pid, 9)
