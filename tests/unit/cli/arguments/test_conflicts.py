"""No option is taken and then without effect: each is of use to what is asked for, or refused."""

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

# What each option of upload is given in these tests; a flag has nothing.
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
    "checkpoint": "c.json",
    "checkpoint_dir": "folder",
    "if_running": "wait",
    "receipt": "r.json",
    "expect_size": "5",
    "expect_md5": "d41d8cd98f00b204e9800998ecf8427e",
    "expect_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
# Of upload, for each kind of source, what is refused; all other options are of use to it.
REFUSED = {
    STREAM: "recursive from_list null include exclude links fail_fast failed_list verify_source on_change "
    "skip_identical presign",
    ONE: "null include exclude links fail_fast failed_list abort_on_failure presign",
    MANY: "links null abort_on_failure presign parts receipt expect_size expect_md5 expect_sha256",
}
# What every transfer of a kind heeds, whatever its source. A new option is put here, or above.
OF_USE = {
    STREAM: "parts abort_on_failure expect_size expect_md5 expect_sha256 receipt from_command",
    ONE: "parts expect_size expect_md5 expect_sha256 receipt verify_source on_change skip_identical recursive "
    "from_list from_command",
    MANY: "recursive from_list include exclude fail_fast failed_list verify_source on_change skip_identical "
    "from_command",
}
OF_ALL = """
    max_parts part_size jobs executor content_md5 digest limit_rate retry_for checkpoint checkpoint_dir no_checkpoint
    restart if_running max_time until token content_type content_encoding content_disposition content_language
    cache_control expires_header metadata tags acl grants storage_class website_redirect success_redirect expires_days
    no_overwrite headers sse sse_kms_key_id sse_c_key_file endpoint provider signature region addressing profile
    config_path ca_bundle no_verify_tls proxy connect_timeout stall_timeout progress as_json quiet verbose log_file
    dry_run
"""


def run(line: str, **environment: str) -> tuple[int, str]:
    """Run a command line that is refused before anything is done; return its exit code and what it says."""
    outcome = CliRunner().invoke(cli, shlex.split(line), env=environment)
    return outcome.exit_code, outcome.output


def option(command: str, name: str) -> str:
    """The option of *command* called *name*, with a value, as it is written."""
    (found,) = [one for one in cli.commands[command].params if one.name == name]
    assert isinstance(found, click.Option)
    return found.opts[-1] if found.is_flag else f"{found.opts[-1]} {shlex.quote(VALUES[name])}"


def test_every_option_of_upload_is_of_use_to_each_kind_of_source_or_refused() -> None:
    """A new option has to be thought of: for a stream, for one file, for many."""
    upload = cli.commands["upload"]
    assert isinstance(upload, Command)
    names = {one.name for one in upload.params if isinstance(one, click.Option) and one.expose_value}
    for kind, refused in REFUSED.items():
        told = [*refused.split(), *OF_USE[kind].split(), *OF_ALL.split()]
        assert sorted(told) == sorted(names), kind


@pytest.mark.parametrize(
    ("line", "name"),
    [
        *((kind, name) for kind, names in REFUSED.items() for name in names.split()),
        *((COMMAND, name) for name in REFUSED[STREAM].split()),
    ],
)
def test_what_is_of_no_use_is_refused(line: str, name: str) -> None:
    """Exit 2, with the option's name, before anything is sent."""
    words = f"{line} {option('upload', name)}{' -- true' if line == COMMAND else ''}"
    code, said = run(words)
    assert code == 2, said
    assert option("upload", name).split()[0] in said or "one of several" in said or "ends in /" in said


@pytest.mark.parametrize("name", ["parts", "part_size", "offset", "content_md5", "digest", "limit_rate"])
def test_a_copied_part_is_not_cut_or_proved_here(name: str) -> None:
    """The store copies it."""
    code, said = run(f"{COPY} {option('part', name)}")
    assert (code, option("part", name).split()[0] in said) == (2, True), said


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("init bucket/key --checkpoint c", "--checkpoint needs SOURCE"),
        ("init bucket/key --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("init bucket/key --restart", "--restart needs SOURCE"),
        ("init bucket/key --if-running wait", "--if-running needs SOURCE"),
        ("init bucket/key --skip-identical", "No such option"),
        ("part f bucket/key --part-number 1 --receipt r", "No such option"),
        ("complete bucket/key --upload-id u --verify-source", "--verify-source needs SOURCE"),
        ("complete bucket/key --upload-id u --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("abort bucket/key --upload-id u --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("parts bucket/key --upload-id u --checkpoint-dir c", "--checkpoint-dir needs SOURCE"),
        ("verify f bucket/key --receipt r --parts 5", "--parts is told by --receipt"),
        ("upload f b/k --checkpoint c --checkpoint-dir d", "--checkpoint and --checkpoint-dir exclude"),
        ("upload f b/k --no-checkpoint --checkpoint d", "--no-checkpoint and --checkpoint exclude"),
        ("upload f b/k --no-checkpoint --checkpoint-dir d", "--no-checkpoint and --checkpoint-dir exclude"),
        ("upload f b/k --no-verify-tls --ca-bundle c", "--no-verify-tls and --ca-bundle exclude"),
        ("upload f b/k -q -v", "--quiet and --verbose exclude each other"),
    ],
)
def test_what_contradicts_or_lacks_something_is_refused(line: str, named: str) -> None:
    """Neither of the two is dropped in silence."""
    code, said = run(line)
    assert (code, named in said) == (2, True), said
