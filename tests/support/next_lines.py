"""Run the command line that a command of obsup prints after "Next:", or in a note, and see where that leads."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.doubles.listener import Listener
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed, with_other_headers
from tests.doubles.scripted_server import ScriptedServer, response
from tests.support.forked_commands import ForkedCommands
from tests.support.next_sites import ROOT, find_sites
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

_COMMAND = re.compile(r"(?:: |^Next:  Run: )((?:… \| )?(?:env -u|obsup|chmod) .*)$")
SITES = find_sites()


class Case(NamedTuple):
    """*command* fails with *code* after the steps *before*; after the steps *fix*, "Next:" ends with *then*.

    Steps are separated by "; ". They are actions of ``World`` or lines of a shell. *site* is the place in the source
    that makes the step, whose texts must be printed. *check* is a line that must succeed in the end. ``$id`` is the
    latest output of ``init``. *fill* replaces a word in capitals of the printed line by what the user knows. *note*
    tells cases of one site apart. *is_real* runs everything in processes of their own. *tls*: the store uses TLS, and
    requires client certificates. *max_parts* is its limit of parts. *line* has the command line.
    """

    site: str
    code: int
    before: str = ""
    command: str = "obsup upload bigfile bucket/key"
    fix: str = ""
    then: int = 0
    check: str = ""
    fill: tuple[str, str] = ("", "")
    note: str = ""
    is_real: bool = False
    tls: Literal["", "https", "client"] = ""
    max_parts: int = 10_000
    line: Literal["Next", "Note"] = "Next"

    @property
    def name(self) -> str:
        """The name of the case."""
        return f"{self.site} ({self.note})" if self.note else self.site


class World:
    """The folder, the environment and the store of one case."""

    def __init__(self, folder: Path, sandbox: Sandbox, commands: ForkedCommands, case: Case) -> None:
        self.folder, self.sandbox, self.case = folder, sandbox, case
        self.relays = contextlib.ExitStack()
        self.source = folder / "bigfile"
        program = Path(sys.executable).parent if case.is_real else commands.folder
        self.environment = {
            **os.environ,
            **Shell.against(sandbox, folder).environment,
            "OBSUP_RETRY_FOR": "0s",
            "PATH": f"{program}:{os.environ['PATH']}",
            "PORT": str(sandbox.port),
            "STORE": str(sandbox.directory),
            "PACKAGE": str(ROOT),
        }

    def run(self, line: str) -> Outcome:
        """Run *line* in bash."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def do(self, steps: str) -> None:
        """Carry out *steps*."""
        for step in filter(None, steps.split("; ")):
            word, _, rest = step.partition(" ")
            action = getattr(self, f"do_{word}", None)
            if action is not None:
                action(rest)
                continue
            outcome = self.run(step)
            assert outcome.code == 0, (step, outcome.err)
            if step.startswith("obsup init"):
                self.environment["id"] = outcome.out.strip()

    def do_fault(self, rule: str) -> None:
        """Let the store fail."""
        self.sandbox.add_fault(rule)

    def do_clear(self, _: str) -> None:
        """Let the store work again."""
        self.sandbox.clear_faults()

    def do_answer(self, words: str) -> None:
        """Change the answers to an operation: ``answer OPERATION STATUS CODE MESSAGE``, ``-`` for none of them."""
        operation, status, code, message = words.split(" ", 3)
        text = "" if message == "-" else message.replace("$id", self.environment.get("id", ""))
        body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>" if code != "-" else text

        def change(answer: Answer) -> Wire | None:
            if answer.operation != operation:
                return None
            headers = () if code != "-" else (("Content-Type", "text/html"),)
            content = b"" if answer.method == "HEAD" else body.encode()
            return Wire(framed(replace(answer, status=int(status), headers=headers, body=content)))

        self._relay(change)

    def do_whenever(self, words: str) -> None:
        """Run a shell line at every answer to an operation: ``whenever OPERATION LINE``."""
        self.do_when(words, most=99)

    def do_when(self, words: str, most: int = 1) -> None:
        """Run a shell line when the store first answers an operation: ``when OPERATION LINE``."""
        operation, _, line = words.partition(" ")
        done: list[Answer] = []

        def change(answer: Answer) -> None:
            if answer.operation == operation and len(done) < most:
                done.append(answer)
                outcome = self.run(f"export OBSUP_ENDPOINT={self.sandbox.endpoint}\n{line}")
                assert outcome.code == 0, outcome.err

        self._relay(change)

    def do_header(self, words: str) -> None:
        """Add a header to the Nth answer to an operation: ``header OPERATION N NAME VALUE``."""
        operation, count, name, value = words.split(" ")
        seen: list[Answer] = []

        def change(answer: Answer) -> Wire | None:
            seen.extend([answer] * (answer.operation == operation))
            if answer.operation != operation or len(seen) != int(count):
                return None
            return with_other_headers(answer, drop={name}, add={name: value})

        self._relay(change)

    def do_proxy(self, status: str) -> None:
        """Use a proxy that answers with this status, and a web page."""
        reply = response(int(status), "<html>", {"Content-Type": "text/html"})
        server = self.relays.enter_context(ScriptedServer(lambda _: reply, tunnel=reply))
        self.environment["OBSUP_PROXY"] = server.endpoint

    def do_banner(self, line: str) -> None:
        """Start a server that sends this line first; OTHER is its URL."""
        server = Listener(lambda connection: connection.sendall(f"{line}\r\n".encode()))
        server.start()
        self.relays.callback(server.stop)
        self.environment["OTHER"] = f"http://{server.address}"

    def do_expired(self, _: str) -> None:
        """Start a server whose certificate has expired; OTHER is its URL."""
        authority = Authority(self.folder)
        tls = authority.context("127.0.0.1", age=timedelta(days=3))
        server = self.relays.enter_context(ScriptedServer(lambda _: response(200), tls=tls))
        self.environment |= {"OTHER": server.endpoint, "OBSUP_CA_BUNDLE": str(authority.bundle)}

    def do_start(self, line: str) -> None:
        """Start ``obsup LINE`` in a process of its own, and return when its upload is open."""
        process = subprocess.Popen(
            [sys.executable, "-m", "obsup", *shlex.split(line)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.relays.callback(process.wait)
        self.relays.callback(process.kill)
        self._started = process
        wait_for(lambda: self.sandbox.uploads(), process=process)

    def do_stop(self, _: str) -> None:
        """End the command that was started."""
        self._started.kill()
        self._started.wait()

    def _relay(self, change: object) -> None:
        relay = self.relays.enter_context(MutatingRelay(self.sandbox.port, change))  # type: ignore[arg-type]
        self.environment["OBSUP_ENDPOINT"] = relay.endpoint

    def do_direct(self, _: str) -> None:
        """Use the store without a relay."""
        self.environment["OBSUP_ENDPOINT"] = self.sandbox.endpoint

    def do_export(self, words: str) -> None:
        """Set a variable of the environment: a shell expands its value."""
        name, _, value = words.partition("=")
        self.environment[name] = self.run(f'printf %s "{value}"').out

    def do_unset(self, names: str) -> None:
        """Remove variables from the environment."""
        for name in names.split():
            self.environment.pop(name, None)

    def do_rewrite(self, _: str) -> None:
        """Change the content of the source."""
        self.source.write_bytes(os.urandom(self.source.stat().st_size))

    def do_write(self, words: str) -> None:
        """Write a private file: ``write NAME TEXT``."""
        name, _, text = words.partition(" ")
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def do_grow(self, _: str) -> None:
        """Replace the source by a larger one."""
        self.source.write_bytes(bytes(500_000))

    def do_broken(self, options: str) -> None:
        """Let an upload fail after its first part."""
        self.sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
        outcome = self.run(f"obsup upload bigfile bucket/key {options or '--parts 2'} -j 1")
        assert outcome.code == 77, outcome.err
        self.sandbox.clear_faults()


def printed_command(failed: Outcome, name: str = "Next") -> str:
    """Return the command line at the end of the one line "Next:", or of the one note that has a command line."""
    lines = [line for line in failed.err.splitlines() if line.startswith(f"{name}:")]
    [line] = [line for line in lines if name == "Next" or _COMMAND.search(line)]
    match = _COMMAND.search(line)
    assert match, line
    return match[1]


def next_command(case: Case, failed: Outcome) -> str:
    """Return the printed command line as the user runs it."""
    word, known = case.fill
    command = printed_command(failed, case.line)
    command = command.replace(word, known) if word else command
    return command.replace("…", case.command.partition(" | ")[0], 1)


def check_count(failed: Outcome, operations: list[str]) -> None:
    """Assert that as many parts are not sent again as the message says."""
    match = re.search(r"\((\d+) of (\d+) parts are stored and will not be sent again\)", failed.err)
    if match:
        sent = operations.count("part") + operations.count("put")
        assert sent <= int(match[2]) - int(match[1]), (failed.err, operations)


def check_case(world: World) -> None:
    """Assert that the next step of the case leads where it says."""
    case = world.case
    with world.relays:
        world.do(case.before)
        failed = world.run(case.command)
        assert failed.code == case.code, failed.err
        printed = failed.err.casefold()
        missing = [text for text in SITES[case.site].texts if text.casefold() not in printed]
        assert not missing, (missing, failed.err)
        command = next_command(case, failed)
        world.do(f"clear; {case.fix}")
        before = len(world.sandbox.requests)
        done = world.run(command)
        check_count(failed, [one.operation for one in world.sandbox.requests[before:] if one.status == 200])
        assert done.code == case.then, (failed.err, command, done.err)
        if case.check:
            checked = world.run(case.check)
            assert checked.code == 0, (failed.err, command, done.err, checked.err)
    words = shlex.split(command)
    if case.then == 0 and {"upload", "complete"} & set(words) and {"bigfile", "bucket/key"} <= set(words):
        stored = world.sandbox.object_path("bucket", "key").read_bytes()
        assert stored == world.source.read_bytes(), (failed.err, command, done.err)
