"""What a worker process runs: the calls that its driver sends."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

# The exit code of a worker process that can start no thread.
NO_THREAD = 71


def serve_calls() -> None:
    """Run the calls that arrive on standard input, one after the other, until the driver closes it or dies."""
    for name in ("SIGINT", "SIGHUP", "SIGBREAK"):  # of a terminal: the driver handles them
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else is written between the replies
    calls: SimpleQueue[bytes] = SimpleQueue()
    try:
        threading.Thread(target=_receive_messages, args=(calls,), name="driver", daemon=True).start()
    except RuntimeError:
        os._exit(NO_THREAD)
    while True:
        reply = _run_call(calls.get())
        pickle.dump(reply, replies)
        replies.flush()


def _run_call(message: bytes) -> bytes:
    try:
        call, argument = pickle.loads(message)
    except Exception as exc:  # noqa: BLE001 - a broken installation can raise anything
        return pickle.dumps((None, ImportError(type(exc).__name__)))
    try:
        return pickle.dumps((call(argument), None))
    except Exception as exc:  # noqa: BLE001 - the driver gets whatever the call raised
        failure = exc
    try:
        return pickle.dumps((None, failure))
    except Exception:  # noqa: BLE001 - an exception that cannot be pickled
        return pickle.dumps((None, RuntimeError(type(failure).__name__)))


_received_state: int | None = None
_listeners: list[Callable[[int], None]] = []


def listen(listener: Callable[[int], None]) -> None:
    """Call *listener* with each state that the driver of this worker process sets, and with the last one."""
    _listeners.append(listener)
    if _received_state is not None:
        listener(_received_state)


def _receive_messages(calls: SimpleQueue[bytes]) -> None:
    global _received_state
    while True:
        try:
            message = pickle.load(sys.stdin.buffer)
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)
        if isinstance(message, bytes):
            calls.put(message)
        if not isinstance(message, int):  # the import path of one executable, which it does not need
            continue
        _received_state = message
        for listener in list(_listeners):
            listener(message)
