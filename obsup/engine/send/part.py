"""Send one part and return the store's receipt for it, in a thread or on another host.

Checksums that no response to Initiate confirms are negotiated here: OBS shows by that of the first part whether it has
them; for PutObject, only a rejection shows that a store does not know their headers.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import LearnedFacts
from obsup.engine.job.send_options import (
    CONFIRMS_CRC64,
    REJECTS_CHECKSUMS,
    SendOptions,
    parts_confirm,
    remember_rejection,
)
from obsup.engine.proof.encryption import RequestedEncryption
from obsup.engine.proof.part_proof import DigestChoice, matches
from obsup.engine.send.content import (
    AttemptCounter,
    Content,
    SendRequest,
    Sent,
    send_verified,
)
from obsup.engine.verify.etag_trial import EtagTrial
from obsup.errors import NextStep, ObsupError, Refused
from obsup.local.source.digest import CRC64, PartDigest
from obsup.local.source.file import FileWindow
from obsup.local.source.part_md5s import PartGroup
from obsup.model import Part, Receipt, SourceStat, Stored, Target, Upload
from obsup.store.answers.checksums import rejects_checksums
from obsup.store.http.body import BodyDigests, OpenBody
from obsup.store.interface import ObjectStore
from obsup.value import Value

# A fact about the store.
_LACKS_CRC64 = "does not return the CRC-64 that is sent"


class PartToSend(Value):
    """Everything a worker needs to send one part of a file, without secrets. ``path`` is absolute.

    Its last ``link_free`` names must not be symbolic links. ``encryption`` is what the response must confirm, because
    that to Initiate does not. ``group`` is for workers of this process alone.
    """

    upload: Upload
    part: Part
    path: str
    stat: SourceStat
    digests: DigestChoice
    content_md5: bool = False
    link_free: int = 0
    encryption: RequestedEncryption | None = None
    group: PartGroup | None = None


def send_part(to_send: PartToSend, store: ObjectStore, send_options: SendOptions) -> Receipt:
    """Send one part of a file and return its receipt.

    Raises SourceChanged if the file is not the planned one, and as ``send_content`` does.
    """
    part, group = to_send.part, to_send.group
    has_checksum = digests_of(to_send.upload, send_options.digests, send_options.learned).checksum is not None
    take_md5 = partial(group.take, part.number) if group is not None and not has_checksum else None
    window = FileWindow(Path(to_send.path), part, to_send.stat, take_md5)
    return send_content(window, to_send.upload, store, send_options)[1]


def send_content(
    content: Content, upload: Upload, store: ObjectStore, send_options: SendOptions
) -> tuple[Stored, Receipt]:
    """Send *content* as a part of *upload*; return the verified response and the receipt.

    Raises as ``send_verified`` does, and Refused if the store does not confirm the encryption.
    """
    part, attempts = content.part, AttemptCounter()
    digests = digests_of(upload, send_options.digests, send_options.learned)
    send_options = replace(send_options, digests=digests)

    def send(open_body: OpenBody, digests: BodyDigests) -> Stored:
        return store.upload_part(upload, part.number, attempts.counted(open_body), digests)

    what, trial = f"part {part.number} of {upload.target}", EtagTrial(store, upload.target, send_options)
    try:
        send_it = send_negotiated if upload.checksum is None else send_verified
        sent = send_it(content, send, send_options, trial, what=what)
    except Refused:
        # Some stores reject a part that they already have: an earlier attempt may have stored it.
        existing = _find_stored(content, upload, store, send_options) if attempts.count > 1 else None
        if existing is None:
            raise
        return existing
    _check_encryption(sent.stored, upload.target, send_options, what)
    return sent.stored, sent.receipt(part)


def _check_encryption(stored: Stored, target: Target, send_options: SendOptions, what: str) -> None:
    """Raise Refused if the response to a part names another encryption, or does not confirm what parts confirm."""
    encryption = send_options.encryption
    if encryption is None:
        return
    must_confirm = encryption.customer_key_md5 or send_options.learned.has(parts_confirm(target, encryption))
    if encryption.is_denied_by(stored) or (must_confirm and not encryption.is_confirmed_by(stored)):
        raise Refused(
            f"{what} was stored, but the store does not confirm {encryption}",
            "The upload may have been initiated with another encryption, or the store, or a proxy, ignores it",
            NextStep("abort the upload, and initiate another one with this encryption"),
        )


def _find_stored(
    content: Content, upload: Upload, store: ObjectStore, send_options: SendOptions
) -> tuple[Stored, Receipt] | None:
    """Return response and receipt of the part if the store lists it with this size and digest, or None."""
    part = content.part
    try:
        listed = [stored for stored in store.list_parts(upload) if stored.number == part.number]
    except ObsupError:
        return None  # the caller raises the first error
    if not listed or listed[0].size != part.size:
        return None
    digests = send_options.digests
    fresh = partial(PartDigest, md5=True, crc64=digests.crc64, checksum=digests.checksum)
    body = content.open(fresh, on_sent=lambda _: None, gate=send_options.read_gate)
    with closing(body):
        while body.read():
            pass
        body.check()
    sent = Sent(
        Stored(200, listed[0].etag, crc64=listed[0].crc64, checksum=listed[0].checksum),
        body.digest,
        body.digest.checksum,
    )
    if matches(sent.stored, body.digest, digests, sent.checksum) is not True:
        return None
    send_options.observe(events.PartStored(part.number, part.size))
    return sent.stored, sent.receipt(part)


def digests_of(upload: Upload, digests: DigestChoice, learned: LearnedFacts) -> DigestChoice:
    """Return the digests of a part of *upload*: the MD5 verifies it, too, until the store has returned a CRC-64."""
    chosen = digests.of_upload(upload)
    if chosen.checksum != CRC64:
        return chosen
    if learned.has(_LACKS_CRC64) or learned.has(REJECTS_CHECKSUMS):
        return replace(chosen, checksum=None)
    return replace(chosen, md5=chosen.keeps_md5 or not learned.has(CONFIRMS_CRC64))


def send_negotiated(
    content: Content, send: SendRequest, send_options: SendOptions, trial: EtagTrial, *, what: object
) -> Sent:
    """Send *content*, without a checksum if the store rejects its header or did not return it before.

    Raises as ``send_verified``.
    """
    learned, digests = send_options.learned, send_options.digests
    without = replace(send_options, digests=replace(digests, checksum=None))
    is_crc64 = digests.checksum == CRC64
    if learned.has(REJECTS_CHECKSUMS) or (is_crc64 and learned.has(_LACKS_CRC64)):
        return send_verified(content, send, without, trial, what=what)
    try:
        sent = send_verified(content, send, send_options, trial, what=what)
    except ObsupError as exc:
        is_rejected = digests.checksum is not None and exc.refusal and rejects_checksums(exc.refusal)
        if not is_rejected:
            raise
        sent = send_verified(content, send, without, trial, what=what)
        remember_rejection(learned, trial.target)
        return sent
    if is_crc64:
        _learn_crc64(sent, send_options)
    return sent


def _learn_crc64(sent: Sent, send_options: SendOptions) -> None:
    """Remember whether the store returned the CRC-64 that was sent."""
    learned = send_options.learned
    if sent.stored.crc64 is not None:
        learned.add(CONFIRMS_CRC64)
        return
    learned.add(_LACKS_CRC64)
    if send_options.digests.is_named:
        learned.note(
            "the store does not confirm --digest crc64: parts are verified by MD5", send_options.observe
        )
