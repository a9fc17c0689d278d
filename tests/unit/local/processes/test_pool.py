"""Python processes of this machine that run calls: results, errors, death, the driver's states, and the import path."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from obsup.errors import Denied, run_again
from obsup.local.processes.interpreter import import_path, package_root
from obsup.local.processes.pool import ProcessPool
from tests.support.waiting import wait_for

# Those of a process of the pool.
_connections: list[socket.socket] = []


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    """A pool of one process."""
    running = ProcessPool(1)
    yield running
    running.close(wait=True)


def test_calls_return_their_results_in_one_process(pool: ProcessPool) -> None:
    """It runs one call after the other."""
    first, second = pool.submit(abs, -2), pool.submit(os.path.basename, "a/b")
    assert (first.result(60), second.result(60)) == (2, "b")
    assert pool.submit(eval, "__import__('os').getpid()").result(60) != os.getpid()


def test_what_a_call_raises_is_raised_here(pool: ProcessPool) -> None:
    """Errors of obsup keep their lines, and an error that cannot be pickled keeps its name."""
    error = Denied("what", "Why", run_again("fix it", add=("--x",)))
    raised = pool.submit(_raise, error).exception(60)
    assert isinstance(raised, Denied)
    assert (raised.what, raised.why, raised.next_step) == (error.what, error.why, error.next_step)
    broken = "(_ for _ in ()).throw(type('Unknown', (Exception,), {})())"
    assert str(pool.submit(eval, broken).exception(60)) == "Unknown"


def _raise(error: Exception) -> None:
    raise error


def test_output_of_a_call_does_not_disturb_the_replies(
    pool: ProcessPool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither stream reaches the user."""
    assert pool.submit(os.system, "echo out; echo err >&2").result(60) == 0
    pool.submit(print, "text").result(60)
    assert pool.submit(os.path.basename, "a/b").result(60) == "b"
    pool.close(wait=True)
    assert capfd.readouterr() == ("", "")


def test_a_process_that_died_is_replaced(pool: ProcessPool) -> None:
    """The call that it ran fails; the next one runs in a new process."""
    number = pool.submit(_process_id, None).result(60)
    died = pool.submit(os._exit, 3).exception(60)
    assert isinstance(died, BrokenExecutor)
    assert pool.submit(_process_id, None).result(60) != number
    killed = pool.submit(signal.raise_signal, getattr(signal, "SIGKILL", signal.SIGTERM)).exception(60)
    assert isinstance(killed, BrokenExecutor)


def _process_id(_: None) -> int:
    return os.getpid()


def _connect(port: int) -> int:
    """Connect to *port* until this process ends."""
    _connections.append(socket.create_connection(("127.0.0.1", port)))
    return os.getpid()


def test_each_process_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that replaces another; what the preparation raises is raised by the call."""
    monkeypatch.delenv("PREPARED", raising=False)
    pool = ProcessPool(1, (exec, "import os; os.environ['PREPARED'] = os.environ.get('PREPARED', '') + 'x'"))
    for _ in range(2):
        assert [pool.submit(os.getenv, "PREPARED").result(60) for _ in range(2)] == ["x", "x"]
        assert isinstance(pool.submit(os._exit, 3).exception(60), BrokenExecutor)
    pool.close(wait=True)
    pool = ProcessPool(1, (_raise, Denied("what")))
    assert isinstance(pool.submit(os.getenv, "HOME").exception(60), Denied)
    pool.close(wait=True)


def test_a_process_ignores_sigint_and_ends_with_its_pool(pool: ProcessPool) -> None:
    """The driver receives SIGINT and decides. A connection of the process ends with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = pool.submit(_connect, server.getsockname()[1]).result(60)
        connection, _ = server.accept()
    assert pool.submit(signal.raise_signal, signal.SIGINT).result(60) is None
    assert pool.submit(_process_id, None).result(60) == number
    with connection, suppress(ConnectionResetError):
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        pool.close(wait=True)
        connection.settimeout(60)
        assert connection.recv(1) == b""


def test_calls_that_wait_are_cancelled_on_close() -> None:
    """The running one ends."""
    pool = ProcessPool(1)
    running = pool.submit(time.sleep, 0.5)
    waiting = pool.submit(time.sleep, 0.5)
    wait_for(running.running)
    pool.close(wait=True)
    assert running.result(0) is None
    assert waiting.cancelled()
    with pytest.raises(BrokenExecutor):
        pool.submit(time.sleep, 0)


def test_states_reach_running_and_new_processes(pool: ProcessPool) -> None:
    """While a call runs, too."""
    running = pool.submit(_wait_for_state, 2)
    wait_for(running.running)
    pool.set_state(2)
    assert running.result(60)
    assert isinstance(pool.submit(os._exit, 0).exception(60), BrokenExecutor)
    assert pool.submit(_wait_for_state, 2).result(60)


def _wait_for_state(state: int) -> bool:
    from obsup.local.processes.worker import listen

    states: list[int] = []
    listen(states.append)
    return wait_for(lambda: state in states)


def test_the_current_directory_is_not_on_the_import_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless obsup, or the library of Python, is there."""
    library = str(Path(os.__file__).parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/opt/modules", library, package_root()])
    assert import_path() == ["/opt/modules", library, package_root()]
    monkeypatch.setattr(sys, "path", ["", library, str(tmp_path)])
    assert import_path() == [library, str(tmp_path), package_root()]
    monkeypatch.chdir(package_root())
    monkeypatch.setattr(sys, "path", ["", package_root(), library])
    assert import_path() == [package_root(), library]
