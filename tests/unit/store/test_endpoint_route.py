"""Redirects: at most one, signed again, within the provider's domain, remembered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from obsup.dialects.registry import DIALECTS
from obsup.errors import BadConfiguration, Refusal, StoreError
from obsup.model import Upload
from obsup.store.answers.failure_table import as_error
from obsup.store.answers.refusal import read_refusal
from obsup.store.endpoint_route import Location, redirect_target
from obsup.store.http.settings import Response
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error, response
from tests.support.stores import bytes_body, open_store, target

AWS = Location("https://s3.us-east-1.amazonaws.com", "us-east-1", "virtual")
OBS = Location("https://obs.eu-de.otc.t-systems.com", "eu-de", "virtual")
OSS = Location("https://oss-cn-beijing.aliyuncs.com", "cn-beijing", "virtual")
OWN = Location("https://store.example:9000", "us-east-1", "path")


def refusal(status: int, code: str = "PermanentRedirect", *, region: str = "", location: str = "") -> Refusal:
    return Refusal("UploadPart", "bkt/key", status, code, region=region, location=location)


@pytest.mark.parametrize(
    ("used", "refused", "expected"),
    [
        # Location of a redirect: the regional host, with the bucket before it or without.
        (
            OBS,
            refusal(307, location="https://bkt.obs.eu-nl.otc.t-systems.com/key?uploads"),
            Location("https://obs.eu-nl.otc.t-systems.com", "eu-nl", "virtual"),
        ),
        (
            OBS,
            refusal(301, location="https://obs.eu-nl.otc.t-systems.com/bkt/key"),
            Location("https://obs.eu-nl.otc.t-systems.com", "eu-nl", "virtual"),
        ),
        # <Endpoint> in the body: a bare host. The region of the header wins over the host's.
        (
            AWS,
            refusal(301, location="bkt.s3-eu-west-1.amazonaws.com", region="eu-west-1"),
            Location("https://s3-eu-west-1.amazonaws.com", "eu-west-1", "virtual"),
        ),
        (
            AWS,
            refusal(301, location="bkt.s3.amazonaws.com", region="eu-west-1"),
            Location("https://s3.amazonaws.com", "eu-west-1", "virtual"),
        ),
        # HEAD: a region in a header is all there is.
        (
            AWS,
            refusal(301, region="eu-west-1"),
            Location("https://s3.eu-west-1.amazonaws.com", "eu-west-1", "virtual"),
        ),
        (
            AWS,
            refusal(400, "BadRequest", region="eu-west-1"),
            Location("https://s3.eu-west-1.amazonaws.com", "eu-west-1", "virtual"),
        ),
        # A signature for the wrong region: there is one host, or one for each.
        (
            OWN,
            refusal(400, "AuthorizationHeaderMalformed", region="eu-west-9"),
            replace(OWN, region="eu-west-9"),
        ),
        # OSS says 403 and where to go.
        (
            OSS,
            refusal(403, "AccessDenied", location="oss-cn-hangzhou.aliyuncs.com"),
            Location("https://oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou", "virtual"),
        ),
        # A store of one's own: the same host, or one below it, on the same port.
        (
            OWN,
            refusal(307, location="https://bkt.store.example:9000/key"),
            Location("https://store.example:9000", "us-east-1", "virtual"),
        ),
        (
            OWN,
            refusal(307, location="https://eu.store.example:9000/bkt/key"),
            Location("https://eu.store.example:9000", "us-east-1", "path"),
        ),
    ],
)
def test_a_redirect_within_the_domain_is_followed(
    used: Location, refused: Refusal, expected: Location
) -> None:
    assert redirect_target(refused, used, "bkt", configured=used) == expected


@pytest.mark.parametrize(
    ("used", "refused"),
    [
        # Another's host, however much it looks like the provider's.
        (OBS, refusal(307, location="https://obs.eu-nl.otc.t-systems.com.evil.example/key")),
        (OBS, refusal(307, location="https://evil.example/obs.eu-nl.otc.t-systems.com")),
        (OBS, refusal(307, location="https://obs.eu-nl.otc.t-systems.com@evil.example/key")),
        (OBS, refusal(307, location="https://s3.eu-west-1.amazonaws.com/key")),
        (OBS, refusal(307, location="https://other.otc.t-systems.com/key")),
        (OBS, refusal(307, location="https://obs-website.eu-nl.otc.t-systems.com/key")),
        (OWN, refusal(307, location="https://store.example.evil.example:9000/key")),
        # Without TLS, on another port, nowhere at all.
        (OBS, refusal(307, location="http://obs.eu-nl.otc.t-systems.com/key")),
        (OBS, refusal(307, location="https://obs.eu-nl.otc.t-systems.com:8443/key")),
        (OBS, refusal(307, location="/key")),
        (OBS, refusal(307, location="//obs.eu-nl.otc.t-systems.com/key")),
        (OBS, refusal(307, location="https://[::1/key")),
        (OBS, refusal(307, location="ftp://obs.eu-nl.otc.t-systems.com/key")),
        (OBS, refusal(307)),
        # Where we are already: it would go round and round.
        (OBS, refusal(307, location="https://bkt.obs.eu-de.otc.t-systems.com/key")),
        (AWS, refusal(400, "AuthorizationHeaderMalformed", region="us-east-1")),
        # A region that is no region would become a host.
        (AWS, refusal(301, region="evil.example/")),
        # No redirect: other refusals name regions and places too.
        (AWS, refusal(403, "AccessDenied", region="eu-west-1")),
        (AWS, refusal(400, "InvalidPart", region="eu-west-1")),
        (OSS, refusal(404, "NoSuchBucket", location="oss-cn-hangzhou.aliyuncs.com")),
        (OBS, refusal(303, location="https://obs.eu-nl.otc.t-systems.com/key")),
    ],
)
def test_other_redirects_are_not_followed(used: Location, refused: Refusal) -> None:
    assert redirect_target(refused, used, "bkt", configured=used) is None


def test_the_domain_is_that_of_the_configured_endpoint() -> None:
    """Every redirect is compared with the configured endpoint, so that several cannot lead to another domain."""
    used = Location("https://eu.store.example:9000", "", "path")
    said = refusal(307, location="https://a.eu.store.example:9000/x")
    assert redirect_target(said, used, "bkt", configured=OWN) is not None
    assert (
        redirect_target(said, used, "bkt", configured=replace(OWN, endpoint="https://us.store.example:9000"))
        is None
    )


def test_a_refusal_has_the_location_from_headers_or_body() -> None:
    body = (
        b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.example</Endpoint><Region>r-1</Region></Error>"
    )
    names = DIALECTS["s3-v4"].headers
    said = read_refusal(Response(301, {}, body), names, operation="HeadObject", resource="b/k", endpoint="")
    assert (said.location, said.region) == ("b.s3.example", "r-1")
    headers = {"location": "https://c.s3.example/k", "x-amz-bucket-region": "r-2"}
    said = read_refusal(
        Response(301, headers, b""), names, operation="HeadObject", resource="b/k", endpoint=""
    )
    assert (said.location, said.region) == ("https://c.s3.example/k", "r-2")


def moved(to: str) -> Callable[[ReceivedRequest], Reply]:
    """Redirect every request that does not go to the host *to* already."""

    def script(request: ReceivedRequest) -> Reply:
        port = str(request.header("Host")).rpartition(":")[2]
        if request.header("Host") == f"{to}:{port}":
            return response(200, headers={"ETag": '"e"'})
        return response(307, headers={"Location": f"http://{to}:{port}{request.target}"})

    return script


def test_a_part_is_sent_completely_to_the_new_location_and_signed_for_it() -> None:
    """The body is opened again, and the signature differs because the host differs."""
    with ScriptedServer(moved("eu.localhost")) as server:
        endpoint = f"http://localhost:{server.port}"
        with open_store("s3-v4", endpoint) as store:
            stored = store.upload_part(Upload(target(endpoint), "id"), 1, bytes_body(b"content"))
        first, second = server.received
    assert stored.etag == "e"
    assert (first.header("Host"), second.header("Host")) == (
        f"localhost:{server.port}",
        f"eu.localhost:{server.port}",
    )
    assert (first.body, second.body) == (b"content", b"content")
    assert first.target == second.target
    assert first.header("Authorization") != second.header("Authorization")


def test_the_new_location_is_remembered_for_this_bucket_only() -> None:
    """Later requests go there directly; another bucket may be at another location."""
    with ScriptedServer(moved("eu.localhost")) as server:
        endpoint = f"http://localhost:{server.port}"
        with open_store("s3-v4", endpoint) as store:
            for _ in range(2):
                store.head_object(target(endpoint))
            store.head_object(target(endpoint, bucket="other"))
        hosts = [str(one.header("Host")).partition(":")[0] for one in server.received]
    assert hosts == ["localhost", "eu.localhost", "eu.localhost", "localhost", "eu.localhost"]


def test_a_redirect_loop_ends_after_one_redirect() -> None:
    def script(request: ReceivedRequest) -> Reply:
        host, _, port = str(request.header("Host")).partition(":")
        other = "a.localhost" if host == "b.localhost" else "b.localhost"
        return response(307, headers={"Location": f"http://{other}:{port}/"})

    with ScriptedServer(script) as server:
        endpoint = f"http://localhost:{server.port}"
        with open_store("obs", endpoint) as store, pytest.raises(StoreError):
            store.head_object(target(endpoint))
        assert len(server.received) == 2


def test_no_other_host_receives_the_authorization() -> None:
    """A redirect to a foreign host is not followed."""
    with ScriptedServer(lambda _: response(200)) as stranger:
        location = f"{stranger.endpoint}/bucket/key"
        with (
            ScriptedServer(lambda _: response(307, headers={"Location": location})) as server,
            open_store("obs", server.endpoint) as store,
            pytest.raises(StoreError) as caught,
        ):
            store.head_object(target(server.endpoint))
        assert (stranger.connections, len(server.received)) == (0, 1)
    final = as_error(caught.value, doing="looking at bucket/key")
    assert isinstance(final, BadConfiguration)
    assert location in str(final)


def test_the_signature_uses_the_region_that_the_store_names() -> None:
    """AuthorizationHeaderMalformed contains it."""

    def script(request: ReceivedRequest) -> Reply:
        if "/eu-right-1/" in str(request.header("Authorization")):
            return response(200, headers={"ETag": "e"})
        return error(400, "AuthorizationHeaderMalformed", Region="eu-right-1")

    with ScriptedServer(script) as server, open_store("s3-v4", server.endpoint, region="us-wrong-1") as store:
        assert store.put_object(target(server.endpoint), bytes_body(b"x"), {}).status == 200
        assert [one.body for one in server.received] == [b"x", b"x"]


def test_a_redirected_request_has_a_new_date() -> None:
    """It is signed again at the time of the second request."""
    ticks = iter([1_700_000_000.0, 1_700_000_100.0])
    with ScriptedServer(moved("eu.localhost")) as server:
        endpoint = f"http://localhost:{server.port}"
        with open_store("s3-v4", endpoint, clock=lambda: next(ticks)) as store:
            store.head_object(target(endpoint))
        dates = [one.header("x-amz-date") for one in server.received]
    assert dates == ["20231114T221320Z", "20231114T221500Z"]
