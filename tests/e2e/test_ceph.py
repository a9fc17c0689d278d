"""Ceph's gateway, or the whole store, is killed with SIGKILL during an upload: no part is lost or sent twice."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.doubles.ceph import BUCKET, Ceph
from tests.doubles.certificates import Authority
from tests.doubles.nginx import Nginx
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.ceph, pytest.mark.xdist_group("ceph-kills"), pytest.mark.timeout(600)]

MIB = 1 << 20
PARTS = 12


@cache
def content() -> bytes:
    """The content of the file, made by the first test that needs it: every worker of every lane imports this module."""
    return random.Random(11).randbytes((PARTS - 1) * 5 * MIB + 3 * MIB)


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """A Ceph store that keeps its data on disk."""
    with Ceph(tmp_path_factory.mktemp("killed")) as running:
        yield running


class Client:
    """Runs the same upload any number of times: twelve parts in about four seconds."""

    def __init__(self, folder: Path, ceph: Ceph) -> None:
        self.key = folder.name
        self._folder = folder
        self._ceph = ceph
        (folder / "bigfile").write_bytes(content())
        self._shell = Shell(folder, {**ceph.environment, "OBSUP_ENDPOINT": ceph.endpoint}, timeout_s=300)
        self._command = ["upload", "bigfile", f"{BUCKET}/{self.key}", "--part-size", "5M", "-j", "3"]
        self._command += ["--log-file", "run.log"]

    def run(self, *arguments: str | Path, **extra: str) -> Outcome:
        """Run the upload and wait for its end."""
        return self._shell.run(*self._command, *arguments, **extra)

    def begin(self, *arguments: str | Path, **extra: str) -> subprocess.Popen[str]:
        """Start the upload in the background."""
        return self._shell.begin(*self._command, "--limit-rate", "15M", *arguments, **extra)

    def log(self) -> str:
        """Return the log of all runs so far."""
        path = self._folder / "run.log"
        return path.read_text() if path.exists() else ""

    def confirmed(self) -> Counter[int]:
        """Return the number of successful responses per part."""
        return Counter(int(part) for part in re.findall(r"UploadPart part=(\d+) status=200", self.log()))

    def wait_for_parts(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until *count* parts are confirmed."""
        wait_for(lambda: len(self.confirmed()) >= count, within_s=300, process=process)

    def check_done(self, messages: str = "") -> None:
        """Assert that one upload made the object, that each part was sent once, and that no upload or file is left.

        A gateway that is killed between writing the object and the list leaves an upload. obsup must not abort it,
        and *messages* must say so.
        """
        assert self._ceph.sha256(self.key) == hashlib.sha256(content()).hexdigest()
        assert self.confirmed() == dict.fromkeys(range(1, PARTS + 1), 1)
        assert self._ceph.open_uploads(self.key) == [] or "do not abort it" in messages
        assert self.log().count("InitiateMultipartUpload status=200") == 1
        assert sorted(path.name for path in self._folder.iterdir()) == ["bigfile", "run.log"]


@pytest.fixture
def client(tmp_path: Path, ceph: Ceph) -> Client:
    """obsup in its own folder, with a key that no other test uses."""
    return Client(tmp_path, ceph)


@pytest.mark.parametrize(
    "killed",
    [("rgw",), ("osd",), ("rgw", "osd", "mon")],
    ids=["the gateway", "the disk's daemon", "the whole store"],
)
def test_a_store_that_restarts_in_time(client: Client, ceph: Ceph, killed: tuple[str, ...]) -> None:
    """The same run completes the upload."""
    with client.begin("--stall-timeout", "3s") as process:
        client.wait_for_parts(4, process)
        ceph.kill(*killed)
        time.sleep(0.5)
        ceph.revive(*reversed(killed))
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "retry: part" in client.log()
    client.check_done()


@pytest.mark.parametrize("killed", [("rgw",), ("rgw", "osd", "mon")], ids=["the gateway", "the whole store"])
def test_a_store_that_stays_down(client: Client, ceph: Ceph, killed: tuple[str, ...]) -> None:
    """Exit 75 with the next command, which sends only unconfirmed parts."""
    with client.begin("--retry-for", "1s", "--stall-timeout", "3s") as process:
        client.wait_for_parts(4, process)
        ceph.kill(*killed)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    assert "are stored and will not be sent again): obsup upload" in err
    confirmed = client.confirmed()
    assert PARTS > len(confirmed) >= 4
    ceph.revive(*reversed(killed))
    assert len(ceph.open_uploads(client.key)) == 1
    outcome = client.run()
    assert outcome.code == 0, outcome.err
    client.check_done()


def test_client_and_store_are_killed_together(client: Client, ceph: Ceph) -> None:
    """For example by a power cut: only data on disk remains."""
    with client.begin() as process:
        client.wait_for_parts(5, process)
        ceph.kill("rgw", "osd", "mon")
        process.kill()
        process.communicate()
    ceph.revive("mon", "osd", "rgw")
    outcome = client.run()
    assert outcome.code == 0, outcome.err
    client.check_done()


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.02, 0.05, 0.1])
def test_gateway_killed_around_complete(client: Client, ceph: Ceph, after_s: float) -> None:
    """Before, during and after Complete, and before its response: there is one verified object."""
    with client.begin("--retry-for", "60s") as process:
        client.wait_for_parts(PARTS, process)
        time.sleep(after_s)
        ceph.kill("rgw")
        ceph.revive("rgw")
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    client.check_done(err)


def test_behind_a_proxy_that_is_killed_and_reloaded(
    client: Client, ceph: Ceph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The proxy terminates TLS, signatures are for its name, and the gateway is killed as well."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    store = ceph.endpoint.removeprefix("http://")
    tls = authority.files("localhost")
    with Nginx(tmp_path_factory.mktemp("proxy") / "nginx", store, tls=tls) as nginx:
        endpoint = nginx.endpoint.replace("127.0.0.1", "localhost")
        with client.begin("--ca-bundle", authority.bundle, OBSUP_ENDPOINT=endpoint) as process:
            client.wait_for_parts(2, process)
            nginx.kill_workers()
            client.wait_for_parts(4, process)
            nginx.reload()
            client.wait_for_parts(6, process)
            ceph.kill("rgw")
            ceph.revive("rgw")
            _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert {502} <= {entry.status for entry in nginx.access_log()}
    client.check_done()


def test_a_proxy_rejects_large_parts(
    client: Client, ceph: Ceph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """nginx returns 413 (its default limit is 1 MB): exit 69, and the upload resumes once the limit is raised."""
    folder = tmp_path_factory.mktemp("proxy") / "nginx"
    store = ceph.endpoint.removeprefix("http://")
    with Nginx(folder, store, settings={"client_max_body_size": "1m"}) as nginx:
        outcome = client.run(OBSUP_ENDPOINT=nginx.endpoint)
        assert outcome.code == 69, outcome.err
        assert "client_max_body_size" in outcome.err
        assert len(ceph.open_uploads(client.key)) == 1
        nginx.reload(settings={})
        outcome = client.run(OBSUP_ENDPOINT=nginx.endpoint)
        assert outcome.code == 0, outcome.err
    client.check_done()
