"""The checker against the vendors' own signers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from obsup.sandbox.exchange import Request, host_name, parse_request
from obsup.sandbox.signatures import Account, check_signature, read_claim

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "signing.json").read_text(encoding="utf-8")
)["vectors"]
NORMATIVE = [vector for vector in VECTORS if vector["normative"]]


def _parse(vector: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> Request:
    target = vector["url"].split("://", 1)[1]
    target = target[target.index("/") :] if "/" in target else "/"
    names = {name.lower() for name, _ in headers or _headers(vector)}
    sent = list(headers or _headers(vector))
    if "host" not in names:
        sent.append(("Host", vector["host"]))
    domains = {host_name(vector["host"]): vector["bucket"]} if vector["addressing"] == "cname" else {}
    return parse_request(vector["method"], target, sent, custom_domains=domains)


def _headers(vector: dict[str, Any]) -> list[tuple[str, str]]:
    merged = {**vector["headers_in"], **vector["signer_added_headers"]}
    return [*merged.items(), ("Authorization", vector["authorization"])]


def _check(request: Request, vector: dict[str, Any]) -> None:
    claim = read_claim(request)
    assert claim is not None
    credentials = vector["credentials"]
    account = Account(credentials["ak"], credentials["sk"])
    check_signature(request, claim, account, now=vector["timestamp"]["epoch"], skew_s=900)


@pytest.mark.parametrize("vector", NORMATIVE, ids=lambda vector: vector["id"])
def test_what_the_vendors_sign_is_accepted(vector: dict[str, Any]) -> None:
    request = _parse(vector)
    assert request.bucket == vector["bucket"]
    assert request.key == (vector["key"] or "")
    _check(request, vector)
