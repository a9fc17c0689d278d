"""Programs and libraries of others that tests/servers/install-clients.sh installed, run against a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from obsup.sandbox.sandbox import Sandbox

FOLDER = Path(__file__).parents[2] / ".venv-clients"
SCRIPTS = Path(__file__).parent / "scripts"
MIB = 1024 * 1024


def make_files(folder: Path) -> dict[str, bytes]:
    """Create some files, one of which is large enough to be sent in parts; return their contents by relative path."""
    block = bytes(range(256)) * 4096
    files = {
        "big": b"".join(bytes([n]) + block for n in range(17)),
        "small": b"hello",
        "sub/ü b+c": b"nested",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below *folder*."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(sandbox: Sandbox, bucket: str = "bucket") -> dict[str, bytes]:
    """Return the objects of a bucket by key, as they are on the sandbox's disk."""
    return read_files(sandbox.directory / bucket)


def environment(sandbox: Sandbox, home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a client: keys and endpoint of *sandbox*, and nothing of this machine's user."""
    return {
        "PATH": f"{FOLDER / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "NODE_PATH": str(FOLDER / "node_modules"),
        "AWS_ACCESS_KEY_ID": sandbox.access_key,
        "AWS_SECRET_ACCESS_KEY": sandbox.secret_key,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ENDPOINT": sandbox.endpoint,
        "PORT": str(sandbox.port),
        **more,
    }


def run(command: Sequence[str | Path], variables: dict[str, str], folder: Path) -> bytes:
    """Run a client in *folder* until it ends with exit code 0; return what it prints."""
    result = subprocess.run(command, env=variables, cwd=folder, capture_output=True, timeout=200)
    assert result.returncode == 0, (command, result.stdout.decode()[-2000:], result.stderr.decode()[-2000:])
    return result.stdout


def refusals(sandbox: Sandbox) -> set[tuple[str, str]]:
    """Return operation and code of the requests that the sandbox refused."""
    return {(record.operation, record.code) for record in sandbox.requests if record.code}
