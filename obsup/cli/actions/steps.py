"""The steps of an upload seen from the shell: init, part, complete, abort."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from obsup.cli.report.fields import result_fields, target_fields
from obsup.cli.run.requests import object_options_from, select_upload
from obsup.cli.run.session import Session, run_step
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_text import split_target
from obsup.engine.steps import part as part_steps
from obsup.engine.steps.abort import abort_upload
from obsup.engine.steps.complete import CompletionChecks, ManualCompletion
from obsup.engine.steps.lookup import UploadSelector
from obsup.engine.steps.part import CopySource, PartWindow
from obsup.engine.upload import initiate
from obsup.engine.upload.uploader import Uploader
from obsup.errors import WrongUsage
from obsup.model import ObjectOptions

# Stands in an order for a source that is not known; nothing reads it.
NO_SOURCE = Path("-")


def _order(selector: UploadSelector, values: dict[str, Any], **more: Any) -> UploadRequest:
    """Return the order that the options which the steps share make."""
    return UploadRequest(
        source=selector.source or NO_SOURCE,
        target=selector.target,
        checkpoint=selector.checkpoint,
        if_running=values["if_running"],
        encrypted_by_customer=values.get("sse_c_key_file") is not None,
        **more,
    )


def run_init(source: Path | None, target: str, values: dict[str, Any]) -> int:
    """Initiate an upload, print its id, and return the exit code."""

    def work(session: Session) -> str:
        selector, settings = select_upload(source, target, values)
        order = _order(
            selector,
            values,
            options=object_options_from(values),
            parts=values["parts"],
            part_size=values["part_size"],
            restart=values["restart"],
            use_token=values["token"],
        )
        if source is None:
            upload = initiate.initiate(session.task(settings, order))
        else:
            uploader = Uploader(session.connect(settings), order, tally=session.tally, stop=session.stop)
            checkpoint, plan = uploader.initiate()
            upload = checkpoint.upload
            session.fields |= {"size": plan.size, "partSize": plan.part_size, "parts": plan.count}
        session.name_upload(upload)
        session.line(upload.upload_id)
        return "initiated"

    return run_step("init", values, work)


def run_part(source: Path, target: str, values: dict[str, Any]) -> int:
    """Send one part, print its ETag, and return the exit code."""
    cut = PartWindow(values["parts"], values["part_size"], values["offset"])
    number = values["part_number"]

    def work(session: Session) -> str:
        selector, settings = select_upload(source, target, values)
        order = _order(selector, values, content_md5=values["content_md5"], digest=values["digest"])
        sent = part_steps.send_one(session.task(settings, order), selector, number, cut)
        session.name_upload(sent.upload)
        session.fields |= {
            "partNumber": number,
            "etag": sent.receipt.etag,
            "size": sent.receipt.size,
            "requestId": sent.stored.request_id,
        }
        session.line(sent.receipt.etag)
        return "stored"

    return run_step("part", values, work)


def run_copy(source: Path | None, target: str, values: dict[str, Any]) -> int:
    """Copy one part inside the store, print its ETag, and return the exit code."""
    number = values["part_number"]

    def work(session: Session) -> str:
        selector, settings = select_upload(source, target, values)
        _, bucket, key = split_target(values["copy_source"])
        task = session.task(settings, _order(selector, values))
        upload, stored = part_steps.copy_one(
            task, selector, number, CopySource(bucket, key, values["copy_range"])
        )
        session.name_upload(upload)
        session.fields |= {"partNumber": number, "etag": stored.etag, "requestId": stored.request_id}
        session.line(stored.etag)
        return "stored"

    return run_step("part", values, work)


def run_complete(source: Path | None, target: str, values: dict[str, Any]) -> int:
    """Assemble the parts, print the object's ETag, and return the exit code."""

    def work(session: Session) -> str:
        selector, settings = select_upload(source, target, values)
        options = ObjectOptions(acl=values["acl"], no_overwrite=values["no_overwrite"])
        task = session.task(settings, _order(selector, values, options=options))
        checks = CompletionChecks(
            count=values["parts"],
            size=values["expect_size"],
            etags=_etags(values["etags"], values["etags_from"]),
            verify_source=values["verify_source"],
        )
        session.fields |= target_fields(selector.target)
        result = ManualCompletion(task, selector, checks).complete()
        session.fields |= result_fields(result) | {"seconds": round(session.tally.seconds, 3)}
        session.line(result.etag)
        return "completed"

    return run_step("complete", values, work)


def run_abort(source: Path | None, target: str, values: dict[str, Any]) -> int:
    """Give an upload up, and return the exit code."""

    def work(session: Session) -> str:
        selector, settings = select_upload(source, target, values)
        session.fields |= target_fields(selector.target)
        upload = abort_upload(session.task(settings, _order(selector, values)), selector)
        if upload is not None:
            session.name_upload(upload)
        return "aborted"

    return run_step("abort", values, work)


def _etags(given: Iterable[tuple[int, str]], lines: Iterable[str] | None) -> dict[int, str] | None:
    """Return the list of ETags that the user keeps, None where there is none. Raises WrongUsage.

    A line has a part number and an ETag, or what ``obsup parts`` prints: number, size, ETag, time.
    """
    pairs = list(given)
    for number, line in enumerate(lines or (), start=1):
        words = line.replace(":", " ", 1).split() if line.count("\t") < 2 else line.split("\t")
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or not words[0].isdecimal():
            raise WrongUsage(
                f"line {number} of --etags-from is no part: {line.strip()!r}",
                "a line is a part number and an ETag, or what obsup parts prints",
                "mend the line",
            )
        pairs.append((int(words[0]), (words[2] if len(words) > 2 else words[1]).strip('"')))
    if not pairs and lines is None:
        return None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise WrongUsage(
            "a part is named twice by --etag or --etags-from", "each part has one ETag", "name it once"
        )
    return found
