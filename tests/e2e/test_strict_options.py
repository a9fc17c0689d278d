"""Object options that the store drops: a note if that is seen anyway, exit 69 with --strict-options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.api import upload_file
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import Refused
from obsup.model import Credentials, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations, make_files
from tests.support.in_process import Inside
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
COMMON = (
    "--content-type",
    "text/x-own",
    "--cache-control",
    "no-cache",
    "--metadata",
    "colour=Blue",
    "--storage-class",
    "COLD",
)
OF_VENDOR = {
    "obs": ("--tag", "owner=us", "--website-redirect", "/other", "--expires-days", "3"),
    "s3": ("--tag", "owner=us", "--tag", "for=them", "--website-redirect", "/other"),
    "oss": ("--tag", "owner=us"),
}
PROVIDERS = mostly_slow(OF_VENDOR, "obs")
WAYS = {
    "one request": ("upload", "source", "bucket/key"),
    "parts": ("upload", "source", "bucket/key", "--part-size", "5M"),
    "stream": ("upload", "--from-command", "bucket/key", "--part-size", "5M", "--", "cat", "source"),
    "short stream": ("upload", "--from-command", "bucket/key", "--", "head", "-c", "9", "source"),
    "batch": ("upload", "-r", "tree/", "bucket/key/"),
}


@pytest.fixture
def inside(sandbox: Sandbox, tmp_path: Path, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Runs commands in a folder with a source and a tree of three small files."""
    (tmp_path / "tree").mkdir()
    make_file(6 * 1024 * 1024, "source")
    for number in range(3):
        make_file(1000 + number, f"tree/{number}")
    monkeypatch.setenv("OBSUP_REGION", "here")
    return Inside(sandbox, tmp_path, monkeypatch)


def command_for(way: str, *options: str) -> tuple[str, ...]:
    """Return the command of *way* with *options* after its target."""
    words = WAYS[way]
    at = next(n for n, one in enumerate(words) if one.startswith("bucket/")) + 1
    return (*words[:at], *options, *words[at:])


def names(options: tuple[str, ...]) -> list[str]:
    """Return the options without their values, each once."""
    return list(dict.fromkeys(one for one in options if one.startswith("--")))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_options_that_the_store_keeps_are_confirmed(inside: Inside, provider: str, way: str) -> None:
    """No vendor's way to show an option is taken for a missing one."""
    options = (*COMMON, *OF_VENDOR[provider], "--provider", provider, "--strict-options")
    outcome = inside.run(*command_for(way, *options))
    # OBS redirects only objects in the root of a bucket, which those of the batch are not.
    note = (
        "Note:  --website-redirect has no effect: the store redirects only objects in the root of a bucket.\n"
    )
    assert (outcome.code, outcome.err) == (0, note if (way, provider) == ("batch", "obs") else "")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_options_that_the_store_drops_are_an_error(
    inside: Inside, sandbox: Sandbox, provider: str, way: str
) -> None:
    """Exit 69, with the name of each option; the object is in place, and no upload is left."""
    sandbox.add_fault("ignore-options")
    options = (*COMMON, *OF_VENDOR[provider])
    outcome = inside.run(*command_for(way, *options, "--provider", provider, "--strict-options"))
    assert outcome.code == 69
    for name in names(options):
        assert name in outcome.err
    assert count_operations(sandbox)["put"] + count_operations(sandbox)["complete"] >= 1
    assert sandbox.uploads() == []


def test_a_head_that_is_made_anyway_leads_to_notes(inside: Inside, sandbox: Sandbox) -> None:
    """One note per option, exit 0."""
    sandbox.add_fault("ignore-options")
    sandbox.add_fault("empty-etag,times=always")
    outcome = inside.run(*command_for("parts", *COMMON, "--provider", "s3"))
    assert outcome.code == 0
    for name in names(COMMON):
        assert outcome.err.count(f"does not confirm {name}") == 1


def test_without_a_head_nothing_is_compared(inside: Inside, sandbox: Sandbox) -> None:
    """No request is added."""
    sandbox.add_fault("ignore-options")
    outcome = inside.run(*command_for("one request", *COMMON, "--provider", "s3", "--part-size", "9M"))
    assert (outcome.code, outcome.err) == (0, "")
    assert count_operations(sandbox)["head"] == 0


def test_a_file_is_skipped_only_if_all_options_are_shown(inside: Inside, sandbox: Sandbox) -> None:
    """--skip-identical: an existing object may have another ACL, so with --strict-options the file is sent."""
    command = ("upload", "source", "bucket/key", "--skip-identical", "--strict-options", "--metadata", "k=v")
    assert (inside.run(*command).code, inside.run(*command).code) == (0, 0)
    sent = count_operations(sandbox)["put"]
    outcome = inside.run(*command, "--acl", "private")
    assert (outcome.code, count_operations(sandbox)["put"]) == (0, sent + 1)
    assert "--acl was not compared" in outcome.err


def test_an_acl_is_named_as_not_compared(inside: Inside) -> None:
    """No store returns it with HeadObject."""
    outcome = inside.run("upload", "source", "bucket/key", "--acl", "private", "--strict-options")
    assert outcome.code == 0
    assert "--acl was not compared" in outcome.err


def test_an_object_header_given_by_hand(inside: Inside, sandbox: Sandbox) -> None:
    """--header counts as well if it describes the object."""
    sandbox.add_fault("ignore-options")
    header = ("--header", "Cache-Control: no-cache", "--header", "x-obs-request-payer: requester")
    outcome = inside.run("upload", "source", "bucket/key", *header, "--strict-options")
    assert outcome.code == 69
    assert "--cache-control" in outcome.err


def test_the_error_says_that_the_object_is_complete(inside: Inside, sandbox: Sandbox) -> None:
    """Nothing is aborted or deleted, no checkpoint stays, and the next step works."""
    sandbox.add_fault("ignore-options")
    outcome = inside.run(*command_for("parts", *COMMON, "--provider", "s3", "--strict-options"))
    assert outcome.code == 69
    assert "is complete and verified, but HeadObject does not show" in outcome.err
    assert (count_operations(sandbox)["abort"], count_operations(sandbox)["delete"]) == (0, 0)
    assert sandbox.object_path("bucket", "key").exists()
    assert not list(Path.cwd().glob("*.obsup.json"))
    step = outcome.err.partition("Next:")[2]
    assert "--metadata" in step
    assert "--strict-options" not in step.partition("run: ")[2]


@pytest.mark.parametrize("faults", [(), ("error=503:SlowDown,op=head,times=3",)])
def test_a_stream_that_is_complete_is_never_aborted(
    inside: Inside, sandbox: Sandbox, faults: tuple[str, ...]
) -> None:
    """--abort-on-failure: its parts belong to the object. HeadObject may fail, too."""
    for fault in ("ignore-options", *faults):
        sandbox.add_fault(fault)
    options = ("--metadata", "k=v", "--strict-options", "--abort-on-failure", "--retry-for", "0s")
    outcome = inside.run(*command_for("stream", *options))
    assert outcome.code == (75 if faults else 69)
    assert count_operations(sandbox)["abort"] == 0


def test_a_head_that_fails_is_repeated_by_the_next_run(inside: Inside, sandbox: Sandbox) -> None:
    """Nothing is sent again."""
    sandbox.add_fault("error=503:SlowDown,op=head,times=1")
    command = command_for("parts", "--metadata", "k=v", "--strict-options", "--retry-for", "0s")
    assert inside.run(*command).code == 75
    sent = count_operations(sandbox)["part"]
    assert (inside.run(*command).code, count_operations(sandbox)["part"]) == (0, sent)


@pytest.mark.parametrize("is_kept", [True, False])
def test_complete_compares_the_options_of_the_checkpoint(
    inside: Inside, sandbox: Sandbox, is_kept: bool
) -> None:
    """What init was asked for, complete confirms; also if the upload was completed before."""
    if not is_kept:
        sandbox.add_fault("ignore-options")
    assert inside.run("init", "source", "bucket/key", "--part-size", "9M", *COMMON).code == 0
    assert inside.run("part", "source", "bucket/key", "--part-number", "1").code == 0
    sandbox.add_fault("error=503:SlowDown,op=head,times=1")
    command = ("complete", "source", "bucket/key", "--strict-options")
    assert inside.run(*command, "--retry-for", "0s").code == 75
    outcome = inside.run(*command)
    assert outcome.code == (0 if is_kept else 69)
    assert ("--metadata" in outcome.err) == (not is_kept)


def test_complete_without_a_checkpoint_has_nothing_to_compare(inside: Inside) -> None:
    """A note tells that."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    assert (
        inside.run("part", "source", "bucket/key", "--part-number", "1", "--upload-id", upload_id).code == 0
    )
    outcome = inside.run("complete", "bucket/key", "--upload-id", upload_id, "--strict-options")
    assert outcome.code == 0
    assert "no checkpoint here records them" in outcome.err


def test_files_that_an_earlier_run_sent_are_compared_as_well(inside: Inside, sandbox: Sandbox) -> None:
    """The journal records what was asked for, not what the store keeps."""
    sandbox.add_fault("ignore-options")
    command = command_for("batch", "--tag", "k=v")
    assert (inside.run(*command).code, inside.run(*command).code) == (0, 0)
    assert inside.run(*command, "--strict-options").code == 69


def test_the_api_raises(sandbox: Sandbox, tmp_path: Path) -> None:
    """The object is in place."""
    sandbox.add_fault("ignore-options")
    source = tmp_path / "source"
    source.write_bytes(b"content")
    options = ObjectOptions(metadata={"k": "v"})
    keys = Credentials(sandbox.access_key, sandbox.secret_key)
    connecting = ConnectOptions(endpoint=sandbox.endpoint, provider="s3", region="here")
    with pytest.raises(Refused, match="not show metadata") as caught:
        upload_file(
            source,
            "bucket/key",
            options=options,
            connecting=connecting,
            credentials=keys,
            strict_options=True,
        )
    assert caught.value.exit_code == 69
    assert sandbox.object_path("bucket", "key").read_bytes() == b"content"


@pytest.mark.slow
def test_the_notes_of_all_processes_are_one(shell: Shell, sandbox: Sandbox) -> None:
    """Many small files are sent by several processes."""
    make_files(shell, *(f"tree/{number:04}" for number in range(900)))
    sandbox.add_fault("ignore-options")
    command = ("upload", "-r", "tree/", "oss://bucket/p/", "--region", "here", "--acl", "private")
    outcome = shell.run(*command, "--strict-options")
    assert outcome.code == 0
    assert outcome.err.count("--acl was not compared") == 1
