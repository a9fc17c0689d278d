"""Send one part and return the store's receipt for it, in a thread or on another host."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

from obsup import events
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.encryption import RequestedEncryption
from obsup.engine.proof.part_proof import DigestChoice, matches
from obsup.engine.send.content import AttemptCounter, Content, EtagTrial, send_verified
from obsup.errors import NextStep, ObsupError, Refused
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import FileWindow
from obsup.model import Part, Receipt, SourceStat, Stored, Upload
from obsup.store.http.body import OpenBody
from obsup.store.interface import PartLister, PartStore
from obsup.value import Value


class PartToSend(Value):
    """Everything a worker needs to send one part of a file, without secrets. ``path`` is absolute.

    Its last ``link_free`` names must not be symbolic links.
    """

    upload: Upload
    part: Part
    path: str
    stat: SourceStat
    digests: DigestChoice
    content_md5: bool = False
    link_free: int = 0


def send_part(to_send: PartToSend, store: PartStore, send_options: SendOptions) -> Receipt:
    """Send one part of a file and return its receipt.

    Raises SourceChanged if the file is not the planned one, and as ``send_content`` does.
    """
    window = FileWindow(Path(to_send.path), to_send.part, to_send.stat)
    return send_content(window, to_send.upload, store, send_options)[1]


def send_content(
    content: Content, upload: Upload, store: PartStore, send_options: SendOptions
) -> tuple[Stored, Receipt]:
    """Send *content* as a part of *upload*; return the verified response and the receipt.

    Raises as ``send_verified`` does, and Refused if the store does not confirm the encryption.
    """
    part, attempts = content.part, AttemptCounter()

    def send(open_body: OpenBody, content_md5: str | None) -> Stored:
        return store.upload_part(upload, part.number, attempts.counted(open_body), content_md5=content_md5)

    what = f"part {part.number} of {upload.target}"
    try:
        stored, digest = send_verified(
            content, send, send_options, EtagTrial(store, upload.target, send_options), what=what
        )
    except Refused:
        # Some stores reject a part that they already have: an earlier attempt may have stored it.
        existing = _find_stored(content, upload, store, send_options) if attempts.count > 1 else None
        if existing is None:
            raise
        return existing
    _check_encryption(stored, send_options.encryption, what)
    return stored, Receipt(part.number, part.size, stored.etag, digest.md5, digest.crc64)


def _check_encryption(stored: Stored, encryption: RequestedEncryption | None, what: str) -> None:
    """Raise Refused if the response to a part names another encryption, or does not confirm the customer key."""
    if encryption is None:
        return
    is_unconfirmed = bool(encryption.customer_key_md5) and not encryption.is_confirmed_by(stored)
    if is_unconfirmed or encryption.is_denied_by(stored):
        raise Refused(
            f"{what} was stored, but the store does not confirm {encryption}",
            "The upload may have been initiated with another encryption, or the store, or a proxy, ignores it",
            NextStep("abort the upload, and initiate another one with this encryption"),
        )


def _find_stored(
    content: Content, upload: Upload, store: PartStore, send_options: SendOptions
) -> tuple[Stored, Receipt] | None:
    """Return response and receipt of the part if the store lists it with this size and digest, or None."""
    if not isinstance(store, PartLister):
        return None
    part = content.part
    try:
        listed = [stored for stored in store.list_parts(upload) if stored.number == part.number]
    except ObsupError:
        return None  # the caller raises the first error
    if not listed or listed[0].size != part.size:
        return None
    fresh = partial(PartDigest, md5=True, crc64=send_options.digests.crc64)
    body = content.open(fresh, on_sent=lambda _: None, gate=send_options.read_gate)
    with closing(body):
        while body.read():
            pass
        body.check()
    stored = Stored(200, listed[0].etag, crc64=listed[0].crc64)
    if matches(stored, body.digest, send_options.digests) is not True:
        return None
    send_options.observe(events.PartStored(part.number, part.size))
    return stored, Receipt(part.number, part.size, stored.etag, body.digest.md5, body.digest.crc64)
