"""No option is accepted and then without effect: each one applies to what is asked for, or is refused."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from obsup.cli.arguments.command import Command
from obsup.cli.main import cli

STREAM, COMMAND = "upload - bucket/key", "upload --from-command bucket/key"
ONE, MANY = "upload bigfile bucket/key", "upload one two bucket/folder/"
COPY = "part bucket/key --upload-id u --part-number 1 --copy-source bucket/old"

# The values of the options in these tests; a flag has none.
VALUES = {
    "from_list": "list",
    "include": "*.iso",
    "exclude": "*.tmp",
    "links": "skip",
    "failed_list": "failed",
    "on_change": "resend",
    "parts": "5",
    "part_size": "5M",
    "offset": "0",
    "digest": "md5",
    "limit_rate": "1M",
    "shard": "1/2",
    "checkpoint": "c.json",
    "checkpoint_dir": "folder",
    "if_running": "wait",
    "receipt": "r.json",
    "expect_size": "5",
    "expect_md5": "d41d8cd98f00b204e9800998ecf8427e",
    "expect_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
# The options of upload that each kind of source refuses; all others apply to it.
REFUSED = {
    STREAM: "recursive from_list null include exclude links fail_fast fail_if_empty failed_list shard verify_source "
    "on_change skip_identical presign",
    ONE: "null include exclude links fail_fast fail_if_empty failed_list shard abort_on_failure presign",
    MANY: "links null abort_on_failure presign parts receipt expect_size expect_md5 expect_sha256",
}
# The options that apply to each kind of source, then to all. A new option must be added here, or above.
APPLICABLE = {
    STREAM: "parts abort_on_failure expect_size expect_md5 expect_sha256 receipt from_command",
    ONE: "parts expect_size expect_md5 expect_sha256 receipt verify_source on_change skip_identical recursive "
    "from_list from_command",
    MANY: "recursive from_list include exclude fail_fast fail_if_empty failed_list shard verify_source on_change "
    "skip_identical from_command",
}
ALWAYS_APPLICABLE = """
    max_parts part_size jobs executor content_md5 digest limit_rate retry_for checkpoint checkpoint_dir no_checkpoint
    restart if_running max_time until token content_type content_encoding content_disposition content_language
    cache_control expires_header metadata tags acl grants storage_class website_redirect success_redirect expires_days
    no_overwrite strict_options headers retention retain_until legal_hold sse sse_kms_key_id
    sse_c_key_file endpoint provider account signature region addressing profile
    config_path ca_bundle client_cert client_key no_verify_tls proxy connect_timeout stall_timeout
    metrics progress progress_interval as_json quiet verbose log_file
    dry_run
"""


def run(line: str, **environment: str) -> tuple[int, str]:
    """Run a command line that is refused before anything is sent; return its exit code and its output."""
    outcome = CliRunner().invoke(cli, shlex.split(line), env=environment)
    return outcome.exit_code, outcome.output


def option(command: str, name: str) -> str:
    """Return the option *name* of *command*, with a value, as it is written on the command line."""
    (found,) = [one for one in cli.commands[command].params if one.name == name]
    assert isinstance(found, click.Option)
    return found.opts[-1] if found.is_flag else f"{found.opts[-1]} {shlex.quote(VALUES[name])}"


def test_every_option_of_upload_applies_to_each_kind_of_source_or_is_refused() -> None:
    """A new option must be assigned for a stream, for one file, and for many files."""
    upload = cli.commands["upload"]
    assert isinstance(upload, Command)
    names = {one.name for one in upload.params if isinstance(one, click.Option) and one.expose_value}
    for kind, refused in REFUSED.items():
        assigned = [*refused.split(), *APPLICABLE[kind].split(), *ALWAYS_APPLICABLE.split()]
        assert sorted(assigned) == sorted(names), kind


@pytest.mark.parametrize(
    ("line", "name"),
    [
        *((kind, name) for kind, names in REFUSED.items() for name in names.split()),
        *((COMMAND, name) for name in REFUSED[STREAM].split()),
    ],
)
def test_option_without_effect_is_refused(line: str, name: str) -> None:
    """Exit 2, with the option's name, before anything is sent."""
    words = f"{line} {option('upload', name)}{' -- true' if line == COMMAND else ''}"
    code, text = run(words)
    assert code == 2, text
    assert option("upload", name).split()[0] in text or "one of several" in text or "ends in /" in text


@pytest.mark.parametrize("name", ["parts", "part_size", "offset", "content_md5", "digest", "limit_rate"])
def test_options_about_sent_bytes_are_refused_for_a_copied_part(name: str) -> None:
    """The store copies the part, so nothing is sent."""
    code, text = run(f"{COPY} {option('part', name)}")
    assert (code, option("part", name).split()[0] in text) == (2, True), text


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("init bucket/key --checkpoint c", "--checkpoint needs SOURCE"),
        ("init bucket/key --part-size 5M", "--part-size needs SOURCE"),
        ("init bucket/key --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("init bucket/key --restart", "--restart needs SOURCE"),
        ("init bucket/key --if-running wait", "--if-running needs SOURCE"),
        ("init bucket/key --skip-identical", "No such option"),
        ("part f bucket/key --part-number 1 --receipt r", "No such option"),
        ("complete bucket/key --upload-id u --verify-source", "--verify-source needs SOURCE"),
        ("complete bucket/key --upload-id u --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("abort bucket/key --upload-id u --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("parts bucket/key --upload-id u --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("verify f bucket/key --receipt r --parts 5", "--parts is recorded in --receipt"),
        ("upload f b/k --parts 5 --part-size 1M", "--parts and --part-size exclude each other"),
        ("upload f b/k --checkpoint c --checkpoint-dir d", "--checkpoint and --checkpoint-dir exclude"),
        ("upload f b/k --no-checkpoint --checkpoint d", "--checkpoint and --no-checkpoint exclude"),
        ("upload f b/k --no-checkpoint --checkpoint-dir d", "--checkpoint-dir and --no-checkpoint exclude"),
        ("upload f b/k --sse kms --sse-c-key-file k", "--sse and --sse-c-key-file exclude each other"),
        ("upload f b/k --no-verify-tls --ca-bundle c", "--ca-bundle and --no-verify-tls exclude"),
        ("upload f b/k -q -v", "--quiet and --verbose exclude each other"),
    ],
)
def test_contradictory_or_incomplete_options_are_refused(line: str, named: str) -> None:
    """Neither option is ignored silently."""
    code, text = run(line)
    assert (code, named in text) == (2, True), text


def test_contradictory_variables_are_refused_by_name() -> None:
    """The message names the environment variables."""
    code, text = run("upload f b/k", OBSUP_PARTS="5", OBSUP_PART_SIZE="1M")
    assert (code, "OBSUP_PARTS and OBSUP_PART_SIZE exclude each other" in text) == (2, True), text
