"""The media type that obsup sends equals that of the vendor's own client."""

from __future__ import annotations

from obs import const

from obsup.dialects.objects.media_types import media_type_of
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import make_files
from tests.support.shell import Shell


def test_every_suffix_of_the_vendors_client_has_its_type() -> None:
    """Source: the table of the OBS SDK for Python."""
    assert len(const.MIME_TYPES) >= 100
    ours = {suffix: media_type_of(f"a.{suffix}") for suffix in const.MIME_TYPES}
    assert ours == const.MIME_TYPES


def test_the_type_is_sent_with_each_way_to_create_an_object(shell: Shell, sandbox: Sandbox) -> None:
    """In one request and in parts, for one file and for many; --content-type replaces it."""
    make_files(shell, "in/a.docx", "in/b.iso", size=600_000)
    assert shell.run("upload", "in/a.docx", "bucket/").code == 0
    assert shell.run("upload", "in/b.iso", "bucket/", "--parts", "3").code == 0
    assert shell.run("upload", "in/a.docx", "bucket/own.docx", "--content-type", "a/b").code == 0
    assert shell.run("upload", "-r", "in", "bucket/").code == 0
    sent = {
        record.key: dict(record.headers)["Content-Type"]
        for record in sandbox.requests
        if record.operation in ("put", "initiate")
    }
    docx, iso = media_type_of("a.docx"), "application/x-iso9660-image"
    assert sent == {"a.docx": docx, "b.iso": iso, "own.docx": "a/b", "in/a.docx": docx, "in/b.iso": iso}
