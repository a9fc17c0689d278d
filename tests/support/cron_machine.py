"""The machine of obsup-cron(7): its script, its dumps, its profile, and a cron that is called by hand."""

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


class Nights:
    """The script of the page, on a machine of its own, with a cron that is called by hand."""

    def __init__(self, folder: Path, home: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.dumps = folder / "dumps"
        self.dumps.mkdir()
        self.helper = folder / "vault-helper"
        self.sandbox = sandbox
        self.script = folder / "obsup-nightly"
        self.script.write_text(block(CRON_PAGE, "cron script").replace("/srv/dumps", str(self.dumps)))
        place = home / ".config" / "obsup" / "config.toml"
        place.parent.mkdir(parents=True)
        place.write_text(
            f'[profiles.nightly]\nendpoint = "{sandbox.endpoint}"\npart_size = {PART_SIZE}\njobs = 1\n'
            f'credential_process = "{self.helper}"\nlog_file = "{folder}/obsup.log"\n'
        )
        self.let_helper(":")
        self.environment: dict[str, str] = {}

    def let_helper(self, first: str) -> None:
        """Have the helper do this *first*, and then print keys with a token that is new each time."""
        keys = (
            f'{{"Version": 1, "AccessKeyId": "{self.sandbox.access_key}", '
            f'"SecretAccessKey": "{self.sandbox.secret_key}", "SessionToken": "token-$$"}}'
        )
        self.helper.write_text(f"#!/bin/sh\n{first}\ncat <<X\n{keys}\nX\n")
        self.helper.chmod(0o755)

    def dump(self, seed: int) -> None:
        """Write the dumps of one evening, each of its own size."""
        for at, name in enumerate(DUMPS):
            (self.dumps / name).write_bytes(random.Random(f"{seed} {at}").randbytes(SIZE + 1000 * seed))

    def begin(self, before: str = "", **environment: str) -> subprocess.Popen[str]:
        """Begin one run of the hour, as cron does it: with a shell and hardly any environment."""
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

    def hour(self, before: str = "", **environment: str) -> Outcome:
        """Do one run of the hour to its end."""
        with self.begin(before, **environment) as process:
            out, err = process.communicate(timeout=60)
        return Outcome(process.returncode, out, err)

    def is_up_to_date(self) -> bool:
        """Whether every object is its dump, and no upload stays open."""
        same = all(
            self.sandbox.object_path("backups", f"nightly/{name}").read_bytes()
            == (self.dumps / name).read_bytes()
            for name in DUMPS
        )
        return same and not self.sandbox.uploads()

    def parts_sent(self) -> Counter[tuple[str, int | None]]:
        """How often each part was stored since the last call of ``forget``."""
        return Counter(
            (record.key, record.part_number)
            for record in self.sandbox.requests[self._seen :]
            if record.operation == "part" and record.status == 200
        )

    _seen = 0

    def forget(self) -> None:
        """Begin to count anew."""
        self._seen = len(self.sandbox.requests)


SILENCE = (0, "", "")


def told(outcome: Outcome) -> tuple[int, str, str]:
    """All of an outcome."""
    return outcome.code, outcome.out, outcome.err


def kill_tree(pid: int) -> None:
    """kill -9 a process and all that it began, as a power cut does."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        kill_tree(int(child))
    os.kill(pid, 9)
