"""Proxies that cannot be used are configuration errors, found before any request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, response
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

MakeFile = Callable[..., Path]


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("ftp://proxy:21", "scheme is 'ftp'"),
        ("http://:8080", "no host"),
        ("http://proxy:port", "not valid"),
        ("http://proxy:99999", "not valid"),
        ("http://[::1", "not valid"),
        ("socks5://127.0.0.1:1080", "PySocks"),
    ],
)
@pytest.mark.parametrize("origin", mostly_slow(["--proxy", "HTTP_PROXY", "ALL_PROXY"], "--proxy"))
def test_a_proxy_that_cannot_be_used(
    origin: str, proxy: str, reason: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Exit 78 at once, and the option or the variable is named; it was retried for 15 minutes."""
    make_file(1000)
    arguments = ("upload", "bigfile", "bucket/key", "--endpoint", "http://store.example", "--provider", "s3")
    if origin == "--proxy":
        outcome = shell.run(*arguments, "--proxy", proxy)
    else:
        outcome = shell.run(*arguments, **{origin: proxy})
    assert outcome.code == 78, outcome.err
    assert origin in outcome.err
    assert reason in outcome.err
    assert sandbox.requests == []


def test_the_advice_about_a_proxy_names_each_variable(shell: Shell, make_file: MakeFile) -> None:
    """It was HTTPS_PROXY even if the endpoint begins with http, for which HTTP_PROXY counts."""
    make_file(1000)
    options = ("--endpoint", "http://store.example", "--retry-for", "0s")
    outcome = shell.run("upload", "bigfile", "bucket/key", *options, HTTP_PROXY="http://127.0.0.1:1")
    assert outcome.code == 75, outcome.err
    assert "variable that names the proxy (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)" in outcome.err


@pytest.mark.parametrize(
    ("media_type", "code", "text"),
    [
        ("text/html", 78, "Check --proxy, or the variable that names the proxy"),
        ("application/xml", 69, "The store rejected the request permanently"),
    ],
)
def test_a_web_server_that_is_named_as_proxy(
    media_type: str, code: int, text: str, shell: Shell, make_file: MakeFile
) -> None:
    """Its web page, such as that for a URL with a host, is not the store's; a document of XML may be."""
    make_file(1000)
    store = ("--region", "here", "--endpoint", "http://store.invalid")

    def answer(request: ReceivedRequest) -> Reply:
        return response(404 if request.method == "HEAD" else 400, "<html>", {"Content-Type": media_type})

    with ScriptedServer(answer) as server:
        upload = shell.run("upload", "bigfile", "s3://bucket/key", *store, HTTP_PROXY=server.endpoint)
        doctor = shell.run("doctor", "s3://bucket", *store, HTTP_PROXY=server.endpoint)
    for outcome in (upload, doctor):
        assert outcome.code == code, outcome.err
        assert text in outcome.err
    assert "head object" not in doctor.out


@pytest.mark.parametrize(
    ("mistake", "code", "named"),
    [
        (("--proxy", "ftp://proxy:21"), 78, "--proxy"),
        (("--ca-bundle", "missing.pem"), 78, "missing.pem"),
        (("--client-cert", "bigfile"), 78, "--client-cert"),
        (("--executor", "dask:nonsense"), 2, "dask:nonsense"),
        (("--stall-timeout", "0s"), 2, "--stall-timeout"),
        (("--endpoint", "https://store.example/s3/bucket"), 2, "ends in the bucket"),
    ],
)
def test_a_mistake_is_reported_before_what_is_missing(
    mistake: tuple[str, ...], code: int, named: str, tmp_path: Path, make_file: MakeFile
) -> None:
    """Neither an endpoint nor credentials are given: both depend on the store, the mistake does not."""
    make_file(1000)
    outcome = Shell(tmp_path).run("upload", "bigfile", "bucket/key", *mistake)
    assert outcome.code == code, outcome.err
    assert named in outcome.err
    assert "no endpoint" not in outcome.err


def test_the_password_of_a_proxy_is_not_printed(shell: Shell, make_file: MakeFile) -> None:
    make_file(1000)
    arguments = ("upload", "bigfile", "bucket/key", "--endpoint", "http://store.example", "--provider", "s3")
    outcome = shell.run(*arguments, HTTP_PROXY="http://user:pass-word@:8080")
    assert outcome.code == 78
    assert "pass-word" not in outcome.err
