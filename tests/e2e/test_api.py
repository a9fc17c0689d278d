"""The public Python API works like the command."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

import obsup
from obsup.api import upload_file
from obsup.errors import DataMismatch, ObsupError, WrongUsage
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox

MakeFile = Callable[..., Path]


@pytest.fixture
def credentials(sandbox: Sandbox) -> Credentials:
    """The credentials of the sandbox, given by the caller."""
    return Credentials(sandbox.access_key, sandbox.secret_key)


def test_upload_file_verifies_and_reports(
    sandbox: Sandbox, make_file: MakeFile, credentials: Credentials
) -> None:
    """The result has the fields of the vendors' tables; the last progress call has the total."""
    source = make_file(1_000_000)
    calls: list[tuple[int, int | None, float]] = []
    result = upload_file(
        source,
        "bucket/key",
        endpoint=sandbox.endpoint,
        parts=5,
        credentials=credentials,
        progress=lambda *values: calls.append(values),
    )
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert (result.parts, result.sent_parts, result.size, result.verified) == (5, 5, 1_000_000, "etag")
    assert result.status == 200
    assert result.request_id
    assert calls[-1][:2] == (1_000_000, 1_000_000)
    assert all(total == 1_000_000 for _, total, _ in calls)
    assert [seconds for _, _, seconds in calls] == sorted(seconds for _, _, seconds in calls)


def test_a_failure_has_the_exit_code_and_the_next_call_resumes(
    sandbox: Sandbox, make_file: MakeFile, credentials: Credentials
) -> None:
    """The same call resumes the upload."""
    source = make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")

    def call() -> obsup.Result:
        return upload_file(
            source, "bucket/key", endpoint=sandbox.endpoint, parts=5, jobs=1, credentials=credentials
        )

    with pytest.raises(ObsupError) as caught:
        call()
    assert caught.value.exit_code == 77
    sandbox.clear_faults()
    assert call().sent_parts == 1


def test_progress_does_not_count_a_part_twice(
    sandbox: Sandbox, make_file: MakeFile, credentials: Credentials
) -> None:
    """A part that fails after its last byte: the progress never exceeds the total."""
    source = make_file(1_000_000)
    sandbox.add_fault("error-after=500:InternalError,op=part,times=3")
    calls: list[int] = []
    upload_file(
        source,
        "bucket/key",
        endpoint=sandbox.endpoint,
        parts=5,
        credentials=credentials,
        progress=lambda transferred, _total, _seconds: calls.append(transferred),
    )
    assert max(calls) == calls[-1] == 1_000_000


def test_an_empty_source_is_an_error(sandbox: Sandbox, credentials: Credentials) -> None:
    """It must not mean the current directory."""
    with pytest.raises(WrongUsage, match="the source is empty"):
        upload_file("", "bucket/key", endpoint=sandbox.endpoint, credentials=credentials)
    assert sandbox.requests == []


def test_the_public_names_exist() -> None:
    """Other names raise AttributeError as usual."""
    for name in obsup.__all__:
        assert getattr(obsup, name) is not None
    with pytest.raises(AttributeError, match="upload_flie"):
        _ = obsup.upload_flie


def test_an_expected_size_of_zero_is_a_guard(sandbox: Sandbox, make_file: MakeFile) -> None:
    """For a file and for a stream."""
    source = make_file(1000)
    store = {"endpoint": sandbox.endpoint, "credentials": Credentials(sandbox.access_key, sandbox.secret_key)}
    for one in (source, io.BytesIO(b"xyz")):
        with pytest.raises(DataMismatch):
            upload_file(one, "bucket/key", expect_size=0, **store)  # type: ignore[arg-type]
    assert not sandbox.object_path("bucket", "key").exists()
