"""Every fault rule, made to happen."""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from obsup.sandbox.faults import Place, applies, parse_fault
from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.client import Client
from tests.support.waiting import wait_for

LOST = (http.client.HTTPException, ConnectionError)
DATA = b"0123456789" * 1000


def upload_of(client: Client, *parts: bytes) -> tuple[str, dict[int, str]]:
    upload_id = client.initiate("key")
    return upload_id, {
        n: client.part("key", upload_id, n, body).etag for n, body in enumerate(parts, start=1)
    }


def test_error_replaces_the_operation_as_often_as_requested(sandbox: Sandbox, client: Client) -> None:
    upload_id, _ = upload_of(client)
    sandbox.add_fault("error=503:SlowDown,op=part,part=3,times=2,retry-after=7")
    assert client.part("key", upload_id, 2, DATA).status == 200
    for _ in range(2):
        reply = client.part("key", upload_id, 3, DATA)
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "SlowDown", "7")
    assert [(u.upload_id, set(u.parts)) for u in sandbox.uploads()] == [(upload_id, {2})]
    assert client.part("key", upload_id, 3, DATA).status == 200
    assert sandbox.connections == 1
    struck = [record for record in sandbox.requests if record.fault]
    assert [(r.status, r.code, r.received, r.part_number) for r in struck] == [
        (503, "SlowDown", 10_000, 3)
    ] * 2


def test_an_early_error_comes_before_the_body_is_read(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("error=403:AccessDenied,op=put,early=1")
    client.connection.putrequest("PUT", "/bucket/key")
    client.connection.putheader("Content-Length", str(1 << 30))
    client.connection.endheaders()
    reply = client.connection.getresponse()
    assert (reply.status, reply.getheader("Connection")) == (403, "close")
    assert sandbox.requests[-1].received == 0


def test_an_early_error_reaches_a_client_that_is_still_sending(sandbox: Sandbox, client: Client) -> None:
    """Closing with unread bytes would be a reset, which overtakes the answer."""
    sandbox.add_fault("error=403:AccessDenied,op=put,early=1")
    reply = client.send("PUT", "key", body=bytes(16 * 1024 * 1024))
    assert (reply.status, reply.code) == (403, "AccessDenied")


def test_drop_request_takes_so_many_bytes_and_closes(sandbox: Sandbox, client: Client) -> None:
    upload_id, _ = upload_of(client)
    sandbox.add_fault("drop-request=6000,op=part")
    with pytest.raises(LOST):
        client.part("key", upload_id, 1, DATA)
    record = sandbox.requests[-1]
    assert (record.received, record.status) == (6000, 0)
    assert sandbox.uploads()[0].parts == {}
    client.close()
    assert client.part("key", upload_id, 1, DATA).status == 200


def test_reset_ends_in_a_tcp_reset(sandbox: Sandbox, client: Client) -> None:
    upload_id, _ = upload_of(client)
    sandbox.add_fault("reset=10000,op=part")
    query = {"partNumber": "1", "uploadId": upload_id}
    headers = client.headers("PUT", "key", query, {"Content-Length": "10000"}, time.time())
    client.connection.putrequest("PUT", client.target("key", query))
    for name, value in headers.items():
        client.connection.putheader(name, value)
    client.connection.endheaders(DATA)
    # The bare socket tells a reset from an orderly end, http.client does not.
    with pytest.raises(ConnectionResetError):
        client.connection.sock.recv(1)


def test_drop_answer_executes_the_request(sandbox: Sandbox, client: Client) -> None:
    upload_id, etags = upload_of(client, DATA)
    sandbox.add_fault("drop-answer,op=complete")
    with pytest.raises(LOST):
        client.complete("key", upload_id, etags)
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA
    assert sandbox.requests[-1].status == 0
    client.close()
    assert client.complete("key", upload_id, etags).code == "NoSuchUpload"


def test_error_after_does_the_work(sandbox: Sandbox, client: Client) -> None:
    upload_id, etags = upload_of(client, DATA)
    sandbox.add_fault("error-after=500:InternalError,op=complete")
    reply = client.complete("key", upload_id, etags)
    assert (reply.status, reply.code) == (500, "InternalError")
    assert sandbox.object_path("bucket", "key").read_bytes() == DATA


def test_error_after_does_not_hide_a_refusal(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("error-after=500:InternalError")
    assert client.send("GET", "absent").code == "NoSuchKey"


@pytest.mark.parametrize("done", [False, True])
def test_error_in_200_with_the_work_done_or_not(sandbox: Sandbox, client: Client, done: bool) -> None:
    client.send("PUT", "source", body=DATA)
    upload_id, etags = upload_of(client, DATA)
    rule = "error-in-200=InternalError" + (",done=1" if done else "")
    sandbox.add_fault(rule + ",op=copy")
    sandbox.add_fault(rule + ",op=complete")
    query = {"partNumber": "2", "uploadId": upload_id}
    reply = client.send("PUT", "key", query, headers={"x-obs-copy-source": "bucket/source"})
    assert (reply.status, reply.code) == (200, "InternalError")
    assert set(sandbox.uploads()[0].parts) == ({1, 2} if done else {1})
    reply = client.complete("key", upload_id, etags)
    assert (reply.status, reply.code) == (200, "InternalError")
    assert sandbox.object_path("bucket", "key").exists() is done
    assert bool(sandbox.uploads()) is not done


def test_slow_holds_each_body_to_its_rate(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("slow=50000,op=put")
    started = time.monotonic()
    assert client.send("PUT", "key", body=DATA).status == 200
    assert time.monotonic() - started >= 0.2
    client.send("PUT", "key", body=DATA)
    assert time.monotonic() - started >= 0.4
    client.send("GET", "key")
    assert [record.fault is None for record in sandbox.requests] == [False, False, True]


def test_slow_limits_what_the_client_can_send() -> None:
    """The buffers of the sockets fill up, and nothing more can be sent, as the sandbox does not read ahead."""
    length, sent = 64 * 1024 * 1024, 0
    with Sandbox(faults=["slow=1K,op=put"]) as sandbox, closing(Client(sandbox)) as client:
        headers = client.headers("PUT", "key", {}, {"Content-Length": str(length)}, time.time())
        client.connection.putrequest("PUT", client.target("key", {}))
        for name, value in headers.items():
            client.connection.putheader(name, value)
        client.connection.endheaders()
        client.connection.sock.settimeout(0.3)
        with suppress(TimeoutError):
            while sent < length:
                sent += client.connection.sock.send(bytes(min(1024 * 1024, length - sent)))
        assert sent < length
    (record,) = wait_for(lambda: sandbox.requests)
    assert (record.status, record.received < sent) == (0, True)


def test_delay_waits_before_the_work(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("delay=0.2,op=put")
    started = time.monotonic()
    client.send("PUT", "key", body=b"x")
    assert time.monotonic() - started >= 0.2
    client.send("PUT", "key", body=b"x")
    assert [record.fault is None for record in sandbox.requests] == [False, True]


def test_stall_sends_nothing_and_closes(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("stall=0.2,op=put")
    started = time.monotonic()
    with pytest.raises(LOST):
        client.send("PUT", "key", body=DATA)
    assert time.monotonic() - started >= 0.2
    assert (sandbox.requests[-1].received, sandbox.requests[-1].status) == (0, 0)


def test_a_stalled_request_does_not_hold_up_the_end(start: Callable[..., Sandbox]) -> None:
    with Sandbox(faults=["stall=600,op=put"]) as sandbox:
        client = Client(sandbox)

        def put() -> None:
            with pytest.raises(LOST):
                client.send("PUT", "key", body=DATA)

        thread = threading.Thread(target=put)
        thread.start()
        wait_for(lambda: sandbox.injected_faults)
    thread.join(timeout=60)
    assert not thread.is_alive()
    client.close()


def test_skew_sets_the_servers_clock_off(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("skew=3600")
    refused = client.send("PUT", "key", body=b"x")
    assert refused.code == "RequestTimeTooSkewed"
    told = time.mktime(time.strptime(refused.headers["date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert told - time.time() == pytest.approx(3600, abs=5)
    assert client.send("PUT", "key", body=b"x", now=told).status == 200
    sandbox.clear_faults()
    assert client.send("PUT", "key", body=b"x").status == 200


def test_flip_bit_stores_one_other_bit_and_its_etag(sandbox: Sandbox, client: Client) -> None:
    upload_id, _ = upload_of(client)
    sandbox.add_fault("flip-bit,op=part,part=1")
    clean = client.part("key", upload_id, 2, DATA).etag
    etag = client.part("key", upload_id, 1, DATA).etag
    assert etag != clean
    assert client.complete("key", upload_id, {1: etag}).status == 200
    stored = sandbox.object_path("bucket", "key").read_bytes()
    assert [index for index in range(len(DATA)) if stored[index] != DATA[index]] == [0]
    assert (stored[0] ^ DATA[0]).bit_count() == 1


def test_truncate_answer_ends_in_the_middle_of_the_response(sandbox: Sandbox, client: Client) -> None:
    upload_id, etags = upload_of(client, DATA)
    sandbox.add_fault("truncate-answer,op=complete")
    with pytest.raises(http.client.IncompleteRead):
        client.complete("key", upload_id, etags)
    client.close()
    sandbox.add_fault("truncate-answer,op=get")
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.send("GET", "key")
    assert caught.value.partial == DATA[: len(DATA) // 2]
    sandbox.add_fault("truncate-answer,op=head")
    client.close()
    assert "content-length" not in client.send("HEAD", "key").headers


def test_empty_etag_on_complete(sandbox: Sandbox, client: Client) -> None:
    upload_id, etags = upload_of(client, DATA)
    sandbox.add_fault("empty-etag,op=complete")
    reply = client.complete("key", upload_id, etags)
    assert (reply.status, reply.text("ETag"), reply.text("Key")) == (200, "", "key")


def test_forget_upload_lets_it_vanish_for_good(sandbox: Sandbox, client: Client) -> None:
    upload_id, _ = upload_of(client, DATA)
    sandbox.add_fault("forget-upload,op=part,part=2")
    assert client.part("key", upload_id, 2, DATA).code == "NoSuchUpload"
    assert client.send("GET", "key", {"uploadId": upload_id}).code == "NoSuchUpload"


def test_expire_token_refuses_this_token_until_there_is_another(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    sandbox = start(require_token="old")
    for dialect, status, code in (
        ("obs", 403, "InvalidAccessKeyId"),
        ("aws2", 400, "ExpiredToken"),
        ("oss1", 403, "SecurityTokenExpired"),
    ):
        sandbox.require_token = "old"
        client = connect(sandbox, dialect)
        old, new = ({f"{client.prefix}security-token": token} for token in ("old", "new"))
        assert client.send("PUT", "key", body=b"x", headers=old).status == 200
        sandbox.add_fault("expire-token,op=put")
        for _ in range(2):
            reply = client.send("PUT", "key", body=b"x", headers=old)
            assert (reply.status, reply.code) == (status, code)
        sandbox.require_token = "new"
        assert client.send("PUT", "key", body=b"x", headers=new).status == 200
        sandbox.clear_faults()


def test_without_its_token_a_key_is_not_valid(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    sandbox = start(require_token="right")
    for dialect, code in (
        ("obs", "InvalidToken"),
        ("aws2", "InvalidToken"),
        ("oss1", "InvalidSecurityToken"),
    ):
        client = connect(sandbox, dialect)
        assert client.send("PUT", "key", body=b"x").code == "InvalidAccessKeyId"
        wrong = {f"{client.prefix}security-token": "wrong"}
        assert client.send("PUT", "key", body=b"x", headers=wrong).code == code


def test_close_idle_closes_connections_that_say_nothing(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("close-idle=0.1")
    client.send("PUT", "key", body=b"x")
    assert client.connection.sock.recv(1) == b""


def test_after_spares_the_first_and_times_counts_the_rest(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("error=500:InternalError,op=get,after=1,times=2")
    client.send("PUT", "key", body=b"x")
    assert [client.send("GET", "key").status for _ in range(4)] == [200, 500, 500, 200]


def test_last_is_a_part_smaller_than_another_one(sandbox: Sandbox, client: Client) -> None:
    upload_id, _ = upload_of(client)
    sandbox.add_fault("error=500:InternalError,op=part,part=last")
    assert client.part("key", upload_id, 1, DATA).status == 200
    assert client.part("key", upload_id, 2, DATA).status == 200
    assert client.part("key", upload_id, 3, b"less").status == 500


def test_two_rules_strike_together_and_one_of_a_kind_at_a_time(sandbox: Sandbox, client: Client) -> None:
    for rule in ("delay=0.1,op=put", "error=500:First,op=put", "error=500:Second,op=put"):
        sandbox.add_fault(rule)
    started = time.monotonic()
    assert client.send("PUT", "key", body=b"x").code == "First"
    assert time.monotonic() - started >= 0.1
    assert sandbox.requests[-1].fault == "delay=0.1,op=put error=500:First,op=put"
    assert client.send("PUT", "key", body=b"x").code == "Second"
    assert client.send("PUT", "key", body=b"x").status == 200


def test_faults_are_given_at_the_start_too(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    assert connect(start(faults=["error=500:X"])).send("GET", "key").code == "X"


@pytest.mark.parametrize(
    ("rule", "place", "wanted"),
    [
        ("drop-answer", Place("get"), True),
        ("drop-answer,op=put", Place("get"), False),
        ("drop-answer,part=2-4", Place("part", 4), True),
        ("drop-answer,part=2-4", Place("part", 5), False),
        ("drop-answer,part=2", Place("put"), False),
        ("drop-answer,key=logs/*.gz", Place("put", key="logs/a/b.gz"), True),
        ("drop-answer,key=logs/*.gz", Place("put", key="other"), False),
    ],
)
def test_a_rule_applies_to_matching_requests(rule: str, place: Place, wanted: bool) -> None:
    assert applies(parse_fault(rule), place) is wanted


@pytest.mark.parametrize(
    ("rule", "place", "wanted"),
    [
        ("flip-bit", Place("initiate"), False),
        ("flip-bit", Place("put"), True),
        ("empty-etag", Place("part", 1), False),
        ("error-in-200=X", Place("initiate"), False),
        ("error-in-200=X", Place("copy", 1), True),
        ("forget-upload", Place("initiate"), False),
        ("drop-request=100", Place("part", 1, body=99), False),
        ("drop-request=100", Place("part", 1, body=100), True),
        ("reset", Place("get"), True),
    ],
)
def test_a_rule_skips_requests_that_it_cannot_affect(rule: str, place: Place, wanted: bool) -> None:
    assert applies(parse_fault(rule), place) is wanted


def test_how_often_a_rule_strikes_by_default() -> None:
    assert parse_fault("error=500:X").times == 1
    assert parse_fault("error=500:X,times=always").times == math.inf
    assert {parse_fault(rule).times for rule in ("slow=1M", "skew=-5", "close-idle=1")} == {math.inf}
    assert parse_fault("slow=1M").number == 1024 * 1024


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "erorr=500",
        "error=5:X",
        "error=500:X,op=prat",
        "error=500:X,part=0",
        "error=500:X,times=often",
        "error=500:X,often=1",
        "error=500:X,after=x",
        "drop-answer=1",
        "drop-request=lots",
        "delay=-1",
        "delay=soon",
        "slow=0",
    ],
)
def test_a_rule_that_is_none_is_refused_by_its_name(rule: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        parse_fault(rule)


def test_the_log_counts_received_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Sandbox(log=log, limits={"min_part": 1}) as sandbox:
        client = Client(sandbox)
        client.upload("key", [DATA])
        client.close()
        records = [record.to_json() for record in sandbox.requests]
    assert log.read_text().splitlines() == records
    part = json.loads(records[1])
    assert (part["operation"], part["partNumber"], part["received"]) == ("part", 1, 10000)
    assert part["uploadId"]
    assert sandbox.access_key not in log.read_text()


def test_a_store_that_ignores_conditions(sandbox: Sandbox) -> None:
    sandbox.add_fault("ignore-condition")
    condition = {"x-oss-forbid-overwrite": "true"}
    with closing(Client(sandbox, "oss1")) as client:
        for body in (b"old", b"new"):
            assert client.send("PUT", "key", body=body, headers=condition).status == 200
        assert sandbox.object_path("bucket", "key").read_bytes() == b"new"
        sandbox.clear_faults()
        assert client.send("PUT", "key", body=b"late", headers=condition).status == 409


def test_a_store_that_ignores_options_and_encryption(sandbox: Sandbox, client: Client) -> None:
    headers = {"x-obs-meta-colour": "blue", "x-obs-server-side-encryption": "kms"}
    shown = []
    for faults in ((), ("hide-encryption,op=put",), ("ignore-options",), ("ignore-encryption",)):
        sandbox.clear_faults()
        for fault in faults:
            sandbox.add_fault(fault)
        put = client.send("PUT", "key", body=b"x", headers=headers)
        head = client.send("HEAD", "key")
        found = ["x-obs-server-side-encryption" in put.headers]
        shown.append(found + [name in head.headers for name in headers])
    assert shown == [[True] * 3, [False, True, True], [True, False, True], [False, True, False]]


def test_an_etag_over_the_blocks_of_the_store(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("own-etag=60000")
    assert client.upload("key", [bytes(100_000), bytes(70_000)]).text("ETag").endswith('-4"')


def test_a_store_that_lists_no_parts_of_a_missing_upload(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("empty-list")
    upload_id, _ = upload_of(client, DATA)
    assert client.send("GET", "key", {"uploadId": upload_id}).body.count(b"<Part>") == 1
    reply = client.send("GET", "key", {"uploadId": "other"})
    assert (reply.status, reply.body.count(b"<Part>")) == (200, 0)


def test_a_store_that_does_not_encode_keys(sandbox: Sandbox, client: Client) -> None:
    sandbox.add_fault("plain-keys")
    client.send("PUT", "a+b%41", body=b"x")
    body = client.send("GET", "", {"encoding-type": "url"}).body
    assert b"<Key>a+b%41</Key>" in body
    assert b"EncodingType" not in body
