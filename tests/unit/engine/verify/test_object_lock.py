"""Amazon's own hosts honour the headers of a lock: only what they show counts against that, nothing is set later."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.verify.object_lock import confirm_lock
from obsup.errors import Refused
from obsup.model import Credentials, ObjectOptions, Target
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http.body import BodyDigests
from obsup.store.interface import FixedCredentials
from tests.support.batch import count_operations
from tests.support.stores import bytes_body

TARGET = Target("s3", "https://s3.eu-central-1.amazonaws.com", "bucket", "key")


def open_context(sandbox: Sandbox, until: str, observed: list[events.Event]) -> UploadContext:
    """Return the context of an upload to Amazon S3 whose requests go to *sandbox*."""
    _, settings = resolve_target("bucket/key", ConnectOptions(endpoint=sandbox.endpoint, provider="s3"))
    connection = connect(
        settings,
        credentials=FixedCredentials(Credentials(sandbox.access_key, sandbox.secret_key)),
        sleep=lambda _seconds: False,
    )
    options = ObjectOptions(retention="governance", retain_until=until)
    return UploadContext(connection, UploadRequest(Path(), TARGET, options), observed.append, StopSignal())


@pytest.mark.parametrize(
    ("fault", "until", "is_confirmed", "notes"),
    [
        ("", "2039-12-31", True, 0),
        ("", "2040-12-31", False, 0),
        ("hide-lock", "2040-12-31", True, 0),
        ("error=403:AccessDenied,op=head,times=always", "2040-12-31", True, 1),
    ],
    ids=["shown", "shown with another end", "hidden", "HeadObject not permitted"],
)
def test_lock_at_a_host_of_amazon(
    sandbox: Sandbox, fault: str, until: str, is_confirmed: bool, notes: int
) -> None:
    """What these credentials may not see is accepted, because the request was."""
    sandbox.add_fault("object-lock=0")
    observed: list[events.Event] = []
    context = open_context(sandbox, until, observed)
    sent = {**context.requested_headers, "x-amz-object-lock-retain-until-date": "2040-01-01T00:00:00Z"}
    stored = context.store.put_object(TARGET, bytes_body(b"x"), sent, BodyDigests("ndTkYSaMgDT1yFZOFVxnpg=="))
    if fault:
        sandbox.add_fault(fault)
    if is_confirmed:
        confirm_lock(context, context.requested_headers, None, stored)
    else:
        with pytest.raises(Refused, match="does not show the requested lock"):
            confirm_lock(context, context.requested_headers, None, stored)
    assert len(observed) == notes
    assert count_operations(sandbox)["set-retention"] == 0


def test_a_lock_that_a_bucket_without_versions_shows(sandbox: Sandbox) -> None:
    """A store that knows no locks may return all headers that it received; the version "null" is none."""
    sandbox.add_fault("object-lock=0")
    context = open_context(sandbox, "2039-12-31", [])
    target = replace(TARGET, endpoint=sandbox.endpoint)
    context = replace(context, request=replace(context.request, target=target))
    stored = context.store.put_object(
        target, bytes_body(b"x"), context.requested_headers, BodyDigests("ndTkYSaMgDT1yFZOFVxnpg==")
    )
    info = confirm_lock(context, context.requested_headers, None, stored)
    assert info is not None
    info, stored = replace(info, version_id="null"), replace(stored, version_id="null")
    with pytest.raises(Refused, match="has no versions"):
        confirm_lock(context, context.requested_headers, info, stored)
