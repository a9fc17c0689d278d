"""Rules for every signature: locale, retries, secrets, clocks, regions."""

from __future__ import annotations

import contextlib
import locale
import pickle
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import oss2
import pytest
from msgspec.structs import replace

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Dialect, Signable
from obsup.dialects.encoding import basic_date, http_date, lower_headers, secret_bytes
from obsup.dialects.obs import NATIVE_SIGNATURE
from obsup.dialects.oss import OSS1_SIGNATURE, OSS4_SIGNATURE
from obsup.dialects.registry import DIALECTS
from obsup.dialects.s3 import AWS4_SIGNATURE
from obsup.errors import Denied, WrongUsage
from obsup.model import Credentials

NOW = datetime(2026, 3, 14, 15, 9, 26, 987654, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG"
TOKEN = "sts-token-value"
CREDENTIALS = Credentials("AKID", SECRET, TOKEN)
ADDRESS = locate("https://obs.eu-de.otc.t-systems.com", "media", "a b", "virtual")
REQUEST = Signable("PUT", ADDRESS, (("partNumber", "7"), ("uploadId", "x")), {"Content-Length": "21"})

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)


def sign(dialect: Dialect, request: Signable = REQUEST, now: datetime = NOW) -> dict[str, str]:
    return dialect.sign(request, CREDENTIALS, region="eu-de", now=now)


@contextlib.contextmanager
def _other_locale() -> Iterator[str]:
    before = locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "zh_CN.UTF-8", "fr_FR.UTF-8", "ar_EG.UTF-8", "C.UTF-8"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            break
    try:
        yield locale.setlocale(locale.LC_ALL)
    finally:
        locale.setlocale(locale.LC_ALL, before)


@every_dialect
def test_signature_is_the_same_in_every_locale(dialect: Dialect) -> None:
    expected = sign(dialect)
    with _other_locale():
        assert sign(dialect) == expected


class NamelessDatetime(datetime):
    """A date whose names of day and month must not depend on the locale."""

    def strftime(self, format: str) -> str:  # noqa: A002 - the parameter's name in datetime
        assert not any(name in format for name in ("%a", "%A", "%b", "%B", "%c", "%x", "%X", "%p"))
        return super().strftime(format)


def test_names_in_dates_do_not_depend_on_the_locale() -> None:
    """This test also works on machines with only one locale."""
    now = NamelessDatetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
    assert http_date(now) == "Sat, 14 Mar 2026 15:09:26 GMT"
    assert basic_date(now) == "20260314T150926Z"


def test_dates_are_utc_in_every_time_zone() -> None:
    abroad = NOW.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert http_date(abroad) == http_date(NOW)
    assert basic_date(abroad) == basic_date(NOW)


@every_dialect
def test_clock_without_a_time_zone_is_rejected(dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="time zone"):
        sign(dialect, now=NOW.replace(tzinfo=None))


@every_dialect
def test_signing_again_replaces_date_token_and_authorization(dialect: Dialect) -> None:
    """A retry signs the headers of the previous attempt; the old signature must not affect the new one."""
    first = sign(dialect, now=NOW - timedelta(minutes=20))
    stale = {"Content-Length": "21", **first, dialect.headers.security_token: "an old token"}
    again = sign(dialect, replace(REQUEST, headers=stale))
    assert {**stale, **again} == {**REQUEST.headers, **sign(dialect)}


@every_dialect
def test_every_change_of_the_request_changes_the_signature(dialect: Dialect) -> None:
    signed = {
        "as it is": REQUEST,
        "method": replace(REQUEST, method="POST"),
        "key": replace(REQUEST, address=replace(ADDRESS, path="/a%20c", key="a c")),
        "part number": replace(REQUEST, query=(("partNumber", "8"), ("uploadId", "x"))),
        "upload id": replace(REQUEST, query=(("partNumber", "7"), ("uploadId", "y"))),
        "content type": replace(REQUEST, headers={"Content-Type": "text/plain"}),
        "content md5": replace(REQUEST, headers={"content-md5": "/QY/f/xtpSbPeHdUJlJ/ww=="}),
        "metadata": replace(REQUEST, headers={f"{dialect.headers.meta}a": "b"}),
    }
    assert len({sign(dialect, request)["Authorization"] for request in signed.values()}) == len(signed)


@every_dialect
def test_token_is_signed_and_has_the_dialects_header(dialect: Dialect) -> None:
    assert sign(dialect)[dialect.headers.security_token] == TOKEN
    other = dialect.sign(REQUEST, replace(CREDENTIALS, token="other"), region="eu-de", now=NOW)
    assert other["Authorization"] != sign(dialect)["Authorization"]
    without = dialect.sign(REQUEST, replace(CREDENTIALS, token=None), region="eu-de", now=NOW)
    assert dialect.headers.security_token not in without


@every_dialect
def test_secret_is_neither_sent_nor_printed(dialect: Dialect) -> None:
    seen = [repr(dialect), repr(dialect.sign), repr(REQUEST), repr(CREDENTIALS), *sign(dialect).values()]
    assert not any(SECRET in text for text in seen)


@every_dialect
def test_damaged_secret_is_rejected_and_not_shown(dialect: Dialect) -> None:
    """An encoding error has the whole secret in its arguments, which a traceback or a pickle would show."""
    damaged = Credentials("AKID", "hunter2é", origin="profile nightly")
    with pytest.raises(Denied, match="not ASCII") as caught:
        dialect.sign(REQUEST, damaged, region="eu-de", now=NOW)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert "hunter2" not in shown
    assert "profile nightly" in shown


@every_dialect
def test_dialect_can_be_pickled(dialect: Dialect) -> None:
    there = pickle.loads(pickle.dumps(dialect))
    assert sign(there) == sign(dialect)


def test_prefixed_date_leaves_the_date_line_of_obs_empty() -> None:
    request = replace(REQUEST, headers={"X-Obs-Date": "Sat, 14 Mar 2026 15:09:26 GMT"})
    added = NATIVE_SIGNATURE.sign(request, CREDENTIALS, region="", now=NOW)
    assert "Date" not in added
    own_date = lower_headers(request.headers)
    assert "PUT\n\n\n\nx-obs-date:Sat" in NATIVE_SIGNATURE.string_to_sign(request, own_date, date="")


def test_prefixed_date_is_repeated_in_the_date_line_of_oss() -> None:
    """Unlike OBS; compared with the signer of oss2."""
    date = "Sat, 14 Mar 2026 15:09:26 GMT"
    request = replace(REQUEST, headers={"x-oss-date": date})
    theirs = oss2.http.Request("PUT", "https://unused.example", params=dict(REQUEST.query))
    theirs.headers["x-oss-date"] = date
    oss2.Auth("AKID", SECRET)._sign_request(theirs, "media", "a b")
    added = OSS1_SIGNATURE.sign(request, replace(CREDENTIALS, token=None), region="", now=NOW)
    assert added == {"Authorization": theirs.headers["authorization"]}


def test_paging_parameters_are_not_signed_by_v2() -> None:
    paging = (("uploads", None), ("max-uploads", "10"), ("key-marker", "k"), ("encoding-type", "url"))
    for signature in (NATIVE_SIGNATURE, OSS1_SIGNATURE):
        text = signature.string_to_sign(replace(REQUEST, query=paging), {}, date="")
        assert text.endswith("?uploads")


def test_values_of_sub_resources_are_signed_decoded() -> None:
    request = replace(REQUEST, query=(("uploadId", "a+b/c d"), ("response-content-type", "é")))
    text = NATIVE_SIGNATURE.string_to_sign(request, {}, date="")
    assert text.endswith("?response-content-type=é&uploadId=a+b/c d")


def test_empty_value_of_a_sub_resource() -> None:
    request = replace(REQUEST, query=(("versionId", ""),))
    assert NATIVE_SIGNATURE.string_to_sign(request, {}, date="").endswith("?versionId=")
    assert OSS1_SIGNATURE.string_to_sign(request, {}, date="").endswith("?versionId")


def test_headers_are_trimmed_lowered_and_joined() -> None:
    headers = {"X-Obs-Meta-A": " 1 ", "x-obs-meta-a": "2", "Content-Type": "text/plain\t"}
    assert lower_headers(headers) == {"x-obs-meta-a": "1,2", "content-type": "text/plain"}


def test_inner_blanks_are_collapsed_by_aws4_only() -> None:
    headers = {"x-amz-meta-a": "b  c", "x-obs-meta-a": "b  c", "x-oss-meta-a": "b  c"}
    assert "x-amz-meta-a:b c\n" in AWS4_SIGNATURE.canonical_request(REQUEST, headers)
    assert "x-oss-meta-a:b  c\n" in OSS4_SIGNATURE.canonical_request(REQUEST, headers)
    assert "x-obs-meta-a:b  c\n" in NATIVE_SIGNATURE.string_to_sign(REQUEST, headers, date="")


@pytest.mark.parametrize(
    "name", ["User-Agent", "Accept-Encoding", "Expect", "Connection", "Authorization", "Transfer-Encoding"]
)
def test_headers_that_change_on_the_way_are_not_signed(name: str) -> None:
    with_it = replace(REQUEST, headers={**REQUEST.headers, name: "x"})
    for dialect in DIALECTS.values():
        assert sign(dialect, with_it)["Authorization"] == sign(dialect)["Authorization"]


def test_host_is_signed_by_aws4_with_its_port() -> None:
    request = replace(REQUEST, address=replace(ADDRESS, host="127.0.0.1:9000"), headers={"Host": "wrong"})
    assert "\nhost:127.0.0.1:9000\n" in AWS4_SIGNATURE.canonical_request(request, {"host": "wrong"})


def test_given_content_hash_is_signed_and_sent_once() -> None:
    request = replace(REQUEST, headers={"X-Amz-Content-SHA256": "abc"})
    assert "x-amz-content-sha256" not in sign(DIALECTS["s3-v4"], request)
    canonical = AWS4_SIGNATURE.canonical_request(request, lower_headers(request.headers))
    assert canonical.endswith("\nabc")
    assert sign(DIALECTS["s3-v4"])["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


def test_s3_without_a_region_is_us_east_1() -> None:
    added = DIALECTS["s3-v4"].sign(REQUEST, CREDENTIALS, region="", now=NOW)
    assert "/20260314/us-east-1/s3/aws4_request" in added["Authorization"]


@pytest.mark.parametrize("name", ["obs-v4", "oss-v4"])
def test_missing_region_is_an_error_that_names_the_option(name: str) -> None:
    dialect = DIALECTS[name]
    assert dialect.needs_region
    with pytest.raises(WrongUsage, match="need the region") as caught:
        dialect.sign(REQUEST, CREDENTIALS, region="", now=NOW)
    assert "--region" in str(caught.value.next_step)


def test_cloud_box_is_signed_for_a_separate_service() -> None:
    added = DIALECTS["oss-v4"].sign(REQUEST, CREDENTIALS, region="cb-f8z7", now=NOW)
    assert "/20260314/cb-f8z7/oss-cloudbox/aliyun_v4_request" in added["Authorization"]


def test_secret_bytes_may_have_a_prefix() -> None:
    assert secret_bytes(CREDENTIALS, "AWS4") == b"AWS4" + SECRET.encode()


@every_dialect
def test_dialect_is_consistent(dialect: Dialect) -> None:
    """The fields do not contradict each other."""
    assert dialect.headers.meta.startswith(dialect.prefix)
    assert dialect.headers.security_token == f"{dialect.prefix}security-token"
    assert bool(dialect.no_overwrite_on) == (dialect.headers.no_overwrite is not None)
    assert bool(dialect.grant_permissions) == (dialect.headers.grant is not None)
    assert all(word == word.upper() for word in dialect.storage_classes)
    assert all(word == word.lower() for word in dialect.acls)
    assert set(dialect.sse) == {"AES256", "kms"}
    assert dialect.limits.max_object == dialect.limits.max_parts * dialect.limits.max_part
    assert ("x-amz-content-sha256" in sign(dialect)) == (dialect.signature == "v4")
    assert bool(dialect.payload_hash_header) == (dialect.name == "s3-v4")
