"""obsup doctor: each thing that can be wrong is told apart, and nothing stays behind."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]


def table(outcome: Outcome) -> dict[str, str]:
    """The mark of each finding."""
    rows = [line.split() for line in outcome.out.partition("\n\n")[0].splitlines()]
    marks = ("ok", "FAIL", "no", "-")
    return {
        " ".join(words[:at]): words[at]
        for words in rows
        for at in [next(i for i, w in enumerate(words) if w in marks)]
    }


def findings(outcome: Outcome) -> dict[str, bool | None]:
    """Whether each finding was right, from ``--json``."""
    return {one["name"]: one["ok"] for one in outcome.json["checks"]}


def test_a_healthy_bucket(sandbox: Sandbox, shell: Shell) -> None:
    """Every line is right, exit 0, no upload stays open, no object is made."""
    outcome = shell.run("doctor", "bucket/2026/")
    assert outcome.code == 0
    marks = table(outcome)
    assert set(marks.values()) == {"ok", "-"}
    assert list(marks) == [
        "endpoint",
        "name",
        "line",
        "TLS",
        "credentials",
        "list uploads",
        "clock",
        "initiate",
        "part 1",
        "part 2",
        "list parts",
        "proof",
        "abort",
        "look",
        "limits",
        "round trip",
    ]
    assert not sandbox.uploads()
    assert "environment variable AccessKeyID" in outcome.out
    assert sandbox.secret_key not in outcome.out + outcome.err


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_the_settings_at_the_end_are_a_configuration(
    shell: Shell, home: Path, make_file: MakeFile, provider: str
) -> None:
    """Written into the configuration file, an upload needs no option more."""
    outcome = shell.run(
        "doctor", f"{provider}://bucket", "--region", "eu-de", "--profile", "p", **profile(home)
    )
    settings = outcome.out.partition("\n\n")[2]
    assert tomllib.loads(settings)["profiles"]["p"]["provider"] == provider
    place = home / ".config" / "obsup" / "config.toml"
    place.write_text(settings)
    make_file(10_000)
    upload = shell.run("upload", "bigfile", "bucket/key", "--profile", "p", "--json", OBSUP_ENDPOINT="")
    assert (upload.code, upload.json["provider"]) == (0, provider)


def profile(home: Path) -> dict[str, str]:
    """Make an empty profile ``p``; return nothing for the environment."""
    place = home / ".config" / "obsup" / "config.toml"
    place.parent.mkdir(parents=True)
    place.write_text("[profiles.p]\n")
    return {}


@pytest.mark.parametrize(
    ("operation", "name", "code"),
    [
        ("initiate", "initiate", 77),
        ("part", "part 1", 77),
        ("parts", "list parts", 77),
        ("abort", "abort", 77),
        ("head", "look", 77),
    ],
)
def test_each_permission_is_told_apart(
    sandbox: Sandbox, shell: Shell, operation: str, name: str, code: int
) -> None:
    """The one that is refused fails; the others do not; the exit code is that of the refusal."""
    sandbox.add_fault(f"error=403:AccessDenied,op={operation},times=always")
    outcome = shell.run("doctor", "bucket", "--json")
    assert outcome.code == code
    wrong = {key for key, ok in findings(outcome).items() if ok is False}
    assert name in wrong
    assert wrong <= {name, "abort"}  # an abort is proved by a list of parts
    assert "AccessDenied" in outcome.err


def test_listing_uploads_is_good_to_have(sandbox: Sandbox, shell: Shell) -> None:
    """Who may only write can upload: it says what is missing, and exits 0."""
    sandbox.add_fault("error=403:AccessDenied,op=uploads,times=always")
    outcome = shell.run("doctor", "bucket")
    assert outcome.code == 0
    assert table(outcome)["list uploads"] == "no"
    assert "a lost checkpoint is not found again" in outcome.out


@pytest.mark.parametrize(("skew", "mark", "code"), [(30, "ok", 0), (300, "no", 0), (5000, "FAIL", 78)])
def test_the_clock_is_compared_with_the_stores(
    sandbox: Sandbox, shell: Shell, skew: int, mark: str, code: int
) -> None:
    """Some seconds are nothing; minutes are worth a word; a quarter of an hour is refused by the stores."""
    sandbox.add_fault(f"skew={skew}")
    outcome = shell.run("doctor", "bucket")
    assert (outcome.code, table(outcome)["clock"]) == (code, mark)
    assert "behind the store" in outcome.out


def test_an_etag_that_is_no_md5_is_told(sandbox: Sandbox, shell: Shell) -> None:
    """What arrives is not what was sent: the part's answer proves nothing."""
    sandbox.add_fault("flip-bit,op=part,times=always")
    outcome = shell.run("doctor", "bucket")
    assert "no digest" in outcome.out


def test_no_keys_are_told_after_the_line(shell: Shell) -> None:
    """The line was tried before: it is not to blame."""
    outcome = shell.run("doctor", "bucket", "--json", AccessKeyID="", SecretAccessKey="")
    assert outcome.code == 77
    assert findings(outcome)["line"] is True
    assert "no credentials" in outcome.err


def test_nobody_listens(shell: Shell) -> None:
    """The line fails, at once, and says so; nothing else is tried."""
    outcome = shell.run("doctor", "bucket", "--endpoint", "http://127.0.0.1:9", "--json")
    assert outcome.code == 75
    assert list(findings(outcome)) == ["endpoint", "name", "line"]


def test_another_signature_is_found(sandbox: Sandbox, shell: Shell) -> None:
    """A store that does not take the usual one: the one that it takes is named."""
    sandbox.add_fault("error=403:SignatureDoesNotMatch,op=any,times=7")
    outcome = shell.run("doctor", "bucket")
    assert outcome.code == 77
    assert "with --signature v2 the store takes requests" in outcome.out


def test_tls_is_told_apart(tmp_path: Path) -> None:
    """Version, cipher and the end of the certificate; one that is not trusted is told before any request."""
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
        unchecked = shell.run("doctor", "bucket", "--no-verify-tls")
        assert "certificate not checked" in unchecked.out
