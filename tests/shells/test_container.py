"""The recipe of obsup-container(7), without a container engine.

The image is an overlay over the root file system of this machine: what the Containerfile writes is in the overlay only.
The container is a chroot into it, read-only, in its own process and mount namespaces, with the user of the
Containerfile, without capabilities, and with the variables that an engine gives.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.readme import PAGES, block

pytestmark = [pytest.mark.shells, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PAGE = PAGES / "obsup-container.7.md"
UID = 65532


class Image:
    """The file system that the Containerfile of the page describes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.instructions = _instructions()

    def value(self, name: str) -> str:
        """Return the argument of the only instruction with this name."""
        (value,) = [rest for one, rest in self.instructions if one == name]
        return value

    def build(self, context: Path) -> None:
        """Carry out COPY and RUN, as root."""
        mount = f"""
            mount -t tmpfs none {self.folder}
            mkdir {self.folder}/upper {self.folder}/work {self.root}
            mount -t overlay overlay -o lowerdir=/,upperdir={self.folder}/upper,workdir={self.folder}/work {self.root}
            mount -t proc none {self.root}/proc
            mount --bind /dev {self.root}/dev
        """
        subprocess.run(["sh", "-ec", mount], check=True)
        python = Path(sys.executable).resolve()
        # In the overlay only: everybody may use the Python of a base image.
        for folder in python.parents:
            (self.root / str(folder).lstrip("/")).chmod(0o755)
        for name, rest in self.instructions:
            if name == "COPY":
                pattern, target = rest.split()
                (found,) = context.glob(pattern)
                subprocess.run(["cp", found, f"{self.root}{target}"], check=True)
            if name == "RUN":
                path = f"{python.parent}:/usr/sbin:/usr/bin:/bin"
                subprocess.run(["env", f"PATH={path}", "chroot", self.root, "sh", "-ec", rest], check=True)

    def command(self, words: list[str], volumes: dict[Path, str], variables: dict[str, str]) -> list[str]:
        """Return the command that runs the entry point with *words* in a container, as process 1."""
        uid, gid = self.value("USER").split(":")
        name, value = self.value("ENV").split("=")
        settings = {"PATH": "/usr/bin:/bin", name: value, **variables}
        mounts = "\n".join(
            f"mount --bind {source} {self.root}{target.partition(':')[0]}"
            + (
                f"\nmount -o remount,bind,ro {self.root}{target.removesuffix(':ro')}"
                if ":ro" in target
                else ""
            )
            for source, target in volumes.items()
        )
        entry = json.loads(self.value("ENTRYPOINT"))
        user = [
            "setpriv",
            "--reuid",
            uid,
            "--regid",
            gid,
            "--clear-groups",
            "--bounding-set=-all",
            "--no-new-privs",
        ]
        inner = ["env", "-i", *(f"{key}={text}" for key, text in settings.items()), *entry, *words]
        script = f"{mounts}\nmount -o remount,ro {self.root}\nexec chroot {self.root} {shlex.join([*user, *inner])}"
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script]


def _instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile: name and argument, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", block(PAGE, "containerfile"))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text.splitlines()]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Build the wheel as the page says, and the image from it."""
    context = tmp_path_factory.mktemp("context")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(context / "dist"), str(ROOT)], check=True, cwd=context)
    folder = tmp_path_factory.mktemp("image")
    built = Image(folder)
    try:
        built.build(context)
        for target in ("/data", "/state"):
            (built.root / target[1:]).mkdir()
        yield built
    finally:
        subprocess.run(["umount", "--recursive", str(folder)], check=True)


@pytest.fixture(params=[True], ids=["state"])
def run(request: pytest.FixtureRequest, image: Image, tmp_path: Path, sandbox: Sandbox) -> list[str]:
    """The command of the page in a container whose store is the sandbox, with a file and a volume for the state."""
    words = shlex.split(block(PAGE, "container run").replace("\\\n", ""))
    given = [words[number + 1] for number, word in enumerate(words) if word == "-v"]
    assert given == ["/srv/dumps:/data:ro", "obsup-state:/state"]
    assert "--read-only" in words
    arguments = words[words.index("obsup") + 1 :]
    arguments[arguments.index("--endpoint") + 1] = sandbox.endpoint
    data, state = tmp_path / "data", tmp_path / "state"
    data.mkdir()
    (data / "db.dump").write_bytes(os.urandom(20_000_000))
    state.mkdir()
    if request.param:
        os.chown(state, UID, UID)
    keys = {"AccessKeyID": sandbox.access_key, "SecretAccessKey": sandbox.secret_key}
    return image.command(arguments, {data: "/data:ro", state: "/state"}, keys)


@pytest.mark.parametrize("run", [True], ids=["state"], indirect=True)
def test_the_command_of_the_page(run: list[str], tmp_path: Path, sandbox: Sandbox) -> None:
    """Silent, exit 0, the object is there, and no checkpoint is left."""
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    stored = sandbox.object_path("backups", "nightly/db.dump").read_bytes()
    assert stored == (tmp_path / "data" / "db.dump").read_bytes()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["db.dump"]
    assert not list((tmp_path / "state").rglob("*.obsup.json"))


def test_the_end_of_a_container_and_the_next_one(run: list[str], tmp_path: Path, sandbox: Sandbox) -> None:
    """Process 1 handles SIGTERM and exits 143; the next container sends what is missing."""
    limited = [*run[:-1], f"{run[-1]} --limit-rate 6M --part-size 1M -j 2"]
    slow = subprocess.Popen(limited, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{slow.pid}/task/{slow.pid}/children")
    while not list((tmp_path / "state").rglob("*.obsup.json")) or not _parts(sandbox):
        assert slow.poll() is None, slow.communicate()[1]
        time.sleep(0.05)
    os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
    _, err = slow.communicate(timeout=60)
    assert slow.returncode == 143, err
    assert "Run the same command again" in err
    before = _parts(sandbox)
    done = subprocess.run([*run[:-1], run[-1] + " --json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0 < result["sentParts"] < result["parts"] == 20
    assert _parts(sandbox) == before + result["sentParts"]


def _parts(sandbox: Sandbox) -> int:
    """Return the number of parts that the store has received."""
    return sum(record.operation == "part" and record.status == 200 for record in sandbox.requests)
