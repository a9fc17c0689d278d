"""Run ``obsup doctor``: one line per finding, and the recommended settings at the end."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from obsup.cli.report.next_command import next_line
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.engine.inspect.connection_checks import (
    check_connection,
    describe_correction,
    describe_credentials,
    find_signature,
    recommend,
)
from obsup.engine.inspect.finding import Finding, information
from obsup.engine.inspect.upload_cycle import RequestTimes, UploadCycle
from obsup.errors import BadConfiguration, LocalFailure, NextStep, ObsupError, run_again
from obsup.local.config.file import MAX_BYTES
from obsup.local.config.saved_table import changed_text, table_line, table_lines
from obsup.local.files.content import read_content
from obsup.local.files.existing import exists
from obsup.local.files.user_folders import default_config_path
from obsup.local.platform.paths import CONFIG_PATH_TEXT
from obsup.local.state.atomic_file import write_atomically
from obsup.local.state.folders import create_missing_folders
from obsup.store.answers.failure_table import OTHER_PROVIDER
from obsup.text import one_line, quoted

SIGNATURE_ERRORS = frozenset(
    {"SignatureDoesNotMatch", "InvalidRequest", "InvalidArgument", "UnsupportedAlgorithm"}
)


# The findings that say what the store is capable of.
CAPABILITIES = ("list uploads", "list parts", "verification", "checksums", "limits")


def run_doctor(prefix: str, options: CommandOptions, *, save: bool = False) -> int:
    """Examine a bucket and return the exit code, which is that of the first failure.

    With *save*, the settings that work are written into the configuration file.
    """

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
            report.add(filter(None, [describe_correction(connection, resolved.bucket)]))
            if report.is_signature_rejected:
                report.suggest_signature(find_signature(settings, resolved.bucket, session.connect))
        report.check()
        recommended = recommend(connection, resolved.bucket)
        capabilities = report.details(CAPABILITIES)
        session.fields |= {"settings": recommended, "capabilities": capabilities}
        remarks = [f"{name}: {detail}" for name, detail in capabilities.items()]
        for line in ["", *table_lines(options.connect.profile, recommended, remarks)]:
            session.print_text(line)
        if save:
            path = _save(options, recommended, remarks)
            session.fields["saved"] = str(path)
            session.print_text(f"\nsaved in {path}")
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

    def details(self, names: Iterable[str]) -> dict[str, str]:
        """Return the details of the findings with these *names*, as one line each."""
        details = {one["name"]: one_line(one["told"]) for one in self._session.fields["checks"]}
        return {name: details[name] for name in names if name in details}

    def check(self) -> None:
        """Raise the first failure, if any."""
        if self._failures:
            raise self._failures[0]

    def suggest_signature(self, accepted: str | None) -> None:
        """Add the signature that the store has *accepted*: the failures suggest it. None: it accepts no other one."""
        if accepted is None:
            # The others have other steps: another provider, for example.
            for error in self._failures:
                if error.refusal is not None and error.refusal.code == "SignatureDoesNotMatch":
                    other = f", or, {OTHER_PROVIDER}" if error.refusal.is_assumed else ""
                    error.next_step = run_again(f"fix the credentials{other}")
            return
        self.add([information("signature", f"the store accepts requests with --signature {accepted}")])
        for error in filter(_is_signature_rejected, self._failures):
            error.next_step = run_again(add=("--signature", accepted), drop=("--signature",))

    @property
    def is_signature_rejected(self) -> bool:
        """Whether the store rejected how a request was signed."""
        return any(map(_is_signature_rejected, self._failures))


def _is_signature_rejected(error: ObsupError) -> bool:
    return error.refusal is not None and error.refusal.code in SIGNATURE_ERRORS


def _save(options: CommandOptions, settings: Mapping[str, str], remarks: Sequence[str]) -> Path:
    """Write *settings* into the configuration file and return its path.

    Raises BadConfiguration if its form makes the change unsafe, LocalFailure if it cannot be written.
    """
    named, profile = options.connect.config_path, options.connect.profile
    path = Path(named) if named is not None else default_config_path(os.environ)
    if path is None:
        raise _unsaved(Path(CONFIG_PATH_TEXT), "This user has no home directory; --config can name a file")
    try:
        content = read_content(path, MAX_BYTES).data.decode() if exists(path) else ""
        changed = changed_text(content, profile, settings, remarks)
        if changed is None:
            raise _unsaved(path, f"The lines of {table_line(profile)} are not of the form KEY = VALUE")
        create_missing_folders(path.parent)
        # A link stays, and so does the mode of the file.
        write_atomically(path.resolve(), changed.encode(), is_private=not exists(path))
    except OSError as exc:
        raise _unsaved(path, exc.strerror or "", LocalFailure) from exc
    return path


def _unsaved(path: Path, why: str, kind: type[ObsupError] = BadConfiguration) -> ObsupError:
    return kind(
        f"the settings were not written to {quoted(path)}",
        why,
        NextStep("write the printed lines into the configuration file"),
    )


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
