"""Ceph's gateway, or all of the store, killed with SIGKILL in the middle: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.ceph import BUCKET, Ceph
from tests.doubles.certificates import Authority
from tests.doubles.nginx import Nginx
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.ceph, pytest.mark.xdist_group("ceph"), pytest.mark.timeout(600)]

MIB = 1 << 20
PARTS = 12
DATA = random.Random(11).randbytes((PARTS - 1) * 5 * MIB + 3 * MIB)


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """A store with a disk."""
    with Ceph(tmp_path_factory.mktemp("killed")) as running:
        yield running


class Client:
    """The same upload, again and again, of twelve parts in about four seconds."""

    def __init__(self, folder: Path, ceph: Ceph) -> None:
        self.key = folder.name
        self._folder = folder
        self._ceph = ceph
        (folder / "bigfile").write_bytes(DATA)
        self._shell = Shell(folder, {**ceph.environment, "OBSUP_ENDPOINT": ceph.endpoint}, timeout_s=300)
        self._words = ["upload", "bigfile", f"{BUCKET}/{self.key}", "--part-size", "5M", "-j", "3"]
        self._words += ["--log-file", "run.log"]

    def run(self, *words: str | Path, **extra: str) -> Outcome:
        """Run it to its end."""
        return self._shell.run(*self._words, *words, **extra)

    def begin(self, *words: str | Path, **extra: str) -> subprocess.Popen[str]:
        """Start it."""
        return self._shell.begin(*self._words, "--limit-rate", "15M", *words, **extra)

    def log(self) -> str:
        """Return the log of all runs so far."""
        path = self._folder / "run.log"
        return path.read_text() if path.exists() else ""

    def confirmed(self) -> Counter[int]:
        """Return how often it heard of each part that it is stored."""
        return Counter(int(part) for part in re.findall(r"UploadPart part=(\d+) status=200", self.log()))

    def wait_for_parts(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many are confirmed."""
        wait_for(lambda: len(self.confirmed()) >= count, within_s=300, process=process)

    def check_done(self, said: str = "") -> None:
        """Assert that the object is the file, confirmed parts were sent once, one upload made it, and none is left.

        A gateway that dies between object and list leaves an upload behind. obsup must not abort it: it *said* so.
        """
        assert self._ceph.sha256(self.key) == hashlib.sha256(DATA).hexdigest()
        assert self.confirmed() == dict.fromkeys(range(1, PARTS + 1), 1)
        assert self._ceph.open_uploads(self.key) == [] or "do not abort it" in said
        assert self.log().count("InitiateMultipartUpload status=200") == 1
        assert sorted(path.name for path in self._folder.iterdir()) == ["bigfile", "run.log"]


@pytest.fixture
def client(tmp_path: Path, ceph: Ceph) -> Client:
    """obsup in a folder of its own, and a key that no other test has."""
    return Client(tmp_path, ceph)


@pytest.mark.parametrize(
    "killed",
    [("rgw",), ("osd",), ("rgw", "osd", "mon")],
    ids=["the gateway", "the disk's daemon", "the whole store"],
)
def test_it_comes_back_in_time(client: Client, ceph: Ceph, killed: tuple[str, ...]) -> None:
    """The upload finishes by itself."""
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
def test_it_stays_away_for_longer(client: Client, ceph: Ceph, killed: tuple[str, ...]) -> None:
    """75 with the next command; that sends only what was not confirmed."""
    with client.begin("--retry-for", "1s", "--stall-timeout", "3s") as process:
        client.wait_for_parts(4, process)
        ceph.kill(*killed)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    assert "are stored and will not be sent again): obsup upload" in err
    there = client.confirmed()
    assert PARTS > len(there) >= 4
    ceph.revive(*reversed(killed))
    assert len(ceph.open_uploads(client.key)) == 1
    outcome = client.run()
    assert outcome.code == 0, outcome.err
    client.check_done()


def test_the_client_and_the_gateway_die_together(client: Client, ceph: Ceph) -> None:
    """A power cut, say: what both know is what both wrote down."""
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
def test_killed_about_complete(client: Client, ceph: Ceph, after_s: float) -> None:
    """Before it, in it, after it and before its answer: one object, proved."""
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
    """TLS in front, signatures for the name that the client asked for, and the gateway dies as well."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    store = ceph.endpoint.removeprefix("http://")
    tls = authority.files("localhost")
    with Nginx(tmp_path_factory.mktemp("proxy") / "nginx", store, tls=tls) as nginx:
        words = ("--ca-bundle", authority.bundle)
        endpoint = nginx.endpoint.replace("127.0.0.1", "localhost")
        with client.begin(*words, OBSUP_ENDPOINT=endpoint) as process:
            client.wait_for_parts(2, process)
            nginx.kill_workers()
            client.wait_for_parts(4, process)
            nginx.reload()
            client.wait_for_parts(6, process)
            ceph.kill("rgw")
            ceph.revive("rgw")
            _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert {502} <= {one.status for one in nginx.access_log()}
    client.check_done()


def test_a_proxy_takes_no_part_so_large(
    client: Client, ceph: Ceph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """413 from nginx, whose default is 1 MB: 69, and the upload goes on once that is raised."""
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
