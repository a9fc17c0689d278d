"""What a run leaves behind holds no secret: its words, its files, its command lines, its objects, what it pickles.

Each secret is looked for as it is, and as it might be encoded: hex, base64 at any offset, URL, JSON.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import pickle
import re
import secrets
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from msgspec.structs import replace

from obsup.engine.job.connection import connect
from obsup.engine.job.target_settings import resolve_target
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_workers import RemoteWorkers
from obsup.errors import ObsupError
from obsup.local.config.credentials import CredentialSource, FoundCredentials
from obsup.local.source.file import stat_source
from obsup.model import Credentials, CustomerKey, Part, Upload
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error
from tests.support.shell import Outcome, Shell
from tests.support.upload_rig import IMPATIENT, PART
from tests.support.waiting import wait_for

SECRET = "sk+/=%&'\"" + secrets.token_hex(16)
TOKEN = "tok/+=%&" + secrets.token_hex(24)
MakeFile = Callable[..., Path]
PROXY_PASSWORD = "pw" + secrets.token_hex(16)
CUSTOMER_KEY = b"\x00\xff" + secrets.token_bytes(30)
ALL = (SECRET.encode(), TOKEN.encode(), PROXY_PASSWORD.encode(), CUSTOMER_KEY)
# A signature is as good as a password for what it signs.
SIGNATURE = re.compile(rb"""(?i)signature['"]?\s*[=:,]\s*['"]?[a-z0-9+/%=]{20,}|authorization:""")
SIZE = 2 * PART + 50_000


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield *secret* in every form in which it may have been written."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode())
    text = secret.decode("latin-1")
    yield from (json.dumps(text)[1:-1].encode(), quote(secret).encode(), quote_plus(secret, safe="").encode())
    yield from (quote(secret).lower().encode(), repr(secret)[2:-1].encode(), repr(text)[1:-1].encode())
    for offset in range(3):
        # Whatever stands before and after it shares the first and the last characters.
        encoded = base64.b64encode(bytes(offset) + secret)[4 if offset else 0 :].rstrip(b"=")[:-2]
        yield from (encoded, encoded.translate(bytes.maketrans(b"+/", b"-_")))


NEEDLES = {form for secret in ALL for form in forms(secret)}


def check(data: bytes, what: str) -> None:
    """Assert that no secret and no signature stands in *data*."""
    for needle in NEEDLES:
        assert needle not in data, f"a secret in {what}"
    found = SIGNATURE.search(data)
    assert found is None, f"a signature in {what}: {found[0]!r}"


def test_the_search_finds_planted_secrets() -> None:
    """In the forms in which secrets are sent."""
    for data in (
        f"https://x/?token={quote(TOKEN, safe='')}".encode(),
        base64.b64encode(b"key:" + CUSTOMER_KEY),
        json.dumps({"secret": SECRET}).encode(),
        CUSTOMER_KEY.hex().encode(),
        repr({"x": TOKEN}).encode(),
        b"...&Signature=AbCdEfGhIjKlMnOpQrStUvWxYz0%3D&...",
        b"'X-Amz-Signature', '0123456789abcdef0123456789abcdef'",
    ):
        with pytest.raises(AssertionError):
            check(data, "this")


@dataclass
class Estate:
    """A home, a folder to work in, and a vault that is no part of what is searched."""

    folder: Path
    sandbox: Sandbox
    said: list[bytes] = field(default_factory=list)
    spared: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in ("home", "work", "vault"):
            (self.folder / name).mkdir()
        (self.work / "bigfile").write_bytes(bytes(SIZE))

    @property
    def work(self) -> Path:
        """Where commands run."""
        return self.folder / "work"

    @property
    def keys(self) -> dict[str, str]:
        """The keys, as the environment has them."""
        return {
            "AccessKeyID": self.sandbox.access_key,
            "SecretAccessKey": self.sandbox.secret_key,
            "SecurityToken": TOKEN,
        }

    def begin(
        self, *words: str, keys: dict[str, str] | None = None, program: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start ``obsup WORDS``, or *program* with these words."""
        environment = {**os.environ, "HOME": str(self.folder / "home"), "PYTHONFAULTHANDLER": "1"}
        environment |= {"OBSUP_ENDPOINT": self.sandbox.endpoint, **(self.keys if keys is None else keys)}
        start = ["-c", program] if program else ["-m", "obsup"]
        return subprocess.Popen(
            [sys.executable, *start, *words],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, **how: Any) -> Outcome:
        """Run to the end, with an eye on the command lines of it and of its children."""
        with self.begin(*words, **how) as process, self.watching(process.pid):
            out, err = process.communicate(timeout=60)
        self.said += [out, err]
        return Outcome(process.returncode, out.decode(), err.decode())

    def watching(self, pid: int) -> _Watch:
        """Collect the command lines of a process and of its children while inside."""
        return _Watch(pid, self.said)

    def check(self) -> None:
        """Assert that nothing that was said or written holds a secret."""
        assert self.said
        for data in self.said:
            check(data, f"{data.decode(errors='replace')[:2000]}")
        for path in (*self.work.rglob("*"), *(self.folder / "home").rglob("*")):
            check(os.fsencode(path), f"the name {path}")
            if path.is_file() and path not in self.spared:
                check(path.read_bytes(), f"the file {path}")


class _Watch:
    def __init__(self, pid: int, said: list[bytes]) -> None:
        self._pid = pid
        self._said = said
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        seen: set[bytes] = set()
        while not self._ended.wait(0.03):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    if self._pid in (int(path.name), parent):
                        seen.add((path / "cmdline").read_bytes())
                except OSError:
                    continue
        self._said += seen


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    """A store whose keys are temporary, and a machine to run on."""
    with Sandbox(secret_key=SECRET, require_token=TOKEN) as store:
        yield Estate(tmp_path, store)


UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-v", "-v", "--log-file", "log")
KEPT = ("--json", "--receipt", "receipt", "--progress", "json")


def plain(estate: Estate) -> None:
    """Every request is told of."""
    assert estate.run(*UPLOAD, *KEPT).code == 0


def customer_key(estate: Estate) -> None:
    """SSE-C: the key is in a file, and goes out in a header of every request."""
    (estate.folder / "vault" / "key").write_bytes(CUSTOMER_KEY)
    where = ("--sse-c-key-file", str(estate.folder / "vault" / "key"))
    assert estate.run(*UPLOAD, *KEPT, *where).code == 0
    assert estate.run("verify", "bigfile", "bucket/key", *where, "-v").code == 1


def presigned(estate: Estate) -> None:
    """The URLs travel to processes that hold no keys; one is refused, so that it is told of."""
    estate.sandbox.add_fault("error=500:InternalError,op=part,part=2")
    estate.sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=1")
    assert estate.run(*UPLOAD, *KEPT, "--executor", "processes", "--presign", "-j", "2").code == 0


def presigned_refused(estate: Estate) -> None:
    """For good: what a worker raises comes through the driver."""
    estate.sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert estate.run(*UPLOAD, "--json", "--executor", "processes", "--presign").code == 77


def processes(estate: Estate) -> None:
    """Each worker finds its own keys, and none on its command line."""
    assert estate.run(*UPLOAD, *KEPT, "--executor", "processes", "-j", "2").code == 0


def configured(estate: Estate, lines: str) -> Path:
    """Write a configuration file with one profile."""
    folder = estate.folder / "home" / ".config" / "obsup"
    folder.mkdir(parents=True)
    path = folder / "config.toml"
    path.write_text(f"[profiles.nightly]\n{lines}\n")
    path.chmod(0o600)
    return path


def credential_process(estate: Estate) -> None:
    """It prints the keys; one that fails prints them too, and on stderr as well."""
    answer = {"Version": 1, "AccessKeyId": estate.sandbox.access_key}
    answer |= {"SecretAccessKey": SECRET, "SessionToken": TOKEN}
    helper = estate.folder / "vault" / "helper"
    helper.write_text(f"import sys\nprint({json.dumps(answer)!r})\nprint({SECRET!r}, file=sys.stderr)\n")
    configured(estate, f'credential_process = "{sys.executable} {helper}"')
    assert estate.run(*UPLOAD, *KEPT, "--profile", "nightly", keys={}).code == 0
    helper.write_text(helper.read_text() + "sys.exit(1)\n")
    assert estate.run(*UPLOAD, "--profile", "nightly", keys={}).code == 77


def profile(estate: Estate) -> None:
    """A profile that holds the keys themselves, shown and used; and one that cannot be read."""
    keys = {"access_key_id": estate.sandbox.access_key, "secret_access_key": SECRET, "security_token": TOKEN}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in keys.items())
    path = configured(estate, lines)
    estate.spared.add(path)
    assert estate.run(*UPLOAD, *KEPT, "--profile", "nightly", keys={}).code == 0
    assert estate.run("config", "show", "--profile", "nightly", keys={}).code == 0
    path.write_text(path.read_text() + f'endpoint = "{SECRET}\n')
    assert estate.run(*UPLOAD, "--profile", "nightly", keys={}).code == 78
    path.write_text(f"[profiles.nightly]\nsecret_acces_key = {json.dumps(SECRET)}\n")
    assert estate.run(*UPLOAD, "--profile", "nightly", keys={}).code == 78


def refused(estate: Estate) -> None:
    """Three lines, the log and --json tell of it; the checkpoint stays."""
    estate.sandbox.add_fault("error=403:SignatureDoesNotMatch,op=part,part=2,times=always")
    outcome = estate.run(*UPLOAD, *KEPT)
    assert (outcome.code, outcome.json["reason"]) == (77, "credentials")


def unusable(estate: Estate) -> None:
    """A key with a line break in it, which the HTTP library would print."""
    for broken in ({"SecretAccessKey": f"{SECRET}\n{SECRET}"}, {"SecurityToken": f"{TOKEN}\n{TOKEN}"}):
        assert estate.run(*UPLOAD, keys=estate.keys | broken).code == 77


def a_bug(estate: Estate) -> None:
    """The traceback of an error that nobody foresaw, in the midst of signing and sending."""
    program = (
        "from obsup.store{package} import {module}\n"
        "def broken(*args, **more): raise ValueError('nobody foresaw this')\n"
        "{module}.{name} = broken\n"
        "from obsup.cli.main import main\n"
        "main()\n"
    )
    places = (
        (".http", "transport", "Transport.exchange"),
        ("", "signed_exchange", "locate"),
        (".answers", "xml", "parse"),
    )
    for package, module, name in places:
        outcome = estate.run(*UPLOAD, program=program.format(package=package, module=module, name=name))
        assert outcome.code == 70
        assert "nobody foresaw this" in outcome.err  # the traceback is there, with -v


def killed(estate: Estate) -> None:
    """SIGKILL, with parts under way: nobody tidied up."""
    estate.sandbox.add_fault("stall=30,op=part,part=3,times=always")
    process = estate.begin(*UPLOAD, "--json", "-j", "3")
    with process, estate.watching(process.pid):
        wait_for(lambda: list(estate.work.glob("*.obsup.json")))
        time.sleep(0.5)
        process.kill()
        estate.said += process.communicate()
    assert list(estate.work.glob("*.obsup.json"))


def many(estate: Estate) -> None:
    """A batch and its journal; one file fails."""
    (estate.work / "tree").mkdir()
    for name in "abc":
        (estate.work / "tree" / name).write_bytes(bytes(1000))
    estate.sandbox.add_fault("error=403:AccessDenied,op=put,key=p/tree/b,times=always")
    words = ("upload", "-r", "tree", "bucket/p/", "-v", "--log-file", "log", "--failed-list", "failed")
    assert estate.run(*words, "--json").code == 77


def looking(estate: Estate) -> None:
    """What only looks: doctor, status, lists, a plan, an upload by its steps."""
    begun = estate.run("init", "bigfile", "bucket/key", "--part-size", "100K", "-v")
    upload_id = begun.out.strip()
    for words in (
        ("part", "bigfile", "bucket/key", "--part-number", "1", "-v"),
        ("status", "bigfile", "bucket/key", "--json"),
        ("uploads", "bucket", "-v"),
        ("parts", "bucket/key", "--upload-id", upload_id, "-v"),
        ("doctor", "bucket", "-v"),
        ("config", "show"),
        ("upload", "bigfile", "bucket/key", "--dry-run"),
        ("abort", "bigfile", "bucket/key", "-v"),
    ):
        assert estate.run(*words).code == 0, estate.said[-1]


def proxied(estate: Estate) -> None:
    """A proxy with a password, which nobody answers for."""
    proxy = f"http://me:{PROXY_PASSWORD}@127.0.0.1:9"
    away = {"OBSUP_ENDPOINT": "http://store.invalid", "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy}
    words = ("--retry-for", "0s", "--connect-timeout", "2s")
    assert estate.run(*UPLOAD, *words, "--json", keys=estate.keys | away).code == 75
    assert estate.run("doctor", "bucket", *words, keys=estate.keys | away).code != 0


def test_a_proxy_password_on_the_command_line_is_rejected(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """It is not repeated in the error, in Next, or in the JSON object, and nothing is sent."""
    make_file(1000)
    for words in (("upload", "bigfile", "bucket/key", "--json"), ("uploads", "bucket")):
        outcome = shell.run(*words, "--proxy", f"http://me:{PROXY_PASSWORD}@127.0.0.1:9")
        assert outcome.code == 2
        assert "--proxy contains a password" in outcome.err
        assert PROXY_PASSWORD not in outcome.out + outcome.err
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "run",
    [
        *(plain, customer_key, presigned, presigned_refused, processes, credential_process, profile),
        *(refused, unusable, a_bug, killed, many, looking, proxied),
    ],
    ids=lambda run: run.__name__,
)
def test_a_run_leaves_no_secret_behind(estate: Estate, run: Callable[[Estate], None]) -> None:
    """Not on stdout or stderr, in no file, in no file's name, on no command line."""
    run(estate)
    estate.check()


def test_a_server_that_repeats_secrets(estate: Estate) -> None:
    """Whatever a message of the store's holds, what was sent as a secret is not shown."""

    def repeat(request: ReceivedRequest) -> Reply:
        words = [value for name, value in request.headers if "oken" in name or "ustomer" in name]
        words += [(request.header("Authorization") or "").rpartition(":")[2], request.target]
        return error(400, "InvalidRequest", Message=" ".join(words).replace("&", "&amp;"))

    key = estate.folder / "vault" / "key"
    key.write_bytes(CUSTOMER_KEY)
    with ScriptedServer(repeat) as server:
        away = estate.keys | {"OBSUP_ENDPOINT": server.endpoint}
        assert estate.run(*UPLOAD, "--json", "--sse-c-key-file", str(key), keys=away).code == 69
        signed = (server.last.header("Authorization") or "").rpartition(":")[2]
    estate.check()
    assert signed
    assert signed.encode() not in b"".join(estate.said)


class Eager:
    """Workers in this process, which keep what would travel to others."""

    size = 1
    can_cancel = False

    def __init__(self) -> None:
        self.pickled: list[bytes] = []

    def submit(self, call: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Send the argument through pickle, call, and send what comes of it back through pickle."""
        future: Future[Any] = Future()
        self.pickled.append(pickle.dumps(argument))
        try:
            self.pickled.append(pickle.dumps(call(pickle.loads(self.pickled[-1]))))
            future.set_result(pickle.loads(self.pickled[-1]))
        except ObsupError as exc:
            self.pickled.append(pickle.dumps(exc))
            future.set_exception(pickle.loads(self.pickled[-1]))
        return future

    def restart(self) -> None:
        """Stay."""

    def close(self, *, wait: bool) -> None:
        """Be gone."""


@pytest.mark.parametrize("is_presigned", [False, True], ids=["with keys", "presigned"])
@pytest.mark.parametrize("is_refused", [False, True], ids=["sent", "refused"])
def test_pickles_and_reprs_contain_no_secret(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, is_presigned: bool, is_refused: bool
) -> None:
    """Jobs and what comes back hold no secret; a signed URL goes out, and does not come back; no repr tells one."""
    for name, value in estate.keys.items():
        monkeypatch.setenv(name, value)
    if is_refused:
        estate.sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    wanted, settings = resolve_target("bucket/key", replace(IMPATIENT, endpoint=estate.sandbox.endpoint))
    keys = Credentials(estate.sandbox.access_key, SECRET, TOKEN)
    source = CredentialSource(lambda: FoundCredentials(keys), time.time)
    customer = CustomerKey(CUSTOMER_KEY)
    connection = connect(settings, sleep=lambda _: False, credentials=source, customer_key=customer)
    plain_one = connect(settings, sleep=lambda _: False, credentials=source)
    upload = Upload(wanted, plain_one.store.initiate(wanted, {}))
    path = estate.work / "bigfile"
    job = PartToSend(
        upload, Part(1, 0, PART), str(path), stat_source(path), DigestChoice(md5=True, crc64=False)
    )
    eager = Eager()
    workers = RemoteWorkers(eager, settings, sign=plain_one.signer.sign if is_presigned else None)
    promise = workers.send(job)
    assert (promise.exception() is not None) == is_refused
    for number, data in enumerate(eager.pickled):
        is_job = not number % 2
        for needle in NEEDLES - {form for form in forms(TOKEN.encode()) if is_presigned and is_job}:
            assert needle not in data
        assert not (SIGNATURE.search(data) and not (is_presigned and is_job))
    signed = plain_one.signer.sign(upload, 1)
    shown = [connection, workers, customer, keys, signed, promise.exception(), *_all_of_the_house()]
    for one in shown:
        check(f"{one!r} {one}".encode("utf-8", "replace"), f"the repr of a {type(one)}")
    for one in (keys, customer):
        with pytest.raises(TypeError):
            pickle.dumps(one)


def _all_of_the_house() -> Iterator[object]:
    """Yield every living object whose class is obsup's, but for the sandbox, which stands for the store."""
    for one in gc.get_objects():
        module = str(getattr(type(one), "__module__", ""))
        if module.startswith("obsup.") and not module.startswith("obsup.sandbox"):
            yield one


def test_the_advice_to_fix_credentials_shows_none(estate: Estate) -> None:
    """The line to run again is shown, without what the environment holds."""
    outcome = estate.run(*UPLOAD, keys=estate.keys | {"SecurityToken": ""})
    assert outcome.code == 77
    assert shlex.split(outcome.err.rpartition(": ")[2])[:2] == ["obsup", "upload"]
    estate.check()
