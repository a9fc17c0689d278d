"""No secret appears in the output, files, command lines, objects or pickles of a run.

The tests search for each secret in plain and in encoded form: hex, base64 at any offset, URL, JSON.
"""

from __future__ import annotations

import base64
import gc
import json
import pickle
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from obsup.engine.job.connection import connect
from obsup.engine.job.target_settings import resolve_target
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.backends import FixedBackend
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_workers import RemoteWorkers
from obsup.errors import ObsupError
from obsup.local.config.credentials import CredentialSource, FoundCredentials
from obsup.local.source.identity import stat_source
from obsup.model import Credentials, CustomerKey, Part, Upload
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error
from tests.support.matrix import mostly_slow
from tests.support.secret_search import (
    CUSTOMER_KEY,
    ENCODED_SECRETS,
    OUTPUT_OPTIONS,
    PROXY_PASSWORD,
    SECRET,
    SIGNATURE,
    TOKEN,
    UPLOAD,
    Machine,
    check,
    encodings,
)
from tests.support.shell import Shell
from tests.support.upload_rig import IMPATIENT, PART
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]


def test_the_search_finds_planted_secrets() -> None:
    """In the encodings that obsup uses to send them."""
    for data in (
        f"https://x/?token={quote(TOKEN, safe='')}".encode(),
        base64.b64encode(b"key:" + CUSTOMER_KEY),
        json.dumps({"secret": SECRET}).encode(),
        CUSTOMER_KEY.hex().encode(),
        repr({"x": TOKEN}).encode(),
        b"...&Signature=AbCdEfGhIjKlMnOpQrStUvWxYz0%3D&...",
        b"Authorization: OBS AK:AbCdEfGhIjKlMnOpQrStUvWxYz0=",
        b"Proxy-Authorization: Basic AbCdEfGhIjKlMnOpQrSt",
        b"'X-Amz-Signature', '0123456789abcdef0123456789abcdef'",
    ):
        with pytest.raises(AssertionError):
            check(data, "this")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine, and a store that requires temporary credentials."""
    with Sandbox(secret_key=SECRET, require_token=TOKEN) as store:
        yield Machine(tmp_path, store)


def plain(machine: Machine) -> None:
    """Every request is logged."""
    assert machine.run(*UPLOAD, *OUTPUT_OPTIONS).code == 0


def customer_key(machine: Machine) -> None:
    """SSE-C: the key is in a file, and is sent in a header of every request."""
    (machine.folder / "vault" / "key").write_bytes(CUSTOMER_KEY)
    (machine.folder / "vault" / "key").chmod(0o600)
    key_option = ("--sse-c-key-file", str(machine.folder / "vault" / "key"))
    assert machine.run(*UPLOAD, *OUTPUT_OPTIONS, *key_option).code == 0
    assert machine.run("verify", "bigfile", "bucket/key", *key_option, "-v").code == 1


def presigned(machine: Machine) -> None:
    """Workers without credentials use signed URLs; one URL is rejected and therefore logged."""
    machine.sandbox.add_fault("error=500:InternalError,op=part,part=2")
    machine.sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=1")
    assert machine.run(*UPLOAD, *OUTPUT_OPTIONS, "--executor", "processes", "--presign", "-j", "2").code == 0


def presigned_rejected(machine: Machine) -> None:
    """The store rejects a signed URL permanently: the error of the worker is reported by the main process."""
    machine.sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert machine.run(*UPLOAD, "--json", "--executor", "processes", "--presign").code == 77


def processes(machine: Machine) -> None:
    """Each worker reads its own credentials; none are on its command line."""
    assert machine.run(*UPLOAD, *OUTPUT_OPTIONS, "--executor", "processes", "-j", "2").code == 0


def write_profile(machine: Machine, settings: str) -> Path:
    """Write a configuration file with one profile."""
    folder = machine.folder / "home" / ".config" / "obsup"
    folder.mkdir(parents=True)
    path = folder / "config.toml"
    path.write_text(f"[profiles.nightly]\n{settings}\n")
    path.chmod(0o600)
    return path


def credential_process(machine: Machine) -> None:
    """The helper prints the keys, also on stderr, even if it fails."""
    response = {"Version": 1, "AccessKeyId": machine.sandbox.access_key}
    response |= {"SecretAccessKey": SECRET, "SessionToken": TOKEN}
    helper = machine.folder / "vault" / "helper"
    helper.write_text(f"import sys\nprint({json.dumps(response)!r})\nprint({SECRET!r}, file=sys.stderr)\n")
    write_profile(machine, f'credential_process = "{sys.executable} {helper}"')
    assert machine.run(*UPLOAD, *OUTPUT_OPTIONS, "--profile", "nightly", keys={}).code == 0
    helper.write_text(helper.read_text() + "sys.exit(1)\n")
    assert machine.run(*UPLOAD, "--profile", "nightly", keys={}).code == 77


def profile(machine: Machine) -> None:
    """A profile with keys is shown and used; two invalid ones are reported."""
    keys = {"access_key_id": machine.sandbox.access_key, "secret_access_key": SECRET, "security_token": TOKEN}
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in keys.items())
    path = write_profile(machine, settings)
    machine.unchecked.add(path)
    assert machine.run(*UPLOAD, *OUTPUT_OPTIONS, "--profile", "nightly", keys={}).code == 0
    assert machine.run("config", "show", "--profile", "nightly", keys={}).code == 0
    path.write_text(path.read_text() + f'endpoint = "{SECRET}\n')
    assert machine.run(*UPLOAD, "--profile", "nightly", keys={}).code == 78
    path.write_text(f"[profiles.nightly]\nsecret_acces_key = {json.dumps(SECRET)}\n")
    assert machine.run(*UPLOAD, "--profile", "nightly", keys={}).code == 78


def rejected(machine: Machine) -> None:
    """The error is on stderr, in the log and in --json; the checkpoint is kept."""
    machine.sandbox.add_fault("error=403:SignatureDoesNotMatch,op=part,part=2,times=always")
    outcome = machine.run(*UPLOAD, *OUTPUT_OPTIONS)
    assert (outcome.code, outcome.json["reason"]) == (77, "credentials")


def unusable(machine: Machine) -> None:
    """A key with a line break, which the HTTP library would print."""
    for broken in ({"SecretAccessKey": f"{SECRET}\n{SECRET}"}, {"SecurityToken": f"{TOKEN}\n{TOKEN}"}):
        assert machine.run(*UPLOAD, keys=machine.keys | broken).code == 77


def a_bug(machine: Machine) -> None:
    """The traceback of an unexpected error while a request is signed and sent."""
    program = (
        "from obsup.store{package} import {module}\n"
        "def broken(*args, **options): raise ValueError('unexpected error')\n"
        "{module}.{name} = broken\n"
        "from obsup.cli.main import main\n"
        "main()\n"
    )
    broken_functions = (
        (".http", "transport", "Transport.exchange"),
        ("", "signed_exchange", "locate"),
        (".answers", "xml", "parse"),
    )
    for package, module, name in broken_functions:
        outcome = machine.run(*UPLOAD, program=program.format(package=package, module=module, name=name))
        assert outcome.code == 70
        assert "unexpected error" in outcome.err  # -v shows the traceback


def killed(machine: Machine) -> None:
    """SIGKILL with parts in flight: there is no cleanup."""
    machine.sandbox.add_fault("stall=30,op=part,part=3,times=always")
    process = machine.start_process(*UPLOAD, "--json", "-j", "3")
    with process, machine.recording(process.pid):
        wait_for(lambda: list(machine.work.glob("*.obsup.json")))
        wait_for(lambda: [one for one in machine.sandbox.requests if one.operation == "part"])
        process.kill()
        machine.output += process.communicate()
    assert list(machine.work.glob("*.obsup.json"))


def batch(machine: Machine) -> None:
    """A batch and its journal; one file fails."""
    (machine.work / "tree").mkdir()
    for name in "abc":
        (machine.work / "tree" / name).write_bytes(bytes(1000))
    machine.sandbox.add_fault("error=403:AccessDenied,op=put,key=p/tree/b,times=always")
    arguments = ("upload", "-r", "tree", "bucket/p/", "-v", "--log-file", "log", "--failed-list", "failed")
    assert machine.run(*arguments, "--json").code == 77


def reporting(machine: Machine) -> None:
    """Commands that only report (doctor, status, lists, a plan), and the single steps of an upload."""
    init = machine.run("init", "bigfile", "bucket/key", "--part-size", "100K", "-v")
    upload_id = init.out.strip()
    for arguments in (
        ("part", "bigfile", "bucket/key", "--part-number", "1", "-v"),
        ("status", "bigfile", "bucket/key", "--json"),
        ("uploads", "bucket", "-v"),
        ("parts", "bucket/key", "--upload-id", upload_id, "-v"),
        ("doctor", "bucket", "-v"),
        ("config", "show"),
        ("upload", "bigfile", "bucket/key", "--dry-run"),
        ("abort", "bigfile", "bucket/key", "-v"),
    ):
        assert machine.run(*arguments).code == 0, machine.output[-1]


def proxied(machine: Machine) -> None:
    """A proxy with a password that does not respond."""
    proxy = f"http://me:{PROXY_PASSWORD}@127.0.0.1:9"
    proxy_variables = {
        "OBSUP_ENDPOINT": "http://store.invalid",
        "HTTPS_PROXY": proxy,
        "HTTP_PROXY": proxy,
    }
    arguments = ("--retry-for", "0s", "--connect-timeout", "2s")
    assert machine.run(*UPLOAD, *arguments, "--json", keys=machine.keys | proxy_variables).code == 75
    assert machine.run("doctor", "bucket", *arguments, keys=machine.keys | proxy_variables).code != 0


def test_a_proxy_password_on_the_command_line_is_rejected(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """It is not repeated in the error, in Next, or in the JSON object, and nothing is sent."""
    make_file(1000)
    for arguments in (("upload", "bigfile", "bucket/key", "--json"), ("uploads", "bucket")):
        outcome = shell.run(*arguments, "--proxy", f"http://me:{PROXY_PASSWORD}@127.0.0.1:9")
        assert outcome.code == 2
        assert "--proxy contains a password" in outcome.err
        assert PROXY_PASSWORD not in outcome.out + outcome.err
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "run",
    [
        *(plain, customer_key, presigned, processes, credential_process, rejected, killed, batch, proxied),
        *mostly_slow([presigned_rejected, profile, unusable, a_bug, reporting]),
    ],
    ids=lambda run: run.__name__,
)
def test_a_run_shows_and_stores_no_secret(machine: Machine, run: Callable[[Machine], None]) -> None:
    """Neither on stdout or stderr nor in a file, a file name or a command line."""
    run(machine)
    machine.check()


def test_a_server_that_repeats_secrets(machine: Machine) -> None:
    """If an error message of the store repeats a secret of the request, obsup does not show it."""

    def repeat(request: ReceivedRequest) -> Reply:
        secret_values = [value for name, value in request.headers if "oken" in name or "ustomer" in name]
        secret_values += [(request.header("Authorization") or "").rpartition(":")[2], request.target]
        return error(400, "InvalidRequest", Message=" ".join(secret_values).replace("&", "&amp;"))

    key = machine.folder / "vault" / "key"
    key.write_bytes(CUSTOMER_KEY)
    key.chmod(0o600)
    with ScriptedServer(repeat) as server:
        variables = machine.keys | {"OBSUP_ENDPOINT": server.endpoint}
        assert machine.run(*UPLOAD, "--json", "--sse-c-key-file", str(key), keys=variables).code == 69
        signed = (server.last.header("Authorization") or "").rpartition(":")[2]
    machine.check()
    assert signed
    assert signed.encode() not in b"".join(machine.output)


class PicklingBackend(FixedBackend):
    """Runs tasks in this process, and records the pickles that would be sent to other processes."""

    def __init__(self) -> None:
        super().__init__(self._call, 1, lambda **_: None, is_local=False)
        self.pickled: list[bytes] = []

    def _call(self, call: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Pickle the argument, call, and pickle the result or exception."""
        future: Future[Any] = Future()
        self.pickled.append(pickle.dumps(argument))
        try:
            self.pickled.append(pickle.dumps(call(pickle.loads(self.pickled[-1]))))
            future.set_result(pickle.loads(self.pickled[-1]))
        except ObsupError as exc:
            self.pickled.append(pickle.dumps(exc))
            future.set_exception(pickle.loads(self.pickled[-1]))
        return future


@pytest.mark.parametrize("is_presigned", [False, True], ids=["with keys", "presigned"])
@pytest.mark.parametrize("is_rejected", [False, True], ids=["sent", "rejected"])
def test_pickles_and_reprs_contain_no_secret(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, is_presigned: bool, is_rejected: bool
) -> None:
    """Tasks and results contain no secret; only a task may contain a signed URL; no repr shows any of them."""
    for name, value in machine.keys.items():
        monkeypatch.setenv(name, value)
    if is_rejected:
        machine.sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    target, settings = resolve_target("bucket/key", replace(IMPATIENT, endpoint=machine.sandbox.endpoint))
    keys = Credentials(machine.sandbox.access_key, SECRET, TOKEN)
    source = CredentialSource(lambda: FoundCredentials(keys), time.time)
    customer = CustomerKey(CUSTOMER_KEY)
    connection = connect(settings, sleep=lambda _: False, credentials=source, customer_key=customer)
    without_customer_key = connect(settings, sleep=lambda _: False, credentials=source)
    upload = Upload(target, without_customer_key.store.initiate(target, {}).upload_id)
    path = machine.work / "bigfile"
    job = PartToSend(
        upload, Part(1, 0, PART), str(path), stat_source(path), DigestChoice(md5=True, crc64=False)
    )
    executor = PicklingBackend()
    workers = RemoteWorkers(executor, settings, signer=without_customer_key.signer if is_presigned else None)
    future = workers.send(job)
    assert (future.exception() is not None) == is_rejected
    for number, data in enumerate(executor.pickled):
        is_job = not number % 2
        for encoded in ENCODED_SECRETS - {
            encoding for encoding in encodings(TOKEN.encode()) if is_presigned and is_job
        }:
            assert encoded not in data
        assert not (SIGNATURE.search(data) and not (is_presigned and is_job))
    signed = without_customer_key.signer.sign_part(upload, 1)
    shown = [connection, workers, customer, keys, signed, future.exception(), *_obsup_objects()]
    for item in shown:
        check(f"{item!r} {item}".encode("utf-8", "replace"), f"the repr of a {type(item)}")
    for secret in (keys, customer):
        with pytest.raises(TypeError):
            pickle.dumps(secret)


def _obsup_objects() -> Iterator[object]:
    """Yield every object in memory whose class is obsup's, except for the sandbox, which is the store."""
    for value in gc.get_objects():
        module = str(getattr(type(value), "__module__", ""))
        if module.startswith("obsup.") and not module.startswith("obsup.sandbox"):
            yield value


def test_the_next_command_after_rejected_credentials_shows_none(machine: Machine) -> None:
    """It contains the arguments, but no values from the environment."""
    outcome = machine.run(*UPLOAD, keys=machine.keys | {"SecurityToken": ""})
    assert outcome.code == 77
    assert shlex.split(outcome.err.rpartition(": ")[2])[:2] == ["obsup", "upload"]
    machine.check()
