"""The servers of the contract tests: each is started once on a free port of 127.0.0.1 and stopped by process id."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from tests.contract.subjects import LONGEST_KEY, NON_XML_KEYS, Server, Subject, make_bucket, open_subject

ROOT = Path(__file__).parents[2]
SERVERS = ROOT / "tests" / "servers"
CEPH, MOTO = SERVERS / "ceph.sh", SERVERS / "moto_server.py"
SWIFT = SERVERS / "swift_server.py"
BUCKET = "contract"
CUSTOM = "files.localhost"
# OSS accepts keys of up to 1,023 bytes that do not start with a slash.
OSS_KEYS = {"/leading": ("initiate", 400), LONGEST_KEY: ("initiate", 400)}


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The store under test."""
    fixture, dialect, addressing = request.param
    server = request.getfixturevalue(fixture)
    if fixture == "sandbox_server":
        server = server(dialect, addressing)
    with open_subject(server, dialect, addressing) as opened:
        yield opened


@pytest.fixture
def key() -> str:
    """A key that no other test uses, because real servers keep their objects."""
    return f"contract/{uuid.uuid4().hex}"


@pytest.fixture
def memory() -> Server:
    """An in-memory store."""
    return Server("memory", bucket=BUCKET, min_part=1024)


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    """A sandbox for each of the two vendors with AWS signatures; both also accept all other dialects."""
    with ExitStack() as stack:
        yield {
            vendor: stack.enter_context(
                Sandbox(
                    buckets=[BUCKET],
                    limits={"min_part": 1024},
                    aws_vendor=vendor,
                    custom_domains={CUSTOM: BUCKET},
                )
            )
            for vendor in ("s3", "obs")
        }


@pytest.fixture(scope="session")
def sandbox_server(sandboxes: dict[str, Sandbox]) -> Any:
    """Return a function that makes the sandbox server for a dialect and an addressing style."""

    def server(dialect: str, addressing: str) -> Server:
        sandbox = sandboxes["obs" if dialect.startswith("obs") else "s3"]
        host = {"path": "127.0.0.1", "virtual": "localhost", "cname": CUSTOM}[addressing]
        keys = OSS_KEYS if dialect.startswith("oss") else {}
        return Server(
            "sandbox",
            f"http://{host}:{sandbox.port}",
            Credentials(sandbox.access_key, sandbox.secret_key),
            bucket=BUCKET,
            min_part=1024,
            keys=keys,
        )

    return server


@contextmanager
def running(command: list[str], log: Path, ready: str) -> Iterator[str]:
    """Run a server; yield the endpoint that it writes to its *log* when it is ready, which *ready* matches."""
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT) as process,
    ):
        try:
            while (match := re.search(ready, log.read_text())) is None:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield match[1]
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``rclone serve s3`` with a directory: keys must be valid file names."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data" / BUCKET).mkdir(parents=True)
    keys = Credentials("rclone", secrets.token_hex(16))
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", str(folder / "data")]
    command += ["--addr", "127.0.0.1:0", "--auth-key", f"{keys.access_key},{keys.secret_key}"]
    command += ["--config", str(folder / "none.conf"), "--cache-dir", str(folder / "cache")]
    with running(command, folder / "log", r"server on \[?(http://127\.0\.0\.1:\d+)") as endpoint:
        yield Server(
            "rclone",
            endpoint,
            keys,
            bucket=BUCKET,
            min_part=1,
            keys=dict.fromkeys(("dir//x", "a/../b/./c", "/leading"), ("initiate", 400))
            | {LONGEST_KEY: ("complete", 500)},
            keeps_refused_uploads=False,
            replaces_parts=False,
            composes_etags=False,
            copies=False,
            unlisted=("folder/", *NON_XML_KEYS),
        )


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """moto's server: it checks neither signatures nor digests."""
    command = [sys.executable, str(MOTO), "-H", "127.0.0.1", "-p", "0"]
    log = tmp_path_factory.mktemp("moto") / "log"
    with running(command, log, r"Running on (http://127\.0\.0\.1:\d+)") as endpoint:
        server = Server(
            "moto",
            endpoint,
            bucket=BUCKET,
            keys={"line\nbreak": ("initiate", 404)},
            unknown={"part": "InternalServerError", "complete": "InternalServerError"},
            checks_signatures=False,
            checks_digests=False,
            checks_key_of_upload=False,
            lists_sparse_parts=False,
            encrypts=("AES256",),
            locks=True,
            unlisted=NON_XML_KEYS,
            missing_source="NotFound",
        )
        make_bucket(server, "s3-v4")
        yield server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ceph's RADOS Gateway, from Debian's packages."""
    folder = tmp_path_factory.mktemp("ceph")
    try:
        started = subprocess.run([CEPH, "start", folder], check=True, stdout=subprocess.PIPE, text=True)
        settings = dict(line.split("=", 1) for line in started.stdout.splitlines())
        server = Server(
            "ceph",
            settings["ENDPOINT"].replace("127.0.0.1", "localhost"),
            Credentials(settings["ACCESS_KEY"], settings["SECRET_KEY"]),
            bucket=BUCKET,
            keys={"%41 100%": ("copy", 404)},  # the source of a copy is decoded twice
            unknown={"complete": "InternalError"},
            checks_part_numbers=False,
            encrypts=("SSE-C",),
            locks=True,
            returns_xml_for_long_keys=False,
        )
        make_bucket(server, "s3-v4")
        yield server
    finally:
        subprocess.run([CEPH, "stop", folder], check=True)


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """OpenStack Swift with its S3 interface, from Debian's packages."""
    folder = tmp_path_factory.mktemp("swift")
    keys = Credentials("test:tester", secrets.token_hex(16))
    command = ["/usr/bin/python3", str(SWIFT), str(folder), keys.access_key, keys.secret_key]
    with running(command, folder / "log", r"ready at (http://127\.0\.0\.1:\d+)") as endpoint:
        server = Server(
            "swift",
            endpoint,
            keys,
            bucket=BUCKET,
            # The name of a segment is longer than the key, and is sent as XML.
            keys=dict.fromkeys((LONGEST_KEY, *NON_XML_KEYS), ("initiate", 500)),
            other_ids={"é": "PreconditionFailed"},
            max_parts=1000,
        )
        make_bucket(server, "s3-v4")
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """SeaweedFS with master, volume server, filer and S3 gateway in one process."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    keys = Credentials("weed", secrets.token_hex(16))
    command = [sys.executable, "-m", "tests.servers.seaweedfs_server"]
    command += [str(folder), keys.access_key, keys.secret_key]
    with running(command, folder / "log", r"ready at (http://127\.0\.0\.1:\d+)") as endpoint:
        server = Server(
            "seaweedfs",
            endpoint,
            keys,
            bucket=BUCKET,
            keys={
                "a/../b/./c": ("initiate", 400),
                "back\\slash": ("copy", 404),  # is stored as back/slash
                LONGEST_KEY: ("complete", 500),
            },
            unlisted=("dir//x", "/leading", "back\\slash", *NON_XML_KEYS),
            dropped=("folder/",),
            other_ids={
                "../../etc/passwd": "InvalidRequest",
                **dict.fromkeys(("a b+c%2F&x=1", "é"), "SignatureDoesNotMatch"),
            },
            merges_slashes=True,
            encrypts=("SSE-C",),
            has_crc64nvme=True,
            locks=True,
            keeps_replaced_parts=True,
            copies_have_md5=False,
            empty_list=404,
        )
        make_bucket(server, "s3-v4")
        yield server


@pytest.fixture(scope="session")
def account() -> Server:
    """A real account, configured by OBSUP_TEST_ENDPOINT, _BUCKET, _ACCESS_KEY_ID, _SECRET_ACCESS_KEY and _REGION."""
    variables = {name.removeprefix("OBSUP_TEST_"): value for name, value in os.environ.items()}
    return Server(
        "account",
        variables["ENDPOINT"],
        Credentials(
            variables["ACCESS_KEY_ID"], variables["SECRET_ACCESS_KEY"], variables.get("SECURITY_TOKEN")
        ),
        bucket=variables["BUCKET"],
        region=variables.get("REGION", ""),
        keys=OSS_KEYS if variables.get("PROVIDER") == "oss" else {},
        encrypts=("AES256", "SSE-C"),
    )
