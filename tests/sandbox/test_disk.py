"""Objects as files: awkward keys, restarts, replacements, and files from elsewhere."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.sandbox.limits import Limits
from obsup.sandbox.sandbox import Sandbox
from obsup.sandbox.storage.disk import Disk, StoredObject
from obsup.sandbox.storage.names import key_of_path, path_of_key
from tests.sandbox.client import Client

AWKWARD = [
    "/leading",
    "//two",
    "trailing/",
    "/",
    "dir//x",
    ".",
    "..",
    "../../etc/passwd",
    "a/../../b",
    "a/./b",
    "nul\0in",
    "line\nbreak\ttab",
    "percent%2F%",
    "%",
    "%-",
    "a%",
    "ünïcödé/対象",
    "x" * 1024,
    "ä" * 500,
    "%" * 300,
    "/" * 1024,
    "back\\slash",
    ".sandbox/uploads",
    "C:\\x",
    "CON/aux.txt/nul",
    "dot./blank /COM1",
]


@pytest.mark.parametrize("key", AWKWARD)
def test_awkward_keys_round_trip_and_stay_in_their_bucket(sandbox: Sandbox, client: Client, key: str) -> None:
    assert client.send("PUT", key, body=key.encode()).status == 200
    assert client.send("GET", key).body == key.encode()
    assert client.upload(key, [b"parts of ", key.encode()]).status == 200
    assert client.send("GET", key).body == b"parts of " + key.encode()
    path = sandbox.object_path("bucket", key)
    assert Path(os.path.normpath(path)).is_relative_to(sandbox.directory / "bucket")
    assert ".." not in path.parts
    assert sorted(p.name for p in sandbox.directory.iterdir()) == [".sandbox", "bucket"]
    listed = client.send("GET", "", {"encoding-type": "url"})
    assert len(listed.texts("Contents/Key")) == 1
    assert client.send("DELETE", key).status == 204
    assert list((sandbox.directory / "bucket").iterdir()) == []


def test_dot_segments_arrive_as_they_are_and_are_not_folded(sandbox: Sandbox, client: Client) -> None:
    client.send("PUT", "a/../b", body=b"dots")
    client.send("PUT", "b", body=b"plain")
    assert client.send("GET", "a/../b").body == b"dots"


@pytest.mark.parametrize(
    "key", ["plain", "a/b/c.txt", "with space", "50_-~!'()*+,;=:@&$", "ü/対象", "..a", "a.."]
)
def test_plain_keys_are_plain_paths(key: str) -> None:
    assert "/".join(path_of_key(key)) == key


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_every_path_determines_its_key(key: str) -> None:
    names = path_of_key(key)
    assert key_of_path(names) == key
    assert all(
        0 < len(name.encode()) <= 255 and name not in (".", "..") and "/" not in name for name in names
    )
    assert not any(ord(character) < 0x20 for name in names for character in name)


@given(st.lists(st.text(alphabet="a/%.-", min_size=1, max_size=5), min_size=1, max_size=8, unique=True))
def test_any_keys_live_side_by_side(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    disk = Disk(tmp_path_factory.mktemp("disk"))
    disk.make_bucket("bucket")
    for key in keys:
        with disk.receiving() as received:
            received.write_text(key)
            disk.publish(received, StoredObject("bucket", key, len(key), "", 0.0))
    for key in keys:
        with disk.open("bucket", key) as file:
            assert file.read() == key.encode()
    assert disk.keys("bucket") == sorted(keys)
    for key in keys:
        disk.delete("bucket", key)
    assert disk.keys("bucket") == []
    disk.close()


def test_a_key_beside_a_key_below_it(sandbox: Sandbox, client: Client) -> None:
    for key in ("a", "a/b", "a/b/c", "d/e", "d"):
        client.send("PUT", key, body=key.encode())
    for key in ("a", "a/b", "a/b/c", "d/e", "d"):
        assert client.send("GET", key).body == key.encode()
    assert client.send("GET").texts("Contents/Key") == ["a", "a/b", "a/b/c", "d", "d/e"]
    client.send("DELETE", "a")
    assert client.send("GET", "a/b").body == b"a/b"
    assert client.send("HEAD", "a").status == 404


def test_keys_that_differ_only_in_case(sandbox: Sandbox, client: Client) -> None:
    """They are two objects, also on a file system that ignores case."""
    keys = ["DIR/a", "Key", "dir/A", "dir/a", "key", "key/a"]
    for key in keys:
        client.send("PUT", key, body=key.encode())
    assert client.send("GET").texts("Contents/Key") == keys
    assert [client.send("GET", key).body for key in keys] == [key.encode() for key in keys]
    client.send("DELETE", "Key")
    client.send("PUT", "key", body=b"new")
    assert client.send("HEAD", "Key").status == client.send("HEAD", "DIR/A").status == 404
    assert client.send("GET", "key").body == b"new"


def test_open_uploads_and_metadata_survive_a_restart(tmp_path: Path) -> None:
    limits = Limits(min_part=1)
    with Sandbox(tmp_path, limits=limits) as sandbox:
        client = Client(sandbox)
        upload_id = client.initiate("key", x_obs_meta_colour="blue", Content_Type="text/plain")
        etags = {n: client.part("key", upload_id, n, b"part %d," % n).etag for n in (1, 2)}
        before = sandbox.uploads()
        client.close()
    (tmp_path / ".sandbox/incoming/left-behind").write_bytes(b"x")
    with Sandbox(tmp_path, limits=limits) as sandbox:
        client = Client(sandbox)
        assert sandbox.uploads() == before
        assert before[0].parts == {1: 7, 2: 7}
        etags[3] = client.part("key", upload_id, 3, b"end").etag
        assert client.complete("key", upload_id, etags).status == 200
        client.close()
    with Sandbox(tmp_path) as sandbox:
        client = Client(sandbox)
        reply = client.send("GET", "key")
        assert reply.body == b"part 1,part 2,end"
        assert reply.headers["x-obs-meta-colour"] == "blue"
        assert reply.headers["content-type"] == "text/plain"
        assert reply.headers["etag"].endswith('-3"')
        client.close()
    assert (tmp_path / "bucket/key").read_bytes() == b"part 1,part 2,end"
    assert list((tmp_path / ".sandbox/incoming").iterdir()) == []


def test_a_temporary_folder_is_removed_and_a_given_one_kept(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        temporary = sandbox.directory
        assert temporary.is_dir()
    assert not temporary.exists()
    with Sandbox(tmp_path / "made" / "here"):
        pass
    assert (tmp_path / "made/here").is_dir()


def test_one_folder_has_one_sandbox_at_a_time(tmp_path: Path) -> None:
    with Sandbox(tmp_path), pytest.raises(OSError, match="another sandbox"):
        Sandbox(tmp_path)
    with Sandbox(tmp_path):
        pass


def test_a_file_put_there_by_hand_is_an_object(sandbox: Sandbox, client: Client) -> None:
    client.send("PUT", "ours", body=b"before", headers={"x-obs-meta-a": "1"})
    for name in ("ours", "theirs"):
        (sandbox.directory / "bucket" / name).write_bytes(b"by hand")
        reply = client.send("HEAD", name)
        assert reply.etag == hashlib.md5(b"by hand").hexdigest()
        assert reply.headers["content-length"] == "7"
        assert "x-obs-meta-a" not in reply.headers


def test_a_reader_keeps_the_object_it_began_with(sandbox: Sandbox, client: Client) -> None:
    client.send("PUT", "key", body=b"old" * 100_000)
    with sandbox.object_path("bucket", "key").open("rb") as reading:
        client.send("PUT", "key", body=b"new")
        assert len(reading.read()) == 300_000
    assert client.send("GET", "key").body == b"new"


def test_many_connections_at_once(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    first = connect(sandbox)
    upload_id = first.initiate("key")
    etags: dict[int, str] = {}

    def work(start: int) -> None:
        client = Client(sandbox)
        for number in range(start, 65, 8):
            etags[number] = client.part("key", upload_id, number, b"%05d" % number).etag
            client.send("PUT", f"shared/{number % 3}", body=b"%d" % number)
        client.close()

    threads = [threading.Thread(target=work, args=(start,)) for start in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.complete("key", upload_id, dict(sorted(etags.items()))).status == 200
    wanted = b"".join(b"%05d" % number for number in range(1, 65))
    assert sandbox.object_path("bucket", "key").read_bytes() == wanted
    assert sandbox.connections == 9
    assert {record.status for record in sandbox.requests} == {200}


def test_discarded_bodies_are_hashed_and_objects_are_sparse(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    sandbox = start(discard=True)
    client = connect(sandbox)
    parts = [b"x" * 3_000_000, b"y" * 1000]
    reply = client.upload("key", parts)
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    assert reply.text("ETag") == f'"{hashlib.md5(joined).hexdigest()}-2"'
    stat = sandbox.object_path("bucket", "key").stat()
    assert (stat.st_size, stat.st_blocks) == (3_001_000, 0)
    assert client.send("HEAD", "key").headers["content-length"] == "3001000"


def test_a_disk_that_fails_is_an_internal_error(sandbox: Sandbox, client: Client) -> None:
    upload_id = client.initiate("key")
    incoming = sandbox.directory / ".sandbox/incoming"
    incoming.rmdir()
    reply = client.part("key", upload_id, 1, b"data")
    assert (reply.status, reply.code) == (500, "InternalError")
    incoming.mkdir()
    assert client.part("key", upload_id, 1, b"data").status == 200


def test_named_buckets_are_the_only_ones(
    start: Callable[..., Sandbox], connect: Callable[..., Client]
) -> None:
    sandbox = start(buckets=["one", "two"])
    assert connect(sandbox, bucket="one").send("PUT", "key", body=b"x").status == 200
    other = connect(sandbox, bucket="three")
    for reply in (other.send("PUT", "key", body=b"x"), other.send("POST", "key", {"uploads": None})):
        assert (reply.status, reply.code) == (404, "NoSuchBucket")
    assert other.send("HEAD").status == 404
    assert sandbox.uploads() == []


@pytest.mark.parametrize(
    ("dialect", "bucket"),
    [
        ("obs", "Upper"),
        ("obs", "ab-"),
        ("obs", "192.168.0.1"),
        ("obs", "a..b"),
        ("obs", "a-.b"),
        ("obs", "..."),
        ("obs", "-ab"),
        ("aws2", "xn--abc"),
        ("aws2", "abc-s3alias"),
        ("oss1", "with.dot"),
        ("obs", "x" * 64),
    ],
)
def test_bucket_names_follow_the_vendors_rules(
    sandbox: Sandbox, connect: Callable[..., Client], dialect: str, bucket: str
) -> None:
    assert connect(sandbox, dialect, bucket).send("PUT", "key", body=b"x").code == "InvalidBucketName"


@pytest.mark.parametrize(
    ("dialect", "longest", "code"),
    [("obs", 1024, "KeyTooLong"), ("aws2", 1024, "KeyTooLongError"), ("oss1", 1023, "InvalidObjectName")],
)
def test_keys_are_as_long_as_the_vendor_allows(
    sandbox: Sandbox, connect: Callable[..., Client], dialect: str, longest: int, code: str
) -> None:
    client = connect(sandbox, dialect)
    assert client.send("PUT", "x" * longest, body=b"x").status == 200
    assert client.send("PUT", "x" * (longest + 1), body=b"x").code == code
    assert (client.send("PUT", "象" * 1000, body=b"x").status == 200) == (dialect == "obs")
    assert client.send("POST", "x" * (longest + 1), {"uploads": None}).code == code


def test_oss_keys_do_not_begin_with_a_slash(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    assert connect(sandbox, "oss1").send("PUT", "/key", body=b"x").code == "InvalidObjectName"


def test_buckets_are_made_listed_and_removed(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    client = connect(sandbox, bucket="made")
    assert client.send("PUT").status == 200
    assert client.send("HEAD").status == 200
    client.send("PUT", "key", body=b"x")
    assert client.send("DELETE").code == "BucketNotEmpty"
    client.send("DELETE", "key")
    assert client.send("DELETE").status == 204
    assert not (sandbox.directory / "made").exists()
