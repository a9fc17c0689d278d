"""Read the owner and the access list of a security descriptor of Windows: who can write a file, and who can read it.

Source: [MS-DTYP], "SECURITY_DESCRIPTOR", "ACL" and "ACE".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

SYSTEM, ADMINISTRATORS, OWNER_RIGHTS, EVERYONE = "S-1-5-18", "S-1-5-32-544", "S-1-3-4", "S-1-1-0"
_TRUSTED_INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
# They control the whole machine anyway, as root does elsewhere.
TRUSTED = frozenset({SYSTEM, ADMINISTRATORS, OWNER_RIGHTS, _TRUSTED_INSTALLER})

# FILE_WRITE_DATA, FILE_APPEND_DATA, WRITE_DAC, WRITE_OWNER, GENERIC_ALL, GENERIC_WRITE.
WRITES = 0x2 | 0x4 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000
# FILE_READ_DATA, GENERIC_ALL, GENERIC_READ.
READS = 0x1 | 0x10000000 | 0x80000000
_DACL_PRESENT = 0x4
_INHERIT_ONLY = 0x8
# ACCESS_ALLOWED_ACE, its form for objects, and both with a condition.
_ALLOWED, _ALLOWED_OBJECT, _ALLOWED_CALLBACK, _ALLOWED_CALLBACK_OBJECT = 0x0, 0x5, 0x9, 0xB


class Access(NamedTuple):
    """The owner of a file, and the rights that its access list grants, by account."""

    owner: str
    granted: tuple[tuple[str, int], ...]

    def others(self, rights: int, user: str) -> list[str]:
        """Return the accounts other than *user* and TRUSTED that have one of *rights*. Denials are not subtracted."""
        trusted = TRUSTED | {user}
        return sorted({sid for sid, mask in self.granted if mask & rights and sid not in trusted})


def parse_security(data: bytes) -> Access:
    """Return what the self-relative security descriptor *data* grants. Raises ValueError if it is damaged."""
    try:
        _revision, _, control, owner, _group, _sacl, acl = struct.unpack_from("<BBHIIII", data)
        # Without an access list, everybody may do everything.
        has_list = control & _DACL_PRESENT and acl
        granted = tuple(_granted(data, acl)) if has_list else ((EVERYONE, WRITES | READS),)
        return Access(_sid(data, owner) if owner else "", granted)
    except struct.error as exc:
        raise ValueError("a damaged security descriptor") from exc


def _granted(data: bytes, at: int) -> Iterator[tuple[str, int]]:
    _revision, _, _size, count, _ = struct.unpack_from("<BBHHH", data, at)
    at += 8
    for _ in range(count):
        kind, flags, size, mask = struct.unpack_from("<BBHI", data, at)
        sid_at = at + 8
        if kind in (_ALLOWED_OBJECT, _ALLOWED_CALLBACK_OBJECT):
            (present,) = struct.unpack_from("<I", data, at + 8)
            sid_at += 4 + 16 * (present & 1) + 16 * (present >> 1 & 1)
        is_allowed = kind in (_ALLOWED, _ALLOWED_OBJECT, _ALLOWED_CALLBACK, _ALLOWED_CALLBACK_OBJECT)
        if is_allowed and not flags & _INHERIT_ONLY:
            yield _sid(data, sid_at), mask
        at += size


def _sid(data: bytes, at: int) -> str:
    revision, count = struct.unpack_from("<BB", data, at)
    authority = int.from_bytes(data[at + 2 : at + 8], "big")
    parts = struct.unpack_from(f"<{count}I", data, at + 8)
    return "-".join(map(str, ("S", revision, authority, *parts)))
