"""The metrics of a run for Prometheus, in a file for the textfile collector of node_exporter: ``--metrics``."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from obsup import events
from obsup.cli.display.meter import short_reason
from obsup.cli.report.output import error_lines, print_message
from obsup.cli.run.requests import MetricsOptions
from obsup.errors import BadConfiguration, LocalFailure, NextStep, run_again
from obsup.local.files.content import read_content
from obsup.local.state.atomic_file import write_atomically, writing_advice
from obsup.text import quoted

LAST_SUCCESS = "obsup_last_success_timestamp_seconds"
# A larger file is not one that obsup wrote.
MAX_OLD_BYTES = 1 << 20


@dataclass(slots=True)
class _OpenFile:
    """What was stored of a file that has not ended: the numbers of its parts, and the bytes of earlier runs."""

    parts: set[int] = field(default_factory=set)
    resumed: int = 0


class RunMetrics:
    """Counts the events of one run, from many threads. Raises BadConfiguration if the library is not installed."""

    def __init__(self, options: MetricsOptions) -> None:
        if find_spec("prometheus_client") is None:
            raise BadConfiguration(
                "--metrics needs the package prometheus-client",
                "It is not installed in this environment",
                run_again("install it with: pip install 'obsup[metrics]'"),
            )
        self._options = options
        self._lock = threading.Lock()
        self._started_s = time.time()
        self._open: dict[str, _OpenFile] = {}
        self._sent_bytes = self._sent_parts = self._resent_parts = self._size = 0
        self._retries: Counter[str] = Counter()
        self._files: Counter[str] = Counter()

    def observe(self, event: events.Event) -> None:
        """Count *event*."""
        name = event.name if isinstance(event, events.OfFile) else ""
        of_one = events.of_one(event)
        with self._lock:
            if isinstance(of_one, events.Begun):
                self._open.setdefault(name, _OpenFile()).resumed = of_one.resumed
                self._size = self._size if name else of_one.total or 0
            elif isinstance(of_one, events.PartStored):
                self._store(self._open.setdefault(name, _OpenFile()), of_one)
            elif isinstance(of_one, events.Retried):
                self._retries[short_reason(of_one.reason).partition(" (")[0]] += 1  # without host and port
            elif isinstance(of_one, events.FileEnded):
                self._end(of_one)
            elif isinstance(of_one, events.Counted):
                self._size = of_one.size

    def _store(self, file: _OpenFile, event: events.PartStored) -> None:
        self._sent_parts += 1
        self._sent_bytes += event.size
        self._resent_parts += event.number in file.parts
        file.parts.add(event.number)

    def _end(self, event: events.FileEnded) -> None:
        self._files[event.how] += 1
        file = self._open.pop(event.name, _OpenFile())
        if event.how == "sent" and not file.parts and not file.resumed:
            # The parts of small files are too short-lived for events.
            self._sent_parts += 1
            self._sent_bytes += event.size

    def write(self, exit_code: int) -> int:
        """Replace the file; return the exit code, another one if a run without failure cannot write its metrics.

        The time of the last success is kept after a failure.
        """
        path = self._options.path
        try:
            # Not private: node_exporter runs as another user.
            write_atomically(path, self._text(exit_code), is_private=False)
        except OSError as exc:
            is_done = (
                "; what the command had to do is done, only the metrics are missing" if not exit_code else ""
            )
            error = LocalFailure(
                f"the metrics {quoted(path)} cannot be written",
                f"{exc.strerror or type(exc).__name__}{is_done}",
                NextStep(f"{writing_advice(exc)} or name another file with --metrics"),
            )
            print_message(error_lines(error, resume=None))
            return exit_code or error.exit_code
        return exit_code

    def _text(self, exit_code: int) -> bytes:
        # Imported here because few runs write metrics.
        from prometheus_client import CollectorRegistry, Gauge, generate_latest

        registry, labels, now_s = CollectorRegistry(), self._options.labels, time.time()

        def add(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> None:
            gauge = Gauge(name, text, [*labels, *([label] if label else [])], registry=registry)
            for word, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                gauge.labels(**labels, **({label: word} if label else {})).set(number)

        success_s = now_s if exit_code == 0 else self._last_success_s()
        add("obsup_last_run_timestamp_seconds", "Unix time at which the last run ended.", now_s)
        if success_s is not None:
            add(LAST_SUCCESS, "Unix time at which the last successful run ended.", success_s)
        add("obsup_exit_code", "Exit code of the last run.", exit_code)
        add("obsup_duration_seconds", "Duration of the last run.", now_s - self._started_s)
        add("obsup_sent_bytes", "Bytes that the last run sent and the store confirmed.", self._sent_bytes)
        add("obsup_size_bytes", "Bytes of the source, or of all files.", self._size)
        add("obsup_sent_parts", "Parts that the last run sent.", self._sent_parts)
        add("obsup_resent_parts", "Parts sent again because the source changed.", self._resent_parts)
        add("obsup_retries", "Failed attempts of the last run that were retried.", self._retries, "reason")
        add("obsup_files", "Files of the last run by outcome.", self._files, "outcome")
        return generate_latest(registry)

    def _last_success_s(self) -> float | None:
        """Return the time in the file that is replaced, None without one for the same labels."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = read_content(self._options.path, MAX_OLD_BYTES).data.decode()
            samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        except (OSError, ValueError):
            return None
        found = (s.value for s in samples if s.name == LAST_SUCCESS and s.labels == self._options.labels)
        return next(found, None)
