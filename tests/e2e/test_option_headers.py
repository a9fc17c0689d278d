"""Every option with every dialect and every method to create an object: the received header, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from obsup.dialects.dialect import Dialect
from obsup.dialects.objects import parameters
from obsup.dialects.registry import DIALECTS
from obsup.options.table import HEADER_OPTIONS
from obsup.sandbox.request_records import RequestRecord
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.matrix import every_dialect

pytestmark = pytest.mark.slow

KEY = "dir/the key"
EVERY = ("initiate", "part", "copy", "complete", "put", "head")
PARAMETERS = {row.parameter: row for row in HEADER_OPTIONS}

# The options, and the rest of the header name if the dialect has only a prefix.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "content_type": ("--content-type", "text/x-own"),
    "content_encoding": ("--content-encoding", "identity"),
    "content_disposition": ("--content-disposition", "inline"),
    "content_language": ("--content-language", "de"),
    "cache_control": ("--cache-control", "max-age=60"),
    "expires_header": ("--expires-header", "Thu, 01 Dec 2033 16:00:00 GMT"),
    "metadata": ("--metadata", "colour=blue"),
    "tags": ("--tag", "owner=us"),
    "acl": ("--acl", "private"),
    "grants": ("--grant", "read=someone"),
    "storage_class": ("--storage-class", "WARM"),
    "website_redirect": ("--website-redirect", "/other"),
    "success_redirect": ("--success-redirect", "https://done.example/"),
    "expires_days": ("--expires-days", "3"),
    "sse": ("--sse", "kms"),
    "sse_kms_key_id": ("--sse", "kms", "--sse-kms-key-id", "key-1"),
    "no_overwrite": ("--no-overwrite",),
    "retention": ("--retention", "compliance"),
    "retain_until": ("--retain-until", "30d"),
    "legal_hold": ("--legal-hold",),
    "sse_c_key_file": ("--sse-c-key-file", "keyfile"),
    "content_md5": ("--content-md5",),
    "copy_source": ("--copy-source", "bucket/old"),
    "copy_range": ("--copy-range", "0-9"),
    "copy_source_sse_c_key_file": ("--copy-source-sse-c-key-file", "keyfile"),
}
HEADER_ENDINGS = {
    "metadata": "colour",
    "grants": "read",
    "sse_c_key_file": "key",
    "copy_source_sse_c_key_file": "key",
}

# The requests that have the header of an option. Sources: the vendors' pages of each operation.
DESCRIBING = {"initiate", "put"}
SENT_ON = dict.fromkeys(ARGUMENTS, DESCRIBING) | {
    "success_redirect": {"put"},
    "sse_c_key_file": {"initiate", "part", "copy", "put", "head"},
    "content_md5": {"part", "put"},
    "copy_source": {"copy"},
    "copy_range": {"copy"},
    "copy_source_sse_c_key_file": {"copy"},
}
SENT_ON_EXCEPTIONS = {
    ("no_overwrite", "s3"): {"put", "complete"},
    ("no_overwrite", "oss"): {"put", "initiate", "complete"},
    ("acl", "oss"): {"put", "complete"},
    # Source: Amazon S3 API reference, "CompleteMultipartUpload": required if the upload has checksums.
    ("sse_c_key_file", "s3"): SENT_ON["sse_c_key_file"] | {"complete"},
}


def operations_of(name: str, dialect: Dialect) -> set[str]:
    return SENT_ON_EXCEPTIONS.get((name, dialect.provider), SENT_ON[name])


# For each method: its requests, and its commands with the options that each of them accepts.
OF_INIT = {"acl", "grants", "sse", "sse_kms_key_id", "no_overwrite", "sse_c_key_file"} | {
    name for name in ARGUMENTS if SENT_ON[name] & DESCRIBING
} - {"content_md5"}
OF_COMPLETE = {"acl", "no_overwrite", "sse_c_key_file"}
OF_PART = {"sse_c_key_file", "content_md5"}
OF_COPY = {"sse_c_key_file", "copy_source", "copy_range", "copy_source_sse_c_key_file"}
OF_UPLOAD = OF_INIT | {"content_md5"}
METHODS: Mapping[str, tuple[set[str], list[tuple[str, set[str]]]]] = {
    "one request": ({"put"}, [("upload small", OF_UPLOAD)]),
    "parts": ({"initiate", "part", "complete"}, [("upload big --parts 2", OF_UPLOAD)]),
    "stream": (
        {"initiate", "part", "complete"},
        [("upload --from-command {target} -- cat big", OF_UPLOAD)],
    ),
    "steps": (
        {"initiate", "part", "complete"},
        [
            ("init {target}", OF_INIT),
            ("part big {target} --upload-id {id} --parts 2 --part-number 1", OF_PART),
            ("part big {target} --upload-id {id} --parts 2 --part-number 2", OF_PART),
            ("complete {target} --upload-id {id}", OF_COMPLETE),
        ],
    ),
    "steps with a checkpoint": (
        {"initiate", "part", "complete"},
        [
            ("init big {target} --parts 2", OF_INIT),
            ("part big {target} --part-number 1", OF_PART),
            ("upload big {target} --parts 2", OF_UPLOAD),
        ],
    ),
    "copy": (
        {"initiate", "copy", "complete"},
        [
            ("init {target}", OF_INIT),
            ("part {target} --upload-id {id} --part-number 1", OF_COPY),
            ("complete {target} --upload-id {id}", OF_COMPLETE),
        ],
    ),
}


@pytest.fixture
def store(name: str) -> Iterator[Sandbox]:
    """A sandbox with the rules of the dialect's vendor."""
    aws_vendor = "obs" if name.startswith("obs") else "s3"
    with Sandbox(aws_vendor=aws_vendor, faults=["object-lock=0"]) as running:
        yield running


@pytest.fixture
def run(
    name: str, store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, set[str]], int]:
    """Return a function that runs a command line with options and keeps its upload id for the next one."""
    (tmp_path / "small").write_bytes(b"x" * 100)
    (tmp_path / "big").write_bytes(bytes(2 * max(9 * 2**20, DIALECTS[name].limits.min_part)))
    (tmp_path / "keyfile").write_bytes(bytes(32))
    (tmp_path / "keyfile").chmod(0o600)
    inside, dialect = Inside(store, tmp_path, monkeypatch), DIALECTS[name]
    values = {"id": "", "bucket": "bucket", "old": "bucket/old"}

    def run(command: str, options: set[str]) -> int:
        target = f"bucket/{KEY}"
        arguments = [argument.format(target=target, **values) for argument in command.split()]
        if "{" not in command:
            arguments.append(target)
        end = arguments.index("--") if "--" in arguments else len(arguments)
        dialect_options = [
            "--provider",
            dialect.provider,
            "--signature",
            dialect.signature,
            "--region",
            "eu-1",
        ]
        dialect_options += [argument for name in ARGUMENTS if name in options for argument in ARGUMENTS[name]]
        outcome = inside.run(*arguments[:end], *dialect_options, *arguments[end:])
        if arguments[0] == "init":
            values["id"] = outcome.out.strip()
        return outcome.code

    return run


def header_of(name: str, dialect: Dialect) -> str | None:
    header = parameters.header_of(PARAMETERS[name], dialect.headers)
    return header and (header + HEADER_ENDINGS[name] if name in HEADER_ENDINGS else header).lower()


def has_effect(name: str, method: str, dialect: Dialect) -> bool:
    """Return whether a request of the method has the header of the option."""
    requests, commands = METHODS[method]
    if header_of(name, dialect) is None or not any(name in accepted for _, accepted in commands):
        return False
    return bool(operations_of(name, dialect) & requests)


def is_lost_at_complete(name: str, command: str, dialect: Dialect) -> bool:
    is_kept = name == "sse_c_key_file"  # each command has it
    return command == "init {target}" and "complete" in operations_of(name, dialect) and not is_kept


def accepted_by(command: str, accepted: set[str], options: set[str], dialect: Dialect) -> set[str]:
    """Return the options that a command of a method accepts."""
    if command.startswith("complete") and not dialect.acl_on_complete:
        accepted = accepted - {"acl"}
    return {name for name in accepted & options if not is_lost_at_complete(name, command, dialect)}


def without_trials(requests: Sequence[RequestRecord]) -> list[RequestRecord]:
    """Return the requests of EVERY operation without the uploads that only try out encryption and are aborted."""
    kept: list[RequestRecord] = []
    for request in requests:
        if request.operation == "abort":
            while kept.pop().operation != "initiate":
                pass
        elif request.operation in EVERY:
            kept.append(request)
    return kept


@pytest.mark.parametrize("encrypting", ["sse_kms_key_id", "sse_c_key_file"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", every_dialect())
def test_header_of_every_option_is_sent_on_its_requests_only(
    name: str, method: str, encrypting: str, store: Sandbox, run: Callable[[str, set[str]], int]
) -> None:
    """For example, object headers are never sent with a part."""
    dialect = DIALECTS[name]
    options = {option for option in ARGUMENTS if has_effect(option, method, dialect)}
    options -= {"sse", "sse_kms_key_id", "sse_c_key_file"} - {
        encrypting,
        "sse" if "kms" in encrypting else "",
    }
    has_key = {"sse_c_key_file"} if header_of("sse_c_key_file", dialect) is not None else set()
    if method == "copy":
        assert run("upload small {old}", has_key) == 0
    first_request = len(store.requests)
    for command, accepted in METHODS[method][1]:
        assert run(command, accepted_by(command, accepted, options, dialect)) == 0, command
    requests = without_trials(store.requests[first_request:])
    assert METHODS[method][0] <= {request.operation for request in requests}
    for option in options:
        header = header_of(option, dialect)
        for request in requests:
            is_lost = request.operation == "initiate" and is_lost_at_complete(
                option, METHODS[method][1][0][0], dialect
            )
            expected = request.operation in operations_of(option, dialect) and not is_lost
            # A request for what the store has asks no cache on the way, whatever the options.
            sent = {name.lower() for name, text in request.headers if text != "no-cache"}
            assert (header in sent) == expected, (option, request.operation)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", every_dialect())
def test_option_without_effect_is_rejected_and_nothing_is_sent(
    name: str, method: str, store: Sandbox, run: Callable[[str, set[str]], int]
) -> None:
    """Options without a header, options that no request of the method sends, and options of Complete."""
    dialect = DIALECTS[name]
    command, accepted = METHODS[method][1][0]
    rejected = {
        option
        for option in accepted
        if not has_effect(option, method, dialect) or is_lost_at_complete(option, command, dialect)
    }
    for option in rejected:
        assert run(command, {option}) == 2, option
    assert store.requests == []
    if dialect.name == "obs":
        assert "success_redirect" in rejected or method == "one request"


@pytest.mark.parametrize(
    "extra", ["--content-md5", "--parts 2", "--part-size 9M", "--offset 0", "--digest md5", "--limit-rate 1M"]
)
@pytest.mark.parametrize("name", ["obs"])
def test_options_about_sent_bytes_are_rejected_for_a_copy(
    name: str, extra: str, store: Sandbox, run: Callable[[str, set[str]], int]
) -> None:
    """The store copies the part, so nothing is sent."""
    command = "part {target} --upload-id x --part-number 1 --copy-source bucket/old"
    assert run(f"{command} {extra}", set()) == 2
    assert store.requests == []


REQUEST_HEADERS = [
    (name, header) for name, dialect in DIALECTS.items() for header in sorted(dialect.request_headers)
]


@pytest.mark.parametrize(("name", "header"), REQUEST_HEADERS)
def test_request_header_is_sent_on_every_request(
    name: str, header: str, store: Sandbox, run: Callable[[str, set[str]], int]
) -> None:
    """The payer header is required on every request; other headers are sent once, with the object headers."""
    value = "1048576" if header.endswith("limit") else "requester"
    extra = f"--header {header.title()}:{value} --header X-Other:1"
    assert run(f"upload big --parts 2 {extra}", set()) == 0
    assert {"initiate", "part", "complete"} <= {request.operation for request in store.requests}
    for request in store.requests:
        sent = {key.lower(): text for key, text in request.headers}
        assert sent.get(header) == value, request.operation
        assert ("x-other" in sent) == (request.operation == "initiate")
    first_request = len(store.requests)
    assert run(f"upload small {extra}", set()) == 0
    assert [
        header in {key.lower() for key, _ in request.headers} for request in store.requests[first_request:]
    ] == [True]


OTHER_COMMANDS = (
    "part big {target} --upload-id {id} --parts 2 --part-number 1",
    "parts {target} --upload-id {id}",
    "uploads {bucket}",
    "part big {target} --upload-id {id} --parts 2 --part-number 2",
    "complete {target} --upload-id {id}",
    "verify big {target}",
    "abort {target} --upload-id {id}",
    "gc {bucket} --older-than 1d",
    "doctor {bucket}",
)


@pytest.mark.parametrize(("name", "header"), REQUEST_HEADERS)
def test_request_header_is_sent_by_every_command(
    name: str, header: str, store: Sandbox, run: Callable[[str, set[str]], int]
) -> None:
    """A bucket with the requester-pays setting rejects requests without it."""
    value = "1048576" if header.endswith("limit") else "requester"
    assert run("init {target}", set()) == 0
    for command in OTHER_COMMANDS:
        first_request = len(store.requests)
        assert run(f"{command} --header {header.title()}:{value}", set()) == 0, command
        requests = store.requests[first_request:]
        assert requests, command
        for request in requests:
            assert (header, value) in {(key.lower(), text) for key, text in request.headers}, (
                command,
                request.operation,
            )


@pytest.mark.parametrize("command", OTHER_COMMANDS)
@pytest.mark.parametrize("name", ["obs"])
def test_any_other_header_is_sent_with_every_request_of_the_command(
    name: str,
    command: str,
    store: Sandbox,
    run: Callable[[str, set[str]], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the command line it is meant for this command; in the environment, for commands that create an object."""
    for header in (
        "X-Obs-Storage-Class:COLD",
        "x-obs-meta-a:b",
        "Cache-Control:no-cache",
        "x-obs-grant-read:id=1",
    ):
        assert run(f"{command} --header {header}", set()) == 2
    assert store.requests == []
    assert run("init {target}", set()) == 0
    first_request = len(store.requests)
    run(f"{command} --header X-Other:1", set())
    assert store.requests[first_request:]
    assert {dict(request.headers).get("X-Other") for request in store.requests[first_request:]} == {"1"}
    monkeypatch.setenv("OBSUP_HEADER", "X-Other: 1\nX-Obs-Request-Payer: requester")
    first_request = len(store.requests)
    run(command, set())
    for request in store.requests[first_request:]:
        sent = {key.lower() for key, _ in request.headers}
        assert ("x-obs-request-payer" in sent, "x-other" in sent) == (True, False), request.operation
