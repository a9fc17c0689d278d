"""A source that fits one request: PutObject, proved like any other upload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from obsup import events
from obsup.engine.finish import Finished
from obsup.engine.order import Order
from obsup.engine.proof import Expected, prove_object
from obsup.engine.worker import RESENDS, Gate, Proving, confirms, content_md5_of
from obsup.errors import DataMismatch
from obsup.local.digest import PartDigest
from obsup.local.source import PartBody, check_unchanged
from obsup.model import Part, SourceStat, Stored
from obsup.store.store import ObjectStore


def put_whole(
    store: ObjectStore,
    order: Order,
    stat: SourceStat,
    headers: Mapping[str, str],
    *,
    proving: Proving,
    observe: events.Observer,
    gate: Gate,
) -> Finished:
    """Send the whole source in one PutObject and return once the object is proved.

    Raises SourceChanged, DataMismatch, and what the store and the disk raise.
    """
    part = Part(1, 0, stat.size)
    path = Path(order.source).absolute()
    for _ in range(1 + RESENDS):
        digests: list[PartDigest] = []

        def open_body(digests: list[PartDigest] = digests) -> PartBody:
            digests.append(proving.digest())
            return PartBody(
                path,
                part,
                digest=digests[-1],
                on_sent=lambda sent: observe(events.PartSent(1, sent)),
                gate=gate,
            )

        content_md5 = content_md5_of(path, part, gate) if order.content_md5 else None
        stored = store.put_object(order.target, open_body, headers, content_md5=content_md5)
        check_unchanged(path, stat)
        confirmed = confirms(stored, digests[-1], proving)
        if confirmed is not False:
            observe(events.PartStored(1, stat.size))
            return Finished(
                stored, _verified(store, order, stat, stored, digests[-1], confirmed=bool(confirmed))
            )
    raise DataMismatch(
        f"{order.target} arrives changed",
        f"sent with MD5 {digests[-1].md5}, CRC-64 {digests[-1].crc64}; the store has ETag {stored.etag}",
        "look at the line (proxies, memory), then run the same command again",
    )


def _verified(
    store: ObjectStore, order: Order, stat: SourceStat, stored: Stored, digest: PartDigest, *, confirmed: bool
) -> str:
    """Return what proves the object: the answer's digest, or a look at it. Raises DataMismatch."""
    if confirmed:
        return "crc64" if stored.crc64 is not None and digest.crc64 is not None else "etag"
    info = store.head_object(order.target)
    expected = Expected(stat.size, None, digest.crc64, None, None)
    if info is None or info.size != stat.size or (stored.etag and info.etag != stored.etag):
        raise DataMismatch(
            f"the object {order.target} is not the source",
            f"expected {stat.size} bytes, the store has {'none' if info is None else info.size}",
            "look at the object; another upload may have replaced it",
        )
    return prove_object(expected, info) or "size"
