"""Run ``obsup gc``."""

from __future__ import annotations

from typing import Any

from obsup import events
from obsup.cli.actions.listings import connect_with_clock, upload_columns, upload_fields
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.session import Session, run_step
from obsup.engine.inspect.gc import UNKNOWN_AGE, abort_stale
from obsup.engine.inspect.open_uploads import list_open_uploads


def run_gc(prefix: str, options: CommandOptions, *, older_than_s: float, foreign: bool, dry_run: bool) -> int:
    """Abort stale uploads, print each, and return the exit code."""

    def work(session: Session) -> str:
        resolved, settings = options.resolve_prefix(prefix)
        store, now_s = connect_with_clock(session, settings)
        aborted: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        session.fields |= {
            "provider": resolved.provider,
            "bucket": resolved.bucket,
            "dryRun": dry_run,
            "aborted": aborted,
            "kept": kept,
        }
        for decision in abort_stale(
            store,
            list_open_uploads(store, resolved, now_s=now_s),
            older_than_s=older_than_s,
            foreign=foreign,
            dry_run=dry_run,
            sleep=session.stop.sleep,
        ):
            if decision.kept is None:
                aborted.append(upload_fields(decision.listed))
                session.print_text("\t".join(upload_columns(decision.listed)))
            else:
                kept.append({**upload_fields(decision.listed), "because": decision.kept})
        unknown = sum(one["because"] == UNKNOWN_AGE for one in kept)
        if unknown:
            uploads = "1 upload was" if unknown == 1 else f"{unknown} uploads were"
            session.tally(events.Noted(f"{uploads} kept, because the age is unknown"))
        return "listed" if dry_run else "aborted"

    return run_step("gc", options, work)
