"""Run the gc command."""

from __future__ import annotations

import time
from typing import Any

from obsup.cli.actions.listings import _columns, _upload_fields
from obsup.cli.run.requests import connect_options_from
from obsup.cli.run.session import Session, run_step
from obsup.engine.inspect.gc import abort_stale
from obsup.engine.inspect.open_uploads import list_open_uploads
from obsup.engine.job.target_settings import resolve_prefix


def run_gc(prefix: str, values: dict[str, Any]) -> int:
    """Give stale uploads up, and return the exit code."""

    def work(session: Session) -> str:
        place, settings = resolve_prefix(prefix, connect_options_from(values))
        store = session.connect(settings).store
        aborted: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        session.fields |= {
            "provider": place.provider,
            "bucket": place.bucket,
            "dryRun": values["dry_run"],
            "aborted": aborted,
            "kept": kept,
        }
        for looked in abort_stale(
            store,
            list_open_uploads(store, place, now_s=time.time()),
            older_than_s=values["older_than"],
            foreign=values["foreign"],
            dry_run=values["dry_run"],
            sleep=session.stop.sleep,
        ):
            if looked.kept is None:
                aborted.append(_upload_fields(looked.one))
                session.line("\t".join(_columns(looked.one)))
            else:
                kept.append({**_upload_fields(looked.one), "because": looked.kept})
        return "listed" if values["dry_run"] else "aborted"

    return run_step("gc", values, work)
