"""Initiate an upload without a source."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from obsup.dialects.objects.object_headers import options_of_complete
from obsup.engine.job.context import UploadContext
from obsup.engine.upload.adoption import open_uploads
from obsup.engine.upload.initiate import headers_with_token, initiate_once, initiated_upload
from obsup.engine.upload.preconditions import check_target
from obsup.errors import NextStep, WrongUsage
from obsup.local.state import started_uploads
from obsup.model import Upload


def initiate(context: UploadContext, *, given: Collection[str] | None = None) -> Upload:
    """Initiate an upload without a source, and record that this machine started it.

    Raises WrongUsage for options that would be needed when it is completed: nothing records them. *given* are the
    options of the command line, None for all: defaults of the environment or the configuration file are those of
    complete, too.
    """
    context = replace(context, request=replace(context.request, keep_checkpoint=False))
    context.headers("initiate")  # invalid options fail before anything is sent
    needed = options_of_complete(context.dialect, context.request.options)
    late = " and ".join(option for option in needed if given is None or option in given)
    if late:
        raise WrongUsage(
            f"{late} cannot be given to init without SOURCE",
            f"{context.dialect.title} takes it on complete, and without SOURCE no checkpoint stores it",
            NextStep(f"give {late} to obsup complete"),
        )
    check_target(context)
    context = context.begun_now()
    headers, token = headers_with_token(context)
    before = frozenset(one.upload_id for one in open_uploads(context))
    # Without a token, because the other machines of this upload do not know it: an upload that is only found in the
    # list may be that of another client, and they could not tell.
    initiated = initiate_once(context, headers, before, token=None)
    upload = initiated_upload(context, initiated, token)
    started_uploads.add(
        started_uploads.StartedUpload(
            upload, None, None, context.since_s, requested=context.requested_headers
        )
    )
    return upload
