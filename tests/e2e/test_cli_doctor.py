"""``obsup doctor`` reports each possible problem separately and leaves nothing behind."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import ScriptedServer
from tests.doubles.trusting_store import TrustingStore
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]


def table(outcome: Outcome) -> dict[str, str]:
    """Return the mark of each finding."""
    rows = [line.split() for line in outcome.out.partition("\n\n")[0].splitlines()]
    marks = ("ok", "FAIL", "no", "-")
    return {
        " ".join(cells[:at]): cells[at]
        for cells in rows
        for at in [next(i for i, w in enumerate(cells) if w in marks)]
    }


def findings(outcome: Outcome) -> dict[str, bool | None]:
    """Return whether each check passed, from ``--json``."""
    return {check["name"]: check["ok"] for check in outcome.json["checks"]}


def test_a_healthy_bucket(sandbox: Sandbox, shell: Shell) -> None:
    """All checks pass, the exit status is 0, no upload is left open, and no object is created."""
    outcome = shell.run("doctor", "bucket/2026/")
    assert outcome.code == 0
    marks = table(outcome)
    assert set(marks.values()) == {"ok", "-"}
    assert list(marks) == [
        "endpoint",
        "DNS",
        "connection",
        "TLS",
        "credentials",
        "list uploads",
        "clock",
        "initiate",
        "part 1",
        "part 2",
        "list parts",
        "verification",
        "abort",
        "checksums",
        "head object",
        "limits",
        "round trip",
    ]
    assert not sandbox.uploads()
    assert "environment variable AccessKeyID" in outcome.out
    assert sandbox.secret_key not in outcome.out + outcome.err


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_the_recommended_settings_are_a_valid_configuration_file(
    shell: Shell, home: Path, make_file: MakeFile, provider: str
) -> None:
    """With these settings in the configuration file, an upload needs no more options."""
    outcome = shell.run(
        "doctor", f"{provider}://bucket", "--region", "eu-de", "--profile", "p", **make_profile(home)
    )
    settings = outcome.out.partition("\n\n")[2]
    assert tomllib.loads(settings)["profiles"]["p"]["provider"] == provider
    config = home / ".config" / "obsup" / "config.toml"
    config.write_text(settings)
    make_file(10_000)
    upload = shell.run("upload", "bigfile", "bucket/key", "--profile", "p", "--json", OBSUP_ENDPOINT="")
    assert (upload.code, upload.json["provider"]) == (0, provider)


def make_profile(home: Path) -> dict[str, str]:
    """Create an empty profile ``p``; return no environment variables."""
    config = home / ".config" / "obsup" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[profiles.p]\n")
    return {}


@pytest.mark.parametrize(
    ("operation", "name", "code"),
    [
        ("initiate", "initiate", 77),
        ("part", "part 1", 77),
        ("parts", "list parts", 77),
        ("abort", "abort", 77),
        ("head", "head object", 77),
    ],
)
def test_each_missing_permission_is_reported_separately(
    sandbox: Sandbox, shell: Shell, operation: str, name: str, code: int
) -> None:
    """Only the check of the denied operation fails; the exit status is that of its error."""
    sandbox.add_fault(f"error=403:AccessDenied,op={operation},times=always")
    outcome = shell.run("doctor", "bucket", "--json")
    assert outcome.code == code
    failed = {key for key, ok in findings(outcome).items() if ok is False}
    assert name in failed
    assert failed <= {name, "abort"}  # an abort is verified by listing the parts
    assert "AccessDenied" in outcome.err


@pytest.mark.parametrize("aborted", [0, 1])
def test_an_upload_that_cannot_be_aborted_is_reported(sandbox: Sandbox, shell: Shell, aborted: int) -> None:
    """Also those that try out other checksums: the command of the next step discards the first one."""
    sandbox.add_fault(f"error=403:AccessDenied,op=abort,after={aborted},times=always")
    outcome = shell.run("doctor", "s3://bucket", "--region", "eu-de")
    assert (outcome.code, table(outcome)["abort"]) == (77, "FAIL")
    left = {upload[2] for upload in sandbox.uploads()}
    command = outcome.err.splitlines()[2].partition("obsup ")[2].split()
    upload_id = command[command.index("--upload-id") + 1]
    sandbox.clear_faults()
    assert shell.run(*command).code == 0
    assert {upload[2] for upload in sandbox.uploads()} == left - {upload_id} != left


@pytest.mark.parametrize(
    ("provider", "fault", "told"),
    [
        (
            "s3",
            "no-dates",
            "confirmed: crc64nvme (of the full object), crc32c (of the full object), sha256 (of those of the parts)",
        ),
        (
            "s3",
            "ignore-checksums",
            "none: the store does not confirm them; other digests verify parts and objects",
        ),
        (
            "s3",
            "reject-checksums=400",
            "none: the store rejects their headers; other digests verify parts and objects",
        ),
        ("obs", "obs-checksums", "confirmed: CRC-64"),
        ("obs", "no-dates", "none: the store does not confirm them; other digests verify parts and objects"),
        ("oss", "no-dates", "confirmed: CRC-64"),
    ],
)
def test_checksums_are_asked_for(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, provider: str, fault: str, told: str
) -> None:
    """Those that the store confirms are named and saved; a rejection is remembered for the uploads that follow."""
    sandbox.add_fault(f"{fault},times=always")
    outcome = shell.run("doctor", f"{provider}://bucket", "--region", "eu-de", "--save", "--json")
    assert (outcome.code, outcome.json["capabilities"]["checksums"]) == (0, told)
    assert f"checksums: {told}" in Path(outcome.json["saved"]).read_text()
    assert not sandbox.uploads()
    if "rejects" in told:
        before = len(sandbox.requests)
        make_file(10)
        assert shell.run("init", "bigfile", "bucket/key").code == 0
        initiated = next(one for one in sandbox.requests[before:] if one.operation == "initiate")
        assert not any("checksum" in name.lower() for name, _ in initiated.headers)


@pytest.mark.parametrize(("provider", "faults"), [("s3", []), ("obs", ["obs-checksums"])])
def test_a_checksum_of_other_bytes_verifies_nothing(
    sandbox: Sandbox, shell: Shell, provider: str, faults: list[str]
) -> None:
    """An upload to such a store fails, so doctor does not report that the checksum verifies each part."""
    for fault in [*faults, "wrong-checksum,op=part,times=always"]:
        sandbox.add_fault(fault)
    outcome = shell.run("doctor", f"{provider}://bucket", "--region", "eu-de")
    assert (outcome.code, table(outcome)["part 1"]) == (65, "FAIL")
    assert not sandbox.uploads()


def test_the_permission_to_list_uploads_is_optional(sandbox: Sandbox, shell: Shell) -> None:
    """Without it obsup can upload: doctor reports what does not work, and exits 0."""
    sandbox.add_fault("error=403:AccessDenied,op=uploads,times=always")
    outcome = shell.run("doctor", "bucket")
    assert outcome.code == 0
    assert table(outcome)["list uploads"] == "no"
    assert "neither a lost checkpoint nor gc can find open uploads" in outcome.out


@pytest.mark.parametrize(("skew", "mark", "code"), [(30, "ok", 0), (300, "no", 0), (5000, "FAIL", 78)])
def test_the_clock_is_compared_with_that_of_the_store(
    sandbox: Sandbox, shell: Shell, skew: int, mark: str, code: int
) -> None:
    """Seconds pass, minutes are reported, and more than a quarter of an hour fails because stores reject it."""
    sandbox.add_fault(f"skew={skew}")
    outcome = shell.run("doctor", "bucket")
    assert (outcome.code, table(outcome)["clock"]) == (code, mark)
    assert "behind the store" in outcome.out


@pytest.mark.parametrize("part", ["1-2", "2"])
def test_a_damaged_part_is_not_one_without_a_digest(sandbox: Sandbox, shell: Shell, part: str) -> None:
    """Its ETag is the digest of other bytes: that of one byte shows that the store does not encrypt."""
    sandbox.add_fault(f"flip-bit,op=part,part={part},times=always")
    outcome = shell.run("doctor", "bucket")
    (line,) = (one for one in outcome.out.splitlines() if one.startswith("verification"))
    assert "was damaged on the way to the store" in line
    assert "no digest" not in line
    assert (outcome.code, table(outcome)["verification"]) == (65, "FAIL")
    assert "was damaged on the way to the store" in outcome.err
    assert not sandbox.uploads()


@pytest.mark.parametrize("faults", [[], ["hide-encryption"]], ids=["shown", "hidden"])
def test_etags_of_encrypted_parts_are_no_damage(tmp_path: Path, faults: list[str]) -> None:
    """The store rejects a wrong Content-MD5."""
    with Sandbox(encrypts=True, faults=faults) as sandbox:
        outcome = Shell.against(sandbox, tmp_path).run("doctor", "bucket")
        assert (outcome.code, table(outcome)["verification"]) == (0, "ok"), outcome.err
        assert "an object is verified by its upload id or token, and its size" in outcome.out
        assert ("the ETags are not MD5 digests" in outcome.out) == bool(faults)
        assert not sandbox.uploads()


@pytest.mark.parametrize(("has_md5s", "told"), [(True, "was damaged"), (False, "cannot be verified")])
def test_a_store_that_damages_content_and_checks_no_digest(shell: Shell, has_md5s: bool, told: str) -> None:
    """As an upload, doctor tries out what its ETags and Content-MD5 show, and prints no settings."""
    store = TrustingStore(has_md5s=has_md5s, damages=True)
    with ScriptedServer(store) as server:
        where = (
            "--endpoint",
            server.endpoint,
            "--provider",
            "s3",
            "--region",
            "here",
            "--addressing",
            "path",
        )
        outcome = shell.run("doctor", "bucket", *where)
    assert (outcome.code, f"part 1 {told}" in outcome.err) == (65, True), outcome.err
    assert "[defaults]" not in outcome.out
    assert store.open_uploads == {}


def test_missing_credentials_are_reported_after_the_connection_was_checked(shell: Shell) -> None:
    """The connection is not the cause."""
    outcome = shell.run("doctor", "bucket", "--json", AccessKeyID="", SecretAccessKey="")
    assert outcome.code == 77
    assert findings(outcome)["connection"] is True
    assert "no credentials" in outcome.err


def test_a_refused_connection_ends_the_checks(shell: Shell) -> None:
    """Nothing is checked after the connection failed."""
    outcome = shell.run("doctor", "bucket", "--endpoint", "http://127.0.0.1:9", "--json")
    assert outcome.code == 75
    assert list(findings(outcome)) == ["endpoint", "DNS", "connection"]
    assert "kept failing" not in outcome.err  # the check is not repeated


@pytest.mark.parametrize("answer", ["403:SignatureDoesNotMatch", "400:UnsupportedAlgorithm"])
def test_another_signature_is_suggested(sandbox: Sandbox, shell: Shell, answer: str) -> None:
    """If the store rejects the default signature, doctor names one that it accepts."""
    sandbox.add_fault(f"error={answer},op=any,times={5 if answer[0:3] == '403' else 2}")
    outcome = shell.run("doctor", "bucket")
    assert outcome.code == (77 if answer.startswith("403") else 78)
    assert "the store accepts requests with --signature v2" in outcome.out


def test_another_provider_is_suggested_if_no_signature_is_accepted(sandbox: Sandbox, shell: Shell) -> None:
    """The credentials may be right: SeaweedFS and rclone reject all signatures of OBS that need no region."""
    sandbox.add_fault("error=400:UnsupportedAlgorithm,times=always")
    outcome = shell.run("doctor", "bucket")
    assert outcome.code == 78
    assert "Fix the credentials" not in outcome.err
    assert outcome.err.endswith("obsup doctor bucket --provider s3\n")
    sandbox.clear_faults()
    sandbox.add_fault("error=403:SignatureDoesNotMatch,times=always")
    outcome = shell.run("doctor", "bucket")
    assert outcome.code == 77
    assert "Fix the credentials, or, if the store is not OBS, add --provider s3, then" in outcome.err


def test_a_wrong_signature_is_not_advised_again(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The other provider has its own default."""
    sandbox.add_fault("error=400:UnsupportedAlgorithm")
    source = make_file(100)
    outcome = shell.run("upload", source, "bucket/key", "--signature", "v2")
    assert outcome.err.endswith(f": obsup upload {source} bucket/key --provider s3\n")


def test_tls_properties_are_reported(tmp_path: Path) -> None:
    """Version, cipher and expiry of the certificate. An untrusted certificate fails before any request."""
    authority = Authority(tmp_path)
    with Sandbox(tls=authority.files("127.0.0.1")) as secure:
        shell = Shell.against(secure, tmp_path)
        good = shell.run("doctor", "bucket", "--ca-bundle", authority.bundle)
        assert good.code == 0, good.err
        assert "TLSv1.3" in good.out
        assert "certificate valid until" in good.out
        bad = shell.run("doctor", "bucket", "--json")
        assert bad.code == 78
        assert findings(bad)["TLS"] is False
        unverified = shell.run("doctor", "bucket", "--no-verify-tls")
        assert "certificate not verified" in unverified.out


def test_unverified_tls_prints_a_warning(tmp_path: Path) -> None:
    """Every command that connects warns once, unless -q is given."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "bigfile", tmp_path / "folder" / "file"):
        path.write_bytes(b"content")
    authority = Authority(tmp_path)
    with Sandbox(tls=authority.files("127.0.0.1")) as secure:
        shell = Shell.against(secure, tmp_path)
        for arguments in (
            ("upload", "bigfile", "bucket/key"),
            ("upload", "-r", "folder", "bucket/prefix/"),
            ("verify", "bigfile", "bucket/key"),
            ("uploads", "bucket"),
        ):
            unverified = shell.run(*arguments, "--no-verify-tls")
            assert unverified.code == 0, unverified.err
            assert unverified.err.count("TLS certificates are not verified") == 1
        assert shell.run("upload", "bigfile", "bucket/key", "--no-verify-tls", "-q").err == ""
        verified = shell.run("upload", "bigfile", "bucket/key", "--ca-bundle", authority.bundle)
        assert verified.err == ""
