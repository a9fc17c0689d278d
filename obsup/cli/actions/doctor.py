"""An examination seen from the shell: a line for each finding, and the settings at the end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

from obsup.cli.run.requests import connect_options_from
from obsup.cli.run.session import Session, run_step
from obsup.engine.inspect.doctor import (
    Doctor,
    Finding,
    Listener,
    describe_credentials,
    describe_signature,
    examine_line,
    recommend,
)
from obsup.engine.job.target_settings import resolve_prefix
from obsup.errors import ObsupError
from obsup.text import one_line

# A doctor who waits a quarter of an hour for each failure is no help.
RETRY_FOR_S = 5.0
SIGNATURE_REFUSED = frozenset({"SignatureDoesNotMatch", "InvalidRequest", "InvalidArgument"})


def run_doctor(prefix: str, values: dict[str, Any]) -> int:
    """Examine, report, and return the exit code: that of the first failure."""

    def work(session: Session) -> str:
        place, settings = resolve_prefix(prefix, connect_options_from({"retry_for": RETRY_FOR_S, **values}))
        session.fields |= {"provider": place.provider, "bucket": place.bucket, "checks": []}
        report = Report(session)
        report.take(examine_line(settings, place.bucket))
        report.demand()
        listener = Listener(time.time)
        with session.tally.observed_by(listener):
            connection = session.connect(settings)
            report.take([describe_credentials(connection, time.time())])
            key = f"{place.key}.obsup-doctor-{secrets.token_hex(4)}"
            doctor = Doctor(connection, place, key=key, listener=listener, sleep=session.stop.sleep)
            report.take(doctor.examine())
            if report.is_signature_refused:
                report.take(describe_signature(settings, place.bucket, session.connect))
        report.demand()
        advised = recommend(connection, listener.round_trip_s)
        session.fields["settings"] = advised
        for line in ["", *config_lines(advised, values["profile"])]:
            session.line(line)
        return "healthy"

    return run_step("doctor", values, work)


class Report:
    """Prints findings as they come, and remembers what failed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._failures: list[ObsupError] = []

    def take(self, findings: Iterable[Finding]) -> None:
        """Print each, and add it to the answer."""
        for finding in findings:
            self._session.stop.check()
            self._session.fields["checks"].append(_fields(finding))
            self._session.line(f"{finding.name:<14}{_mark(finding):<6}{one_line(finding.told)}")
            if finding.error is not None and finding.is_needed:
                self._failures.append(finding.error)

    def demand(self) -> None:
        """Raise the first failure."""
        if self._failures:
            raise self._failures[0]

    @property
    def is_signature_refused(self) -> bool:
        """Whether the store took no request for how it was signed."""
        return any(
            error.refusal is not None and error.refusal.code in SIGNATURE_REFUSED for error in self._failures
        )


def config_lines(settings: dict[str, str | int], profile: str | None) -> list[str]:
    """Return *settings* as lines of config.toml."""
    table = "[defaults]" if profile is None else f"[profiles.{profile}]"
    return [table, *(f"{key} = {_toml(value)}" for key, value in settings.items())]


def _toml(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mark(finding: Finding) -> str:
    if finding.error is not None:
        return "FAIL" if finding.is_needed else "no"
    return "ok" if finding.is_judged else "-"


def _fields(finding: Finding) -> dict[str, Any]:
    error = finding.error
    return {
        "name": finding.name,
        "ok": None if not finding.is_judged else error is None,
        "told": finding.told,
        "why": error.why if error is not None else None,
        "next": str(error.next_step) if error is not None else None,
    }
