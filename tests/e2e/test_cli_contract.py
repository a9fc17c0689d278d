"""The statements of the command-line contract that no other test checks."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.cli.main import cli
from obsup.exit_status import EXIT_STATUSES
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


@pytest.mark.parametrize(("scheme", "dialect"), [("obs", "obs"), ("s3", "aws4"), ("oss", "oss4")])
def test_scheme_of_target_selects_the_provider(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, scheme: str, dialect: str
) -> None:
    """It also selects the signature."""
    make_file(1000)
    outcome = shell.run("upload", "bigfile", f"{scheme}://bucket/key", "--region", "eu-1", "--json")
    assert (outcome.code, outcome.json["provider"]) == (0, scheme), outcome.err
    assert {record.dialect for record in sandbox.requests} == {dialect}


@pytest.mark.parametrize(
    ("written", "size"),
    [("204800", 204_800), ("200K", 204_800), ("1M", 2**20), ("1MB", 10**6), ("1MiB", 2**20)],
)
def test_sizes_with_one_letter_are_binary(shell: Shell, make_file: MakeFile, written: str, size: int) -> None:
    """The vendors count like this; MB is decimal."""
    make_file(3_000_000)
    arguments = ("--dry-run", "--part-size", written, "--json")
    assert shell.run("upload", "bigfile", "bucket/key", *arguments).json["partSize"] == size


def test_options_may_precede_or_follow_the_arguments(shell: Shell, make_file: MakeFile) -> None:
    """Every option can follow its command, and -- ends options."""
    make_file(600_000)
    make_file(600_000, "--odd")
    for arguments in (
        ("--parts", "3", "--json", "bigfile", "bucket/key"),
        ("bigfile", "--parts", "3", "bucket/key", "--json"),
        ("bigfile", "bucket/key", "--json", "--parts", "3"),
        ("--parts=3", "--json", "--", "--odd", "bucket/odd"),
    ):
        assert shell.run("upload", *arguments).json["parts"] == 3


def test_stdout_contains_only_the_result(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The upload id; the ETag of the part; one part or upload per line; the ETag of the object; otherwise nothing."""
    make_file(600_000)
    upload_id = shell.run("init", "bigfile", "bucket/key", "--parts", "3").out
    assert re.fullmatch(r"\S+\n", upload_id)
    etags = [
        shell.run("part", "bigfile", "bucket/key", "--part-number", str(number)).out for number in (1, 2, 3)
    ]
    assert all(re.fullmatch(r"[0-9a-f]{32}\n", etag) for etag in etags)
    rows = shell.run("parts", "bigfile", "bucket/key").out
    expected = [rf"{at}\t200000\t{etag.strip()}\t{TIME}\n" for at, etag in enumerate(etags, start=1)]
    assert re.fullmatch("".join(expected), rows)
    assert re.fullmatch(rf"key\t{upload_id.strip()}\t{TIME}\n", shell.run("uploads", "bucket").out)
    before = len(sandbox.requests)
    assert shell.run("status", "bigfile", "bucket/key").out
    assert len(sandbox.requests) == before
    assert re.fullmatch(r"[0-9a-f]{32}-3\n", shell.run("complete", "bigfile", "bucket/key").out)
    assert shell.run("verify", "bigfile", "bucket/key").out == ""
    stale = shell.run("init", "bucket/stale").out.strip()
    gone = shell.run("gc", "bucket", "--older-than", "0s").out
    assert re.fullmatch(rf"stale\t{stale}\t{TIME}\n", gone)
    shell.run("init", "bigfile", "bucket/other")
    for _ in range(2):  # a second abort also succeeds
        outcome = shell.run("abort", "bigfile", "bucket/other")
        assert (outcome.code, outcome.out) == (0, "")


def test_failure_as_json_counts_the_sent_parts(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """It has every documented key, and the resume command works."""
    make_file(600_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=always")
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "3", "-j", "1", "--json")
    outcome = shell.run(*arguments)
    failure = outcome.json
    assert outcome.code == failure["exitCode"] == 77
    assert (failure["format"], failure["command"], failure["status"]) == (1, "upload", "incomplete")
    assert (failure["reason"], failure["retryable"]) == ("credentials", False)
    assert (failure["parts"], failure["sentParts"], failure["sentBytes"]) == (3, 2, 400_000)
    assert failure["seconds"] > 0
    assert "AccessDenied" in failure["message"]
    assert failure["resumeCommand"] == "obsup upload bigfile bucket/key --parts 3 -j 1 --json"
    sandbox.clear_faults()
    assert shell.run(*arguments).json["sentParts"] == 1


def test_nearest_setting_wins(shell: Shell, make_file: MakeFile, home: Path) -> None:
    """Option, environment, profile, [defaults], built-in."""
    make_file(3_000_000)
    config = home / ".config" / "obsup" / "config.toml"
    config.parent.mkdir(parents=True)

    def part_size(*arguments: str, **environment: str) -> int:
        outcome = shell.run(
            "upload", "bigfile", "bucket/key", "--dry-run", "--json", *arguments, **environment
        )
        part_size_bytes: int = outcome.json["partSize"]
        return part_size_bytes

    assert part_size() == 9 * 2**20
    config.write_text('[defaults]\npart_size = "900K"\n[profiles.p]\npart_size = "800K"\n')
    assert part_size() == 900 * 1024
    assert part_size("--profile", "p") == 800 * 1024
    assert part_size("--profile", "p", OBSUP_PART_SIZE="700K") == 700 * 1024
    assert part_size("--profile", "p", "--part-size", "600K", OBSUP_PART_SIZE="700K") == 600 * 1024


def test_quiet_prints_errors_only(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """No notes and no progress; the three lines of a failure are printed."""
    make_file(600_000)
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "3", "-q")
    torn = '{"format": 1, "target": '
    (shell.folder / "c.json").write_text(torn)
    noted = shell.run(*arguments[:-1], "--checkpoint", "c.json")
    assert "Note:" in noted.err
    (shell.folder / "c.json").write_text(torn)
    assert shell.run(*arguments, "--checkpoint", "c.json").err == ""
    sandbox.add_fault("error=403:AccessDenied,op=any,times=always")
    assert len(shell.run(*arguments).err.splitlines()) == 3


def test_exit_codes_are_those_of_the_contract() -> None:
    """Scripts depend on them."""
    assert [row.codes for row in EXIT_STATUSES] == [
        *("0", "1", "2", "65", "66", "69", "70", "73", "74", "75", "76", "77", "78"),
        "129, 130, 143",
    ]


def test_every_command_of_the_contract_exists() -> None:
    """None is removed."""
    assert set(cli.commands) >= {
        *("upload", "init", "part", "complete", "abort", "parts", "uploads", "gc"),
        *("status", "verify", "doctor", "sandbox"),
    }


CONTRACT_OPTIONS = """
    --parts --part-size -j --jobs --executor --presign --checkpoint --no-checkpoint --restart --verify-source
    --content-md5 --digest --receipt --on-change --limit-rate --max-time --until --retry-for --if-running
    --skip-identical --no-overwrite --from-command --expect-size --expect-md5 --expect-sha256 --dry-run --progress
    --json -q -v --log-file --content-type --content-encoding --content-disposition --content-language --cache-control
    --expires-header --metadata --tag --acl --grant --storage-class --website-redirect --success-redirect
    --expires-days --header --retention --retain-until --legal-hold --sse
    --sse-kms-key-id --sse-c-key-file --endpoint --provider --signature --region
    --addressing --profile --config --ca-bundle --no-verify-tls --proxy --connect-timeout --stall-timeout
"""


def test_every_option_of_the_contract_exists() -> None:
    """None is renamed."""
    spellings = {name for option in cli.commands["upload"].params for name in option.opts}
    assert set(CONTRACT_OPTIONS.split()) - spellings == set()


class Proxy:
    """A proxy for plain HTTP that forwards every request to *port* and records the request lines."""

    def __init__(self, port: int) -> None:
        self.lines: list[bytes] = []
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            while line:
                self.lines.append(line)
                headers = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)^content-length: *(\d+)", headers, re.MULTILINE)
                body = await reader.readexactly(int(length[1])) if length else b""
                reader_of_store, writer_of_store = await asyncio.open_connection("127.0.0.1", self._port)
                writer_of_store.write(line + re.sub(rb"(?i)connection: [^\r]*\r\n", b"", headers[:-2]))
                writer_of_store.write(b"Connection: close\r\n\r\n" + body)
                response = await reader_of_store.read()
                writer_of_store.close()
                writer.write(response)
                await writer.drain()
                break
        finally:
            writer.close()

    def close(self) -> None:
        """Stop the proxy."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        self._loop.run_until_complete(self._server.wait_closed())
        self._loop.close()


@pytest.fixture
def proxy(sandbox: Sandbox) -> Iterator[Proxy]:
    """A proxy that forwards to the sandbox."""
    made = Proxy(int(sandbox.endpoint.rpartition(":")[2]))
    yield made
    made.close()


@pytest.mark.parametrize("source", ["--proxy", "OBSUP_PROXY", "HTTP_PROXY"])
def test_all_requests_go_through_the_proxy(
    shell: Shell, make_file: MakeFile, proxy: Proxy, source: str
) -> None:
    """The option, its variable, or the common variable names it."""
    make_file(600_000)
    url = f"http://127.0.0.1:{proxy.port}"
    store = "http://store.example:9000"
    arguments = (
        "upload",
        "bigfile",
        "bucket/key",
        "--parts",
        "3",
        "--endpoint",
        store,
        "--addressing",
        "path",
    )
    if source == "--proxy":
        outcome = shell.run(*arguments, "--json", "--proxy", url)
    else:
        outcome = shell.run(*arguments, "--json", **{source: url, source.lower(): url})
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["verified"] == "etag"
    assert len(proxy.lines) == 6
    assert all(line.split()[1].startswith(store.encode()) for line in proxy.lines)
