"""Signals: which ones end a process, those of children, and the end of a wait that they do not interrupt."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

if sys.platform == "win32":
    import socket
    import threading
    import time

    TERMINATE, KILL = signal.SIGTERM, signal.SIGTERM
    _POLL_S = 0.2

    def default_child_signals() -> None:
        """Do nothing: Windows has no signal for the end of a child."""

    def block_terminal_signals() -> None:
        """Do nothing: see ``processes.WORKER_OPTIONS``."""

    class WaitAlarm:
        """Calls *on_signal* for each signal, and *leave* if the main thread still waits when the alarm rings.

        Windows does not interrupt a wait of the main thread: only after it, Python calls a handler.
        """

        def __init__(
            self,
            _check: Callable[[], object],
            on_signal: Callable[[int], object],
            leave: Callable[[], object],
        ) -> None:
            self._on_signal = on_signal
            self._leave = leave
            self._rings_s: float | None = None
            self._is_watched = False

        def handle(self, number: int, _frame: FrameType | None) -> None:
            """Handle a signal in the main thread, perhaps long after the thread that watches has done that."""
            if not self._is_watched:
                self._on_signal(number)

        @contextlib.contextmanager
        def active(self) -> Iterator[None]:
            """Watch inside the context."""
            ended = threading.Event()
            reader, writer = socket.socketpair()
            with reader, writer:
                reader.settimeout(_POLL_S)
                writer.setblocking(False)
                before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
                thread = threading.Thread(
                    target=self._watch, args=(reader, ended), name="signals", daemon=True
                )
                thread.start()
                self._is_watched = True
                try:
                    yield
                finally:
                    self._is_watched = False
                    ended.set()
                    signal.set_wakeup_fd(before)
                    thread.join()

        def set(self, seconds: float, _interval: float) -> None:
            """Let the alarm ring after *seconds*."""
            self._rings_s = time.monotonic() + seconds

        def _watch(self, reader: socket.socket, ended: threading.Event) -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    for number in reader.recv(64):
                        self._on_signal(number)
                if self._rings_s is not None and time.monotonic() >= self._rings_s and not ended.is_set():
                    self._leave()

else:
    TERMINATE, KILL = signal.SIGTERM, signal.SIGKILL

    def default_child_signals() -> None:
        """Let children have exit codes, even if a supervisor ignores the signal of their end."""
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def block_terminal_signals() -> None:
        """Block what a terminal sends to all processes: children of this thread inherit that."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})

    class WaitAlarm:
        """Calls *check* in the main thread when the alarm rings, so that what it raises ends a wait."""

        def __init__(
            self,
            check: Callable[[], object],
            on_signal: Callable[[int], object],
            _leave: Callable[[], object],
        ) -> None:
            self._check = check
            self._on_signal = on_signal

        def handle(self, number: int, _frame: FrameType | None) -> None:
            """Handle a signal."""
            self._on_signal(number)

        @contextlib.contextmanager
        def active(self) -> Iterator[None]:
            """Handle the alarm inside the context."""
            before = signal.signal(signal.SIGALRM, self._ring)
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)

        def _ring(self, _number: int, _frame: FrameType | None) -> None:
            self._check()

        def set(self, seconds: float, interval: float) -> None:
            """Let the alarm ring after *seconds*, and then every *interval* seconds."""
            signal.setitimer(signal.ITIMER_REAL, seconds, interval)
