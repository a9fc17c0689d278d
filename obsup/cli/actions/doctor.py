"""Run ``obsup doctor``: one line per finding, and the recommended settings at the end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

from obsup.cli.report.next_command import next_line
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.engine.inspect.connection_checks import (
    check_connection,
    describe_credentials,
    suggest_signature,
)
from obsup.engine.inspect.finding import Finding
from obsup.engine.inspect.recommendations import recommend
from obsup.engine.inspect.upload_cycle import RequestTimes, UploadCycle
from obsup.errors import ObsupError
from obsup.text import one_line

SIGNATURE_ERRORS = frozenset({"SignatureDoesNotMatch", "InvalidRequest", "InvalidArgument"})


def run_doctor(prefix: str, options: CommandOptions) -> int:
    """Examine a bucket and return the exit code, which is that of the first failure."""

    def work(session: Session) -> str:
        resolved, settings = options.resolve_prefix(prefix)
        session.fields |= {"provider": resolved.provider, "bucket": resolved.bucket, "checks": []}
        report = Report(session)
        report.add(check_connection(settings, resolved.bucket))
        report.check()
        times = RequestTimes(time.time)
        with session.tally.observed_by(times):
            connection = session.connect(settings)
            report.add([describe_credentials(connection, time.time())])
            key = f"{resolved.key}.obsup-doctor-{secrets.token_hex(4)}"
            cycle = UploadCycle(connection, resolved, key=key, times=times, sleep=session.stop.sleep)
            report.add(cycle.run())
            if report.is_signature_rejected:
                report.add(suggest_signature(settings, resolved.bucket, session.connect))
        report.check()
        recommended = recommend(connection, times.round_trip_s)
        session.fields["settings"] = recommended
        for line in ["", *config_lines(recommended, options.connect.profile)]:
            session.print_text(line)
        return "healthy"

    return run_step("doctor", options, work)


class Report:
    """Prints findings when they arrive and collects the failures."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._failures: list[ObsupError] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Print each finding and add it to the result."""
        for finding in findings:
            self._session.stop.check()
            self._session.fields["checks"].append(_fields(finding))
            self._session.print_text(f"{finding.name:<14}{_mark(finding):<6}{one_line(finding.detail)}")
            if finding.error is not None and finding.is_required:
                self._failures.append(finding.error)

    def check(self) -> None:
        """Raise the first failure, if any."""
        if self._failures:
            raise self._failures[0]

    @property
    def is_signature_rejected(self) -> bool:
        """Whether the store rejected how a request was signed."""
        return any(
            error.refusal is not None and error.refusal.code in SIGNATURE_ERRORS for error in self._failures
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
        return "FAIL" if finding.is_required else "no"
    return "ok" if finding.is_check else "-"


def _fields(finding: Finding) -> dict[str, Any]:
    error = finding.error
    step = error.next_step if error is not None else None
    return {
        "name": finding.name,
        "ok": None if not finding.is_check else error is None,
        "told": finding.detail,
        "why": error.why if error is not None else None,
        "next": next_line(step, None) if step else "" if error is not None else None,
    }
