"""Fixtures of all tests. Each test has its own home, no credentials from outside, and only the loopback network."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from obsup.sandbox.sandbox import Sandbox
from tests.support.extension import installed, load_module
from tests.support.in_process import Inside
from tests.support.shell import Shell

# No deadlines: the machine may be busy with something else. The slow lane tries more examples. The examples are the
# same in every run, unless OBSUP_TEST_SEED asks for a search.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=15,
    derandomize="OBSUP_TEST_SEED" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_REMOVED_PREFIXES = (
    "OBSUP_",
    "OBS_",
    "AWS_",
    "OSS_",
    "ALIBABA_CLOUD_",
    "XDG_",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP",
    "ALL_PROXY",
    "NO_PROXY",
)
_REMOVED_NAMES = (
    "AccessKeyID",
    "SecretAccessKey",
    "SecurityToken",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_KEPT_PREFIXES = ("OBSUP_TEST_", "AWS_EC2_METADATA_DISABLED")

# No test asks the network whether this machine is an instance of a cloud.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

# A job that a shell starts in the background ignores SIGINT, and one under nohup SIGHUP, and so would every process
# that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # not under Windows
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers for ``-n auto``: most tests wait for processes and sockets, so more than CPUs.

    Each worker collects all tests, which takes about ten seconds of a CPU.
    """
    return 3 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own home, without the credentials, profiles and proxies of this machine."""
    folder = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name in _REMOVED_NAMES or (
            name.startswith(_REMOVED_PREFIXES) and not name.startswith(_KEPT_PREFIXES)
        ):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):  # Windows reads the last three
        monkeypatch.setenv(name, str(folder))
    return folder


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A store with all dialects and the limits of the real services."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, sandbox: Sandbox) -> Shell:
    """Runs commands in an empty folder with the sandbox in their environment."""
    return Shell.against(sandbox, tmp_path)


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., Path]:
    """Make files of random bytes that are the same in every run."""

    def make(size: int, name: str = "bigfile", seed: int = 1) -> Path:
        path = tmp_path / name
        path.write_bytes(random.Random(seed).randbytes(size))
        return path

    return make


@pytest.fixture
def inside(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Commands in this process, against the sandbox."""
    return Inside(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def module() -> ModuleType | None:
    """The extension module of the digests; None on a machine without a C compiler."""
    return load_module()


@pytest.fixture(params=["extension module", "hashlib and anycrc"])
def way(request: pytest.FixtureRequest, module: ModuleType | None) -> Iterator[None]:
    """Both ways to compute digests; the second one twice without the module."""
    with installed(module if request.param == "extension module" else None):
        yield
