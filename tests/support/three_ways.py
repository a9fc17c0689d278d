"""The same call in three ways: the command line, the Python API, and the facade with the calls of the vendors' SDK.

Each way returns an answer whose values have the vendors' names, so that a test compares all three with one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import obsup
from obsup import compat
from obsup.errors import ObsupError
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer as RelayAnswer
from tests.support.in_process import Inside

# The vendors' names of the fields that a result of the API has.
RESULT_FIELDS = {
    "etag": "etag",
    "versionId": "version_id",
    "location": "location",
    "objectUrl": "location",
    "sseKms": "sse_kms",
    "sseKmsKey": "sse_kms_key",
    "sseC": "sse_c",
    "sseCKeyMd5": "sse_c_key_md5",
    "requestId": "request_id",
    "hostId": "host_id",
    "status": "status",
}
REFUSAL_FIELDS = {
    "status": "status",
    "errorCode": "code",
    "errorMessage": "message",
    "requestId": "request_id",
    "hostId": "host_id",
    "resource": "resource",
}


class Given(NamedTuple):
    """The same options of a call: of the command line, of the API, and of the SDK."""

    cli: tuple[str, ...] = ()
    api: Mapping[str, Any] = {}
    sdk: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Answer:
    """What a call returned: whether it succeeded, the vendors' fields, and the message of an error."""

    succeeded: bool
    values: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    exit_code: int = 0


class Way(Protocol):
    """One way to call: every method returns an answer, also for an error."""

    def upload(self, source: Path, target: str, given: Given) -> Answer:
        """Upload a file."""

    def initiate(self, target: str, given: Given) -> Answer:
        """Initiate an upload; the answer has ``uploadId``."""

    def part(self, source: Path, target: str, number: int, upload_id: str, given: Given) -> Answer:
        """Send the whole file as one part, unless *given* says which bytes."""

    def complete(self, target: str, upload_id: str, etags: Mapping[int, str], given: Given) -> Answer:
        """Complete the upload with these ETags."""

    def abort(self, target: str, upload_id: str) -> Answer:
        """Abort the upload."""


@dataclass(frozen=True)
class CommandLine:
    """The command line, with ``--json``."""

    inside: Inside
    always: tuple[str, ...] = ()

    def _run(self, *words: str | Path) -> Answer:
        outcome = self.inside.run(*words, *self.always, "--json")
        values = outcome.json if outcome.out else {}
        shown = {"status": values.get("httpStatus"), **{k: v for k, v in values.items() if k != "status"}}
        return Answer(outcome.code == 0, shown, outcome.err or str(values.get("message", "")), outcome.code)

    def upload(self, source: Path, target: str, given: Given) -> Answer:
        return self._run("upload", source, target, *given.cli)

    def initiate(self, target: str, given: Given) -> Answer:
        return self._run("init", target, *given.cli)

    def part(self, source: Path, target: str, number: int, upload_id: str, given: Given) -> Answer:
        window = () if "--offset" in given.cli or "--part-size" in given.cli else ("--offset", "0")
        chosen = ("--upload-id", upload_id, "--part-number", str(number))
        return self._run("part", source, target, *chosen, *window, *given.cli)

    def complete(self, target: str, upload_id: str, etags: Mapping[int, str], given: Given) -> Answer:
        listed = [word for number, etag in etags.items() for word in ("--etag", f"{number}:{etag}")]
        return self._run("complete", target, "--upload-id", upload_id, *listed, *given.cli)

    def abort(self, target: str, upload_id: str) -> Answer:
        return self._run("abort", target, "--upload-id", upload_id)


@dataclass(frozen=True)
class Api:
    """The Python API; *always* is how to reach the store."""

    always: Mapping[str, Any]

    def _call(self, function: Callable[..., Any], *args: Any, **given: Any) -> Answer:
        seen: list[obsup.Requested] = []

        def observe(event: obsup.Event) -> None:
            if isinstance(event, obsup.Requested):
                seen.append(event)

        try:
            value = function(*args, observer=observe, **{**self.always, **given})
        except ObsupError as exc:
            fields = {} if exc.refusal is None else _fields(exc.refusal, REFUSAL_FIELDS)
            return Answer(False, fields | _response(seen), str(exc), exc.exit_code)
        if isinstance(value, str):
            stored = seen[-1].stored
            values = {"uploadId": value} | (_fields(stored, RESULT_FIELDS) if stored is not None else {})
            return Answer(True, values | _response(seen))
        target = getattr(value, "target", None)
        named = {"bucket": target.bucket, "key": target.key} if target is not None else {}
        return Answer(True, named | _fields(value, RESULT_FIELDS) | _response(seen))

    def upload(self, source: Path, target: str, given: Given) -> Answer:
        return self._call(obsup.upload_file, source, target, **given.api)

    def initiate(self, target: str, given: Given) -> Answer:
        return self._call(obsup.initiate_upload, target, **given.api)

    def part(self, source: Path, target: str, number: int, upload_id: str, given: Given) -> Answer:
        chosen = {"upload_id": upload_id} | ({} if "part_size" in given.api else {"offset": 0})
        return self._call(obsup.upload_part, source, target, number, **chosen | dict(given.api))

    def complete(self, target: str, upload_id: str, etags: Mapping[int, str], given: Given) -> Answer:
        listed = {"etags": dict(etags)} if etags else {}
        return self._call(obsup.complete_upload, target, upload_id=upload_id, **listed | dict(given.api))

    def abort(self, target: str, upload_id: str) -> Answer:
        return self._call(obsup.abort_upload, target, upload_id=upload_id)


@dataclass(frozen=True)
class Facade:
    """``obsup.compat``."""

    client: compat.ObsClient

    def _call(self, method: str, target: str, *args: Any, **given: Any) -> Answer:
        bucket, _, key = target.partition("/")
        try:
            result = getattr(self.client, method)(bucket, key, *args, **given)
        except ObsupError as exc:
            return Answer(False, {}, str(exc), exc.exit_code)
        succeeded = result.status < 400
        body = dict(result.body or {}) if succeeded else {}
        values = {**body, **{name: value for name, value in result.items() if value is not None}}
        if "etag" in values:
            values["etag"] = values["etag"].strip('"')
        return Answer(succeeded, values)

    def upload(self, source: Path, target: str, given: Given) -> Answer:
        return self._call("uploadFile", target, str(source), **given.sdk)

    def initiate(self, target: str, given: Given) -> Answer:
        return self._call("initiateMultipartUpload", target, **given.sdk)

    def part(self, source: Path, target: str, number: int, upload_id: str, given: Given) -> Answer:
        return self._call("uploadPart", target, number, upload_id, str(source), True, **given.sdk)

    def complete(self, target: str, upload_id: str, etags: Mapping[int, str], given: Given) -> Answer:
        parts = [compat.CompletePart(number, etag) for number, etag in etags.items()]
        request = compat.CompleteMultipartUploadRequest(parts)
        return self._call("completeMultipartUpload", target, upload_id, request, **given.sdk)

    def abort(self, target: str, upload_id: str) -> Answer:
        return self._call("abortMultipartUpload", target, upload_id)


def three_ways(sandbox: Sandbox, inside: Inside, *, endpoint: str = "") -> dict[str, Way]:
    """Return the three ways to call *sandbox*, or another *endpoint* with its credentials.

    All of them use the protocol of OBS. The SDK would use another one for an IP address, so the host has a name.
    """
    endpoint = endpoint or f"http://localhost:{sandbox.port}"
    keys = (sandbox.access_key, sandbox.secret_key)
    return {
        "command line": CommandLine(inside, ("--endpoint", endpoint)),
        "Python": Api({"endpoint": endpoint, "credentials": Credentials(*keys)}),
        "facade": Facade(compat.ObsClient(*keys, server=endpoint)),
    }


def with_headers(answer: RelayAnswer, added: dict[str, str]) -> RelayAnswer:
    """Return *answer* with more headers."""
    return replace(answer, headers=(*answer.headers, *added.items()))


def _fields(value: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {vendor: getattr(value, name) for vendor, name in names.items() if hasattr(value, name)}


def _response(seen: list[obsup.Requested]) -> dict[str, Any]:
    """Return what only an observer receives: the headers, the indicator, and the document of the store."""
    answered = [one for one in seen if one.status is not None and one.operation != "HeadObject"]
    if not answered:
        return {}
    last = answered[-1]
    if (
        last.operation == "AbortMultipartUpload"
    ):  # of an upload that tried out the store after the part was sent
        last = next((one for one in answered if one.operation == "UploadPart"), last)
    return {
        "header": list(last.headers.items()),
        "indicator": last.headers.get("x-reserved-indicator"),
        "body": last.body.decode(),
        "reason": HTTPStatus(last.status or 0).phrase,
    }
