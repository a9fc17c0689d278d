"""From an error response to a refusal, a rule of the failure table, and the final error."""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from obsup.cli.report.fields import refusal_fields
from obsup.dialects.registry import DIALECTS
from obsup.errors import (
    BadConfiguration,
    DataMismatch,
    Denied,
    NetworkError,
    NotFinished,
    NotPermitted,
    ObjectExists,
    ObsupError,
    Refusal,
    Refused,
    StoreError,
    Throttled,
    Unsupported,
    UploadGone,
)
from obsup.store.answers.failure_rule import Action
from obsup.store.answers.failure_table import FAILURE_RULES, as_error, classify
from obsup.store.answers.refusal import read_refusal
from obsup.store.http.settings import Response


def read(
    status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None, dialect: str = "obs"
) -> Refusal:
    content = body.encode() if isinstance(body, str) else body
    return read_refusal(
        Response(status, headers or {}, content),
        DIALECTS[dialect].headers,
        operation="UploadPart",
        resource="bucket/key",
        endpoint="https://store.example",
    )


def refused(status: int, code: str, message: str = "") -> StoreError:
    return StoreError(Refusal("UploadPart", "bucket/key", status, code, message))


def test_a_body_that_is_no_xml_while_another_thread_imports_the_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """defusedxml replaces the module of the standard library for a moment: its ParseError is then another class."""
    assert read(404, "no XML").code == "NotFound"
    monkeypatch.delitem(sys.modules, "xml.etree.ElementTree")
    monkeypatch.setitem(sys.modules, "_elementtree", None)
    assert read(404, "no XML").code == "NotFound"


def test_a_refusal_has_the_fields_of_the_vendors_tables() -> None:
    """The ids in the headers, which belong to this request, take precedence over those in the body."""
    said = read(
        403,
        '<?xml version="1.0"?><Error xmlns="urn:x"><Code>AccessDenied</Code><Message>No.</Message>'
        "<RequestId>body-r</RequestId><HostId>body-h</HostId></Error>",
        {
            "x-obs-request-id": "r1",
            "x-obs-id-2": "h1",
            "date": "Sat, 14 Mar 2026 15:09:26 GMT",
            "retry-after": "7",
        },
    )
    assert (said.status, said.code, said.message) == (403, "AccessDenied", "No.")
    assert (said.request_id, said.host_id) == ("r1", "h1")
    assert (said.date, said.retry_after_s) == ("Sat, 14 Mar 2026 15:09:26 GMT", 7.0)


def test_error_without_a_message_is_read() -> None:
    """As Ceph sends it."""
    said = read(404, "<Error><Code>NoSuchUpload</Code><RequestId>tx1</RequestId><HostId>h</HostId></Error>")
    assert (said.code, said.message, said.request_id) == ("NoSuchUpload", "", "tx1")


@pytest.mark.parametrize(
    "body", ["", "<html><h1>Forbidden", "<Other><Code>x</Code></Other>", "<Error", b"\xff\xfe"]
)
def test_the_code_of_a_refusal_without_a_document_is_the_name_of_the_status(body: str | bytes) -> None:
    assert read(403, body).code == "Forbidden"
    assert read(599, body).code == "Status599"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (418, "418 I'm a Teapot"),
        (505, "505 HTTP Version Not Supported"),
        (404, "404 Not Found"),
        (599, "599"),
    ],
)
def test_a_status_without_a_code_is_shown_with_its_phrase(status: int, answer: str) -> None:
    """No code is invented, neither for people nor for scripts."""
    refusal = read(status)
    assert f"was rejected: {answer}." in str(as_error(StoreError(refusal), doing="part 1"))
    assert str(StoreError(refusal)) == f"UploadPart of bucket/key: {answer}"
    assert refusal_fields(refusal)["errorCode"] is None
    assert refusal_fields(read(status, "<Error><Code>NotFound</Code></Error>"))["errorCode"] == "NotFound"


@pytest.mark.parametrize(
    ("status", "kind", "body", "says"),
    [
        (
            400,
            "text/html",
            "<TITLE>400 The plain HTTP request\nwas sent</title>",
            "The plain HTTP request was sent",
        ),
        (502, "text/html; charset=utf-8", "<html><head><title>502 Bad Gateway</title></head>", ""),
        (403, "text/html", "<title>Sign in &mdash; the hotel</title>", "Sign in — the hotel"),
        (400, "Text/Plain", "Client sent an HTTP request to an HTTPS server.\nmore", "Client sent an HTTP"),
        (403, "text/html", "<title>" + "\x1b[31m" * 2000, ""),
        (403, "text/html", b"<title>\xff\x1b[31mred</title>", "\ufffd [31mred"),
        (403, "application/json", '{"title": "no"}', ""),
        (403, "", "<title>no</title>", ""),
    ],
)
def test_the_message_may_come_from_the_page_of_a_proxy(
    status: int, kind: str, body: str | bytes, says: str
) -> None:
    """Unless it repeats the status; bounded, on one line, without control characters."""
    said = read(status, body, {"content-type": kind})
    assert said.message.startswith(says) if says else said.message == ""
    assert said.message.isprintable()


@pytest.mark.parametrize(
    "message",
    [
        "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to "
        "retrieve the object.",
        "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate "
        "encryption parameters.",
        "The provided encryption parameters did not match the ones used originally.",
        "The encryption parameters are not applicable to this object.",
        "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption "
        "algorithm.",
        "The calculated MD5 hash of the key did not match the hash that was provided.",
    ],
    ids=[
        "S3: none",
        "S3: part, none",
        "S3: part, another",
        "S3: not applicable",
        "Ceph: none",
        "Ceph: another",
    ],
)
def test_a_wrong_customer_key(message: str) -> None:
    """The option that names it is what helps, not a permission."""
    final = as_error(refused(400, "InvalidRequest", message), doing="checking bucket/key")
    assert (type(final), "--sse-c-key-file" in str(final.next_step)) == (Refused, True)


def test_a_403_to_a_request_with_a_customer_key() -> None:
    """Amazon S3: another key for an object, or a bucket that accepts none."""
    refusal = Refusal("HeadObject", "bucket/key", 403, "AccessDenied")
    names = ("x-amz-server-side-encryption-customer-key", "x-amz-meta-a")
    for sent_headers, is_named in ((names, True), (names[1:], False)):
        failure = StoreError(refusal._replace(sent_headers=frozenset(sent_headers)))
        final = as_error(failure, doing="checking bucket/key")
        assert (type(final), "--sse-c-key-file" in str(final.next_step)) == (NotPermitted, is_named)


@pytest.mark.parametrize("code", ["PreconditionFailed", "AnyOther"])
def test_a_condition_that_is_not_met(code: str) -> None:
    """Only a request with --no-overwrite fails because the object exists: a gateway may have a condition of its own."""
    refusal = Refusal("PutObject", "bucket/key", 412, code)
    for name, error in (("if-none-match", ObjectExists), ("content-type", Refused)):
        final = as_error(StoreError(refusal._replace(sent_headers=frozenset([name]))), doing="uploading")
        assert type(final) is error


def test_a_lock_that_the_store_rejects_without_a_reason() -> None:
    """Ceph answers PutObject so if the bucket has no Object Lock."""
    refusal = Refusal("PutObject", "bucket/key", 400, "InvalidRequest")
    for names, is_named in (({"x-amz-object-lock-mode"}, True), (set[str](), False)):
        final = as_error(StoreError(refusal._replace(sent_headers=frozenset(names))), doing="uploading")
        assert (type(final), "Object Lock" in final.why) == (Refused, is_named)


@pytest.mark.parametrize(
    "message",
    [
        "The plain HTTP request was sent to HTTPS port",
        "Client sent an HTTP request to an HTTPS server.",
        "You're speaking plain HTTP to an SSL-enabled server port.",
    ],
    ids=["nginx", "Go", "Apache"],
)
def test_http_on_an_https_port_is_an_error_of_the_endpoint(message: str) -> None:
    """Also if a proxy passes it on, as the first page that arrives."""
    refusal = refused(400, "BadRequest", message).refusal
    for one in (refusal, refusal._replace(is_page=True, by_proxy=True)):
        final = as_error(StoreError(one), doing="initiating bucket/key")
        assert isinstance(final, BadConfiguration)
        assert "https://" in str(final.next_step)


def test_a_body_that_was_cut_off_is_a_failure_of_the_network() -> None:
    """Azure and some gateways say it in the message only."""
    failure = refused(400, "BadRequest", "The request body was too small. Expected 9437184 bytes.")
    assert classify(failure).action is Action.RETRY
    assert as_error(failure, doing="part 1 of bucket/key").exit_code == 75


def test_a_limit_of_a_proxy_is_named() -> None:
    """Few users know the directive."""
    final = as_error(refused(413, "RequestEntityTooLarge"), doing="part 1 of bucket/key")
    assert final.exit_code == 69
    assert "client_max_body_size" in str(final.next_step)


def test_the_refusal_of_head_is_read_from_headers() -> None:
    """OBS sends two headers, OSS the document in Base64."""
    said = read(404, headers={"x-obs-error-code": "NoSuchBucket", "x-obs-error-message": "None here"})
    assert (said.code, said.message) == ("NoSuchBucket", "None here")
    document = base64.b64encode(b"<Error><Code>SymlinkTargetNotExist</Code><EC>0026</EC></Error>").decode()
    assert read(404, headers={"x-oss-err": document}, dialect="oss-v4").code == "SymlinkTargetNotExist"
    assert read(404, headers={"x-oss-err": "%%%"}, dialect="oss-v4").code == "NotFound"


def test_texts_of_a_server_cannot_control_the_terminal() -> None:
    """No escape sequences, no change of the writing direction, no endless text."""
    evil = "a&#xd;b\u202ec" + "x" * 5000
    said = read(
        400,
        f"<Error><Code>{evil}</Code><Message>{evil}</Message></Error>",
        {"x-obs-request-id": "\x1b[31mred\x07", "location": "https://x/\x1b]0;t"},
    )
    for text in (said.code, said.message, said.request_id, said.location):
        assert text.isprintable()
        assert len(text) <= 501
    assert said.request_id == "[31mred"


@pytest.mark.parametrize("value", ["", "soon", "-1", "1e9", "Fri, 31 Dec 1999 23:59:59 GMT", "9" * 20])
def test_an_invalid_retry_after_is_ignored(value: str) -> None:
    assert read(503, headers={"retry-after": value}).retry_after_s is None


def test_a_date_in_retry_after_counts_from_the_date_of_the_response() -> None:
    """RFC 9110: the clocks may differ."""
    headers = {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:29 GMT"}
    assert read(503, headers=headers).retry_after_s == 30.0
    headers["date"] = "Sat, 01 Jan 2000 00:01:00 GMT"
    assert read(503, headers=headers).retry_after_s == 0.0


R, S, D, C, F = Action.RETRY, Action.SLOW_DOWN, Action.RESEND, Action.RELOAD_CREDENTIALS, Action.FAIL


@pytest.mark.parametrize(
    ("status", "code", "action", "final"),
    [
        (408, "RequestTimeout", R, NotFinished),
        (400, "RequestTimeout", R, NotFinished),
        (500, "InternalError", R, NotFinished),
        (502, "BadGateway", R, NotFinished),
        (504, "GatewayTimeout", R, NotFinished),
        (200, "InternalError", R, NotFinished),
        (409, "OperationAborted", R, NotFinished),
        (503, "SlowDown", S, Throttled),
        (503, "ServiceUnavailable", S, Throttled),
        (429, "TooManyRequests", S, Throttled),
        (503, "QpsLimitExceeded", S, Throttled),
        (400, "BadDigest", D, DataMismatch),
        (400, "IncompleteBody", R, NotFinished),
        (421, "MisdirectedRequest", R, NotFinished),
        (425, "TooEarly", R, NotFinished),
        (499, "ClientClosedRequest", R, NotFinished),
        (507, "InsufficientStorage", R, NotFinished),
        (511, "NetworkAuthenticationRequired", R, NotFinished),
        *((status, "Status", R, NotFinished) for status in range(520, 529)),
        (529, "SiteIsOverloaded", S, Throttled),
        (530, "Status530", R, NotFinished),
        (501, "NotImplemented", F, Unsupported),
        (505, "HTTPVersionNotSupported", F, Refused),
        (418, "ImATeapot", F, Refused),
        (451, "UnavailableForLegalReasons", F, Refused),
        (400, "InvalidDigest", D, DataMismatch),
        (403, "RequestTimeTooSkewed", Action.SET_CLOCK, Denied),
        (400, "ExpiredToken", C, Denied),
        (403, "SecurityTokenExpired", C, Denied),
        (403, "InvalidAccessKeyId", C, Denied),
        (403, "SignatureDoesNotMatch", C, Denied),
        (403, "AccessDenied", C, NotPermitted),
        (403, "Forbidden", C, NotPermitted),
        (401, "Unauthorized", C, Denied),
        (400, "InvalidPart", Action.REPAIR, DataMismatch),
        (400, "InvalidPartOrder", Action.REPAIR, DataMismatch),
        (400, "EntityTooSmall", Action.ENLARGE, DataMismatch),
        (404, "NoSuchUpload", F, UploadGone),
        (404, "NoSuchBucket", F, Refused),
        (404, "NotFound", F, Refused),
        (409, "FileAlreadyExists", F, ObjectExists),
        (409, "FileImmutable", F, Refused),
        (409, "KeyDisabled", F, Refused),
        (412, "PreconditionFailed", F, Refused),
        (412, "AnyOther", F, Refused),
        (403, "InArrearOrInsufficientBalance", F, Refused),
        (405, "MethodNotAllowed", F, Unsupported),
        (413, "RequestEntityTooLarge", F, Refused),
        (301, "PermanentRedirect", F, BadConfiguration),
        (307, "TemporaryRedirect", F, BadConfiguration),
        (407, "ProxyAuthenticationRequired", F, BadConfiguration),
        (400, "AuthorizationHeaderMalformed", F, BadConfiguration),
        (403, "VirtualHostDomainRequired", F, BadConfiguration),
        (403, "SecondLevelDomainForbidden", F, BadConfiguration),
        (403, "InvalidRegion", F, BadConfiguration),
    ],
)
def test_the_rule_for_an_error_response(
    status: int, code: str, action: Action, final: type[ObsupError]
) -> None:
    """Only permanent errors stop at once, and none aborts the upload."""
    rule = classify(refused(status, code))
    assert (rule.action, rule.error) == (action, final)


def test_a_wrong_clock_without_its_code() -> None:
    """rclone returns 400 AccessDenied."""
    message = "The difference between the request time and the server's time exceeds the maximum allowed."
    assert classify(refused(400, "AccessDenied", message)).action is Action.SET_CLOCK


@pytest.mark.parametrize(
    ("message", "option"),
    [
        ("Unsupported Authorization Type", "--signature"),
        (
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            "--signature",
        ),
        ("Invalid signing region in Authorization header.", "--region"),
    ],
)
def test_an_unsupported_signature_is_reported_clearly(message: str, option: str) -> None:
    final = as_error(refused(400, "InvalidRequest", message), doing="part 1 of bucket/key")
    assert isinstance(final, BadConfiguration)
    assert option in str(final.next_step)
    assert message.rstrip(".") in final.why


@pytest.mark.parametrize("code", ["UnsupportedAlgorithm", "InvalidArgument"])
def test_other_codes_for_an_unsupported_signature(code: str) -> None:
    """rclone has a special code; Ceph returns InvalidArgument without a message.

    Another provider helps only as long as nothing shows that the store has the protocol of this one.
    """
    refusal = refused(400, code).refusal
    for is_assumed in (True, False):
        error = StoreError(refusal._replace(is_assumed=is_assumed))
        final = as_error(error, doing="initiating bucket/key")
        assert isinstance(final, BadConfiguration)
        assert ("--provider s3" in str(final.next_step)) is is_assumed


@pytest.mark.parametrize(
    ("kind", "action", "final"),
    [
        ("certificate", F, BadConfiguration),
        ("dates", F, BadConfiguration),
        ("proxy-dates", F, BadConfiguration),
        ("tunnel", F, BadConfiguration),
        ("no-tls", F, BadConfiguration),
        ("needs-tls", F, BadConfiguration),
        ("protocol", F, BadConfiguration),
        ("proxy-certificate", F, BadConfiguration),
        ("proxy-no-tls", F, BadConfiguration),
        ("proxy-alert", F, BadConfiguration),
        ("proxy-login", F, BadConfiguration),
        ("proxy-protocol", F, BadConfiguration),
        ("garbled", Action.REPEAT, Refused),
        *(
            (kind, R, NotFinished)
            for kind in ["resolve", "refused", "connect", "proxy", "tls", "reset", "stall", "incomplete"]
        ),
    ],
)
def test_the_rule_for_a_network_failure(kind: str, action: Action, final: type[ObsupError]) -> None:
    rule = classify(NetworkError(kind, "whatever", True))
    assert (rule.action, rule.error) == (action, final)


def test_a_locked_object_is_no_missing_permission() -> None:
    """The store was understood, so that another provider or other credentials cannot help."""
    for answer in (
        refused(403, "AccessDenied", "Access Denied because object protected by object lock."),
        refused(400, "InvalidRequest", "Object is WORM protected and cannot be overwritten"),
    ):
        error = as_error(StoreError(answer.refusal._replace(is_assumed=True)), doing="uploading bucket/key")
        assert (error.exit_code, type(error)) == (69, Refused)
        assert str(error.next_step) == "choose another key, or wait until the lock ends"


def test_invalid_argument_without_a_message_may_be_about_an_option() -> None:
    """As for a storage class that Ceph does not have: another signature does not help then."""
    for is_assumed in (False, True):
        refusal = refused(400, "InvalidArgument").refusal._replace(is_assumed=is_assumed)
        assert "--storage-class" in str(as_error(StoreError(refusal), doing="initiating b/k").next_step)


def test_invalid_argument_with_a_message_is_not_about_the_signature() -> None:
    """The message of the store names the cause."""
    rule = classify(refused(400, "InvalidArgument", "Part number must be an integer between 1 and 10000"))
    assert (rule.action, rule.error) == (F, Refused)


def test_every_rule_has_a_reason_and_a_next_step() -> None:
    assert all(row.why and row.next_step for row in FAILURE_RULES)


def test_the_final_error_has_what_why_next_and_the_ids() -> None:
    """The message contains what the vendor's support needs; the refusal contains what scripts need."""
    said = read(
        403, "<Error><Code>AccessDenied</Code><Message>No.</Message></Error>", {"x-obs-request-id": "r1"}
    )
    final = as_error(StoreError(said), doing="part 3 of bucket/key")
    assert final.what == "part 3 of bucket/key was rejected: 403 AccessDenied"
    assert final.why.endswith("(No; request id r1)")
    assert str(final.next_step)
    assert final.refusal == said


def test_a_network_failure_has_no_refusal() -> None:
    final = as_error(NetworkError("reset", "the connection was closed", True), doing="part 3 of bucket/key")
    assert final.what == "part 3 of bucket/key failed: the connection was closed"
    assert final.refusal is None


@pytest.mark.parametrize(
    "failure",
    [
        as_error(refused(403, "AccessDenied", "No."), doing="part 1 of b/k"),
        as_error(NetworkError("reset", "closed", True), doing="part 1 of b/k"),
        refused(500, "InternalError"),
        NetworkError("stall", "still", False),
    ],
)
def test_failures_travel_between_processes(failure: Any) -> None:
    """With all their data, because a worker may be another process."""
    back = pickle.loads(pickle.dumps(failure))
    assert type(back) is type(failure)
    assert str(back) == str(failure)
    assert vars(back) == vars(failure)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"content-type": "text/html; charset=utf-8"}, BadConfiguration),
        ({"content-type": "text/html", "x-obs-request-id": "r1"}, NotPermitted),
        ({"content-type": "text/plain"}, NotPermitted),
        ({}, NotPermitted),
    ],
)
def test_the_web_page_of_a_proxy_is_not_the_stores_refusal(
    headers: dict[str, str], error: type[ObsupError]
) -> None:
    """Credentials cannot correct it. A response with a request id is the store's, whatever its form."""
    refusal = read(403, "<html><title>Access Denied by policy</title></html>", headers)
    assert classify(StoreError(refusal)).error is error
