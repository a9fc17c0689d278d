"""The keywords that the functions of the API share. All are optional; each is the long option of its name.

Sizes are bytes or a text such as "16M", durations seconds or a text such as "15m", files ``str`` or ``Path``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

from obsup import events
from obsup.engine.job.request import Jobs
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions
from obsup.local.source.expectation import Expectation
from obsup.model import Credentials, ObjectOptions

File = str | os.PathLike[str]
Size = int | str
Duration = float | str
Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


class StoreKeywords(TypedDict, total=False):
    """How to reach the store, and when to stop. The keywords of every function.

    *endpoint* is by default OBSUP_ENDPOINT. Without *credentials* they are found as on the command line. *connecting*
    has the values of those keywords that are not given. *observer* is called with every event. *stop* ends the call
    early from another thread, and excludes *max_time* and *until*.
    """

    endpoint: str | None
    provider: str
    account: str | None
    signature: str
    region: str | None
    addressing: Literal["auto", "virtual", "path", "cname"]
    profile: str | None
    config: File | None
    credentials: Credentials | None
    connecting: ConnectOptions | None
    ca_bundle: File | None
    client_cert: File | None
    client_key: File | None
    no_verify_tls: bool
    proxy: str | None
    connect_timeout: Duration
    stall_timeout: Duration
    retry_for: Duration
    max_time: Duration | None
    until: str | None
    headers: Pairs
    observer: events.Observer
    stop: StopSignal | None


class StepKeywords(StoreKeywords, total=False):
    """Further keywords of the single steps. *sse_c_key* is the key itself, *sse_c_key_file* a file with it."""

    checkpoint: File | None
    checkpoint_dir: File | None
    if_running: Literal["fail", "wait", "skip"]
    max_parts: int | None
    sse_c_key: bytes | None
    sse_c_key_file: File | None


class SendKeywords(StepKeywords, total=False):
    """Further keywords of functions that send data. *limit_rate* is bytes per second, "10M", or a timetable."""

    content_md5: bool
    digest: Literal["auto", "crc64nvme", "crc32c", "crc64", "sha256", "md5", "none"]
    limit_rate: float | str | None
    progress: events.ProgressCallback | None


class CopyKeywords(StepKeywords, total=False):
    """Further keywords of ``copy_part``: the SSE-C key of the copied object, itself or a file with it."""

    copy_source_sse_c_key: bytes | None
    copy_source_sse_c_key_file: File | None


class CompleteKeywords(StepKeywords, total=False):
    """Further keywords of ``complete_upload``. *options* is the same as its fields, each as a keyword."""

    options: ObjectOptions | None
    acl: str | None
    no_overwrite: bool
    strict_options: bool


class ObjectKeywords(StepKeywords, total=False):
    """Properties of the object, each a field of ObjectOptions; *options* has the values of those that are not given."""

    options: ObjectOptions | None
    acl: str | None
    cache_control: str | None
    content_disposition: str | None
    content_encoding: str | None
    content_language: str | None
    content_type: str | None
    expires_days: int | None
    expires_header: str | None
    grants: Pairs
    legal_hold: bool
    metadata: Mapping[str, str]
    no_overwrite: bool
    parts: int | None
    part_size: Size | None
    restart: bool
    retain_until: str | None
    retention: Literal["governance", "compliance"] | None
    sse: str | None
    sse_kms_key_id: str | None
    storage_class: str | None
    success_redirect: str | None
    tags: Mapping[str, str]
    token: bool
    website_redirect: str | None


class UploadKeywords(ObjectKeywords, SendKeywords, total=False):
    """Further keywords of ``upload_file``.

    *parts* or *part_size* (default 9 MiB, larger if 10,000 parts would not suffice) determine how the source is split;
    *jobs* parts are in flight at once (``auto``: 5, and up to 32 while throughput grows).
    """

    abort_on_failure: bool
    executor: str
    expect: Expectation
    expect_md5: str | None
    expect_sha256: str | None
    expect_size: Size | None
    jobs: Jobs
    no_checkpoint: bool
    on_change: Literal["fail", "resend"]
    presign: bool
    receipt: File | None
    skip_identical: bool
    strict_options: bool
    verify_source: bool


class VerifyKeywords(StoreKeywords, total=False):
    """Further keywords of ``verify_file``: how the object was split, or its receipt; and its SSE-C key.

    *download*: read the object if the store returns nothing else to compare with.
    """

    download: bool
    max_parts: int | None
    parts: int | None
    part_size: Size | None
    receipt: File | None
    sse_c_key: bytes | None
    sse_c_key_file: File | None
