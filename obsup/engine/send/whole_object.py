"""Send a source that fits one request with PutObject, and verify it like every other upload.

The request publishes the object immediately. So it is sent from memory, where the source cannot change, and with
Content-MD5, so that the store rejects damaged bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import replace

from obsup.dialects.objects.object_headers import forbids_overwrite
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.encryption import RequestedEncryption
from obsup.engine.proof.object_options import OptionComparison, compare_options
from obsup.engine.proof.object_proof import Expected, verify_response
from obsup.engine.proof.part_proof import DigestChoice, matches
from obsup.engine.send.content import AttemptCounter, Content, Sent
from obsup.engine.send.part import send_negotiated
from obsup.engine.verify.etag_trial import EtagTrial
from obsup.engine.verify.existing_object import find_existing, object_exists
from obsup.engine.verify.object_probe import ObjectProbe
from obsup.errors import NextStep, ObjectExists, Refused
from obsup.local.source.buffers import BufferPool
from obsup.local.source.digest import Gate, PartDigest
from obsup.local.source.file import FileWindow, hash_part
from obsup.local.source.identity import content_changed
from obsup.local.source.memory_part import read_part
from obsup.model import Checksum, Part, Receipt, SourceStat, Stored, Target
from obsup.store.http.body import Body, BodyDigests, OpenBody
from obsup.store.interface import ObjectStore

PutObject = Callable[[Target, OpenBody, Mapping[str, str], BodyDigests], Stored]
"""Sends one PutObject. See ObjectStore."""

# Shared by all files of a batch: it grows to what is in flight at once.
_buffers = BufferPool()


def put_file(context: UploadContext, stat: SourceStat) -> Finished:
    """Put the file with the identity *stat* from memory. Raises as ``put_whole`` does.

    Raises SourceChanged if it is not the file that was hashed at the start.
    """
    window = FileWindow(context.source, Part(1, 0, stat.size), context.planned(stat))
    digest = PartDigest(md5=True, crc64=context.digests.crc64)
    content = read_part(window, digest, context.read_gate, pool=_buffers)
    planned = context.source_digests
    try:
        if planned is not None and content.hashed(context.read_gate).crc64 != planned.crc64:
            raise content_changed(context.source)
        return put_whole(context, content)
    finally:
        content.release()


def put_elsewhere(context: UploadContext, stat: SourceStat, put: PutObject) -> Finished:
    """Have *put* send the file with the identity *stat* from another host, with digests that are computed here.

    It gets no bytes: the store accepts only those that have the digests. Raises as ``put_file`` does.
    """
    send_options = replace(context.send_options, content_md5=True)
    digests, part = send_options.digests, Part(1, 0, stat.size)
    digest = PartDigest(md5=True, crc64=digests.crc64, checksum=digests.checksum)
    hash_part(context.source, part, context.planned(stat), digest, context.read_gate)
    planned = context.source_digests
    if planned is not None and digest.crc64 != planned.crc64:
        raise content_changed(context.source)
    content = _RemoteContent(part, digest)
    return put_content(
        context.store, context.request.target, context.headers("put"), content, send_options, put
    )


class _RemoteContent:
    """Content, and its body, of which this host knows only the digests."""

    def __init__(self, part: Part, digest: PartDigest) -> None:
        self.part = part
        self.digest = digest
        self.size = part.size

    def open(self, *_digest: object, **_observers: object) -> _RemoteContent:
        return self

    def md5(self, _gate: Gate | None) -> str:
        return self.digest.md5 or ""

    def checksum(self, _algorithm: str, _gate: Gate | None) -> Checksum | None:
        return self.digest.checksum

    def read(self, _amount: int = 0, /) -> bytes:
        """See Body. Never called."""
        raise NotImplementedError

    def check(self) -> None:
        """See HashedBody: the worker checks the file."""

    def close(self) -> None:
        """See Body."""


def put_whole(context: UploadContext, content: Content) -> Finished:
    """Send *content* with Content-MD5 in one PutObject and verify the object. Raises as ``put_content`` does."""
    send_options = replace(context.send_options, content_md5=True)
    return put_content(context.store, context.request.target, context.headers("put"), content, send_options)


def put_content(
    store: ObjectStore,
    target: Target,
    headers: Mapping[str, str],
    content: Content,
    send_options: SendOptions,
    put: PutObject | None = None,
) -> Finished:
    """Send *content* in one PutObject, by *put* if another host has it, and return after verifying the object.

    With --no-overwrite, every attempt looks first, because many stores ignore the condition in the request. Raises
    ObjectExists, SourceChanged, DataMismatch, and any error of the store and the disk.
    """
    attempts = AttemptCounter()
    must_look = forbids_overwrite(store.dialect, headers)

    def send(open_body: OpenBody, digests: BodyDigests) -> Stored:
        def look_and_open() -> Body:
            if must_look and find_existing(store, target) is not None:
                raise object_exists(target)
            return open_body()

        return (put or store.put_object)(target, attempts.counted(look_and_open), headers, digests)

    try:
        trial = EtagTrial(store, target, send_options)
        sent = send_negotiated(content, send, send_options, trial, what=target)
    except ObjectExists:
        # It may be from our own first attempt, if its response was lost.
        existing = _find_object(store, target, headers, content, send_options) if attempts.count > 1 else None
        if existing is None:
            raise
        return existing
    if send_options.encryption is not None and not send_options.encryption.is_confirmed_by(sent.stored):
        raise _not_encrypted(target, send_options.encryption)
    finished = _verify(store, target, content.part.size, sent, send_options.digests)
    return replace(finished, stored=sent.stored, receipts=(sent.receipt(content.part),))


def _not_encrypted(target: Target, encryption: RequestedEncryption) -> Refused:
    return Refused(
        f"{target} was stored, but the store does not confirm {encryption}",
        "It may have stored the object unencrypted, although it confirmed the encryption of an upload in parts",
        NextStep("delete the object if its content is confidential"),
    )


def _find_object(
    store: ObjectStore,
    target: Target,
    headers: Mapping[str, str],
    content: Content,
    send_options: SendOptions,
) -> Finished | None:
    """Return the object if it has this very content, and shows all options in *headers*."""
    size, md5 = content.part.size, content.md5(send_options.read_gate)
    found = ObjectProbe(store, target, Expected(size, md5, None, None, None)).find()
    key_md5 = send_options.encryption.customer_key_md5 if send_options.encryption is not None else ""
    if found is None or OptionComparison() != compare_options(
        store.dialect, headers, found.info, customer_key_md5=key_md5
    ):
        return None
    return found.finished([Receipt(1, size, found.info.etag, md5)])


def _verify(store: ObjectStore, target: Target, size: int, sent: Sent, digests: DigestChoice) -> Finished:
    """Return the object, verified by the digest in the response or by HeadObject. Raises DataMismatch."""
    stored, digest = sent.stored, sent.digest
    expected = Expected(size, None, digest.crc64, None, None, checksum=sent.checksum)
    if matches(stored, digest, digests, sent.checksum):
        return Finished(stored, verify_response(expected, stored) or "etag")
    # A success redirect has no ETag: the object must have the MD5, or, if it is encrypted, the ETag in the redirect.
    md5 = None if stored.etag or digests.opaque_etags else digest.md5
    redirected = stored if stored.etag or md5 else replace(stored, etag=_etag_of_redirect(stored.location))
    expected = replace(expected, etag=md5)
    return ObjectProbe(store, target, expected).confirm(redirected)


def _etag_of_redirect(location: str | None) -> str:
    """Return the ETag that OBS adds to the URL of --success-redirect, without quotes; empty without one."""
    return parse_qs(urlsplit(location or "").query).get("etag", [""])[-1].strip('"')
