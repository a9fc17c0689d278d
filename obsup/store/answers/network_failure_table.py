"""The part of the failure table about the network and what is between this computer and the store."""

from __future__ import annotations

from obsup.errors import (
    TOO_MANY_FILES,
    BadConfiguration,
    LocalFailure,
    NotFinished,
    Refused,
    Unsupported,
    run_again,
)
from obsup.store.answers.failure_rule import Action, FailureRule, rule

_PROXY = "--proxy, or the variable that names the proxy (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)"
# --proxy accepts no password, and comes before these variables.
_PROXY_LOGIN = run_again(
    "put its URL with the login, SCHEME://USER:PASSWORD@HOST:PORT, into HTTPS_PROXY (or HTTP_PROXY, if the endpoint "
    "begins with http:)",
    drop=("--proxy",),
)
_CLIENT_CERTIFICATE = (
    "The server asks for a client certificate, does not accept this one, or needs another version of TLS"
)
_USE_CERTIFICATE = run_again(
    "check --client-cert and --client-key, and which versions of TLS the server accepts"
)
_NEEDS_TLS = "The endpoint begins with http, but the server requires https on this port"
_USE_HTTPS = run_again("check --endpoint: write https:// instead of http://")

NETWORK_RULES: tuple[FailureRule, ...] = (
    rule(
        Action.FAIL,
        BadConfiguration,
        "The certificate does not match the host, or its authority is not trusted here",
        run_again("check --endpoint, or pass the certificate of the authority with --ca-bundle"),
        kind="certificate",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The certificate has expired or is not valid yet, or the clock of this computer is wrong",
        run_again("check the clock; if it is right, the server needs a new certificate"),
        kind="dates",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The endpoint begins with https, or has no scheme, but the server does not use TLS on this port",
        run_again("check --endpoint: write http:// instead of https://, or use the port that supports TLS"),
        kind="no-tls",
    ),
    rule(Action.FAIL, BadConfiguration, _NEEDS_TLS, _USE_HTTPS, kind="needs-tls"),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The endpoint has the host or the port of another server",
        run_again("correct --endpoint, or what sets it ('obsup config show' names it)", option="--endpoint"),
        kind="protocol",
    ),
    rule(Action.FAIL, BadConfiguration, _CLIENT_CERTIFICATE, _USE_CERTIFICATE, kind="alert"),
    rule(
        Action.FAIL,
        BadConfiguration,
        _CLIENT_CERTIFICATE,
        _USE_CERTIFICATE,
        phrases=("no required ssl certificate", "the ssl certificate error"),  # nginx
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The certificate of the proxy does not match its host, or its authority is not trusted here",
        run_again("check the URL of the proxy, or pass the certificate of the authority with --ca-bundle"),
        kind="proxy-certificate",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The certificate of the proxy has expired or is not valid yet, or the clock of this computer is wrong",
        run_again("check the clock; if it is right, the proxy needs a new certificate"),
        kind="proxy-dates",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The URL of the proxy begins with https, but the proxy does not use TLS on this port",
        run_again(f"check {_PROXY}: write http:// instead of https://, or use the port that supports TLS"),
        kind="proxy-no-tls",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The proxy asks for a client certificate, does not accept this one, or needs another version of TLS",
        run_again("check --client-cert and --client-key, and which versions of TLS the proxy accepts"),
        kind="proxy-alert",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The proxy requires a user and a password, or does not accept the ones in its URL",
        _PROXY_LOGIN,
        kind="proxy-login",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The URL of the proxy has the scheme of another protocol, or the port of another server",
        run_again(f"check {_PROXY}: write http://, https:// or socks5h://, as the proxy requires"),
        kind="proxy-protocol",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The proxy does not permit connections to the store, or is not a proxy",
        run_again(f"check {_PROXY}; NO_PROXY lists hosts to reach directly"),
        kind="tunnel",
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The proxy kept failing for longer than --retry-for",
        run_again(f"check {_PROXY}, and --endpoint"),
        kind="proxy",
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The network kept failing for longer than --retry-for",
        run_again("check --endpoint, --addressing and the name servers"),
        kind="resolve",
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The network kept failing for longer than --retry-for",
        run_again("check --endpoint and the network"),
        kind="refused connect",
    ),
    rule(
        Action.REPEAT,
        LocalFailure,
        TOO_MANY_FILES,
        run_again("raise the limit"),
        kind="files",
    ),
    rule(
        Action.RETRY,
        NotFinished,
        "The network kept failing for longer than --retry-for",
        run_again(),
        kind="tls reset stall slow incomplete",
    ),
    rule(
        Action.REPEAT,
        Refused,
        "The server does not use the protocol of the store, or a proxy changes its responses",
        run_again("check --endpoint and the proxies"),
        kind="garbled",
    ),
    rule(
        Action.REPEAT,
        Unsupported,
        "A store that cannot copy takes the request for an empty part",
        run_again("send the part from a file if the store cannot copy; otherwise check the proxies"),
        kind="no-copy",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The proxy requires a user and a password, or does not accept the ones in its URL",
        _PROXY_LOGIN,
        status="407",
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        _NEEDS_TLS,
        _USE_HTTPS,
        phrases=("plain http request", "http request to an https server", "plain http to an ssl"),
    ),
    rule(
        Action.FAIL,
        BadConfiguration,
        "The response is a web page: the proxy does not permit requests to the store, or is not a proxy",
        run_again(f"check {_PROXY}, and --endpoint; NO_PROXY lists hosts to reach directly"),
        status="400 403 404 405 501",
        is_page=True,
        by_proxy=True,
    ),
    rule(
        Action.FAIL,
        Refused,
        "The store, or a proxy in front of it, accepts no request of this size; smaller parts need a new upload "
        "(--restart)",
        run_again("raise that limit (nginx: client_max_body_size)"),
        status="413",
    ),
    rule(
        Action.FAIL,
        Refused,
        "The server has nothing at this address: it may not be the store, or the endpoint needs a path",
        run_again("check --endpoint"),
        code="NotFound",
    ),
)
