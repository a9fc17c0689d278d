"""Options for sending parts."""

from __future__ import annotations

from obsup import events
from obsup.engine.proof.part_proof import DigestChoice
from obsup.local.source.file import Gate
from obsup.value import Value


class SendOptions(Value):
    """How content is sent: what proves it, whether with Content-MD5, who hears of it, and what holds it back.

    ``gate`` is asked before bytes are sent, ``read_gate`` before bytes are read that are not sent.
    """

    digests: DigestChoice
    content_md5: bool = False
    observe: events.Observer = events.ignore
    gate: Gate | None = None
    read_gate: Gate | None = None
