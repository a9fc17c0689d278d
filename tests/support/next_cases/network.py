"""The network, proxies and certificates."""

from __future__ import annotations

from typing import Any

from tests.support.next_lines import Case

_LIST = "obsup uploads bucket"
_PATIENT = f"{_LIST} --retry-for 30s"  # the end of the connection may arrive before the alert


def _case(kind: str, code: int, before: str, fix: str = "direct", **more: Any) -> Case:
    """Return the case of one rule of the network."""
    return Case(
        f"store/answers/network_failure_table: {kind}",
        code,
        before=before,
        fix=fix,
        **{"command": _LIST, **more},
    )


CASES = (
    _case("certificate", 78, "unset OBSUP_CA_BUNDLE", "export OBSUP_CA_BUNDLE=$CA", tls="https"),
    _case("dates", 78, "expired; export OBSUP_ENDPOINT=$OTHER"),
    _case(
        "alert",
        78,
        "",
        "export OBSUP_CLIENT_CERT=$CERT; export OBSUP_CLIENT_KEY=$KEY",
        command=_PATIENT,
        tls="client",
    ),
    _case("no-tls", 78, "export OBSUP_ENDPOINT=https://127.0.0.1:$PORT"),
    _case("needs-tls", 78, "export OBSUP_ENDPOINT=http://127.0.0.1:$PORT", tls="https"),
    _case(
        "protocol",
        78,
        "banner SSH-2.0-OpenSSH_9.2; unset OBSUP_ENDPOINT; export AWS_ENDPOINT_URL=$OTHER; export AWS_REGION=eu-test-1",
        command="obsup uploads s3://bucket",
    ),
    _case(
        "plain http request",
        78,
        "answer uploads 400 InvalidRequest The plain HTTP request was sent to HTTPS port",
    ),
    _case(
        "no required ssl certificate",
        78,
        "answer uploads 400 BadRequest No required SSL certificate was sent",
    ),
    _case("NotFound", 69, "answer uploads 404 - -"),
    _case("resolve", 75, "export OBSUP_ENDPOINT=http://store.invalid"),
    _case("refused", 75, "export OBSUP_ENDPOINT=http://127.0.0.1:9"),
    _case("tls", 75, "fault reset,op=uploads,times=always"),
    _case("garbled", 69, "fault garble-answer,op=uploads,times=always"),
    _case(
        "413",
        69,
        "fault error=413:TooLarge,op=part,times=always",
        command="obsup upload bigfile bucket/key --parts 2",
    ),
    _case("proxy", 75, "export OBSUP_PROXY=http://127.0.0.1:9", "unset OBSUP_PROXY"),
    _case(
        "400 is_page by_proxy",
        78,
        "proxy 400; export OBSUP_ENDPOINT=http://store.invalid",
        "unset OBSUP_PROXY; direct",
    ),
    _case("proxy-no-tls", 78, "export OBSUP_PROXY=https://127.0.0.1:$PORT", "unset OBSUP_PROXY"),
    _case(
        "proxy-certificate",
        78,
        "unset OBSUP_CA_BUNDLE; export OBSUP_PROXY=https://127.0.0.1:$PORT; export OBSUP_ENDPOINT=http://store.invalid",
        "unset OBSUP_PROXY; export OBSUP_CA_BUNDLE=$CA; direct",
        tls="https",
    ),
    _case(
        "proxy-dates",
        78,
        "expired; export OBSUP_PROXY=$OTHER; export OBSUP_ENDPOINT=http://store.invalid",
        "unset OBSUP_PROXY; direct",
    ),
    _case(
        "proxy-alert",
        78,
        "export OBSUP_PROXY=https://127.0.0.1:$PORT; export OBSUP_ENDPOINT=http://store.invalid",
        "unset OBSUP_PROXY; export OBSUP_CLIENT_CERT=$CERT; export OBSUP_CLIENT_KEY=$KEY; direct",
        command=_PATIENT,
        tls="client",
    ),
    _case(
        "proxy-protocol",
        78,
        "export OBSUP_PROXY=http://127.0.0.1:$PORT; export OBSUP_ENDPOINT=https://store.invalid",
        "unset OBSUP_PROXY; direct",
        tls="https",
    ),
    _case(
        "tunnel", 78, "proxy 403; export OBSUP_ENDPOINT=https://store.invalid", "unset OBSUP_PROXY; direct"
    ),
    _case(
        "proxy-login",
        78,
        "proxy 407; export OBSUP_ENDPOINT=https://store.invalid",
        "export HTTPS_PROXY=http://user:word@127.0.0.1:9; direct",
        command="obsup uploads bucket --proxy $OBSUP_PROXY",
    ),
    _case("407", 78, "answer uploads 407 - Login"),
    Case(
        "store/http/tls_files: _load_client_certificate",
        2,
        command="obsup uploads bucket --client-key $KEY",
        fill=("FILE", "$CERT"),
        tls="client",
    ),
)
