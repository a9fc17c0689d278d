"""Security descriptors of Windows: who else may write or read a file."""

from __future__ import annotations

import struct

import pytest

from obsup.local.platform.access_list import (
    ADMINISTRATORS,
    EVERYONE,
    READS,
    SYSTEM,
    WRITES,
    parse_security,
)

USER = "S-1-5-21-1-2-3-1001"
GUEST = "S-1-5-21-1-2-3-1002"
FULL, READ = 0x1F01FF, 0x120089
ALLOW, DENY, ALLOW_OBJECT = 0, 1, 5
INHERIT_ONLY = 8
DACL_PRESENT, SELF_RELATIVE = 0x4, 0x8000


def sid(text: str) -> bytes:
    """Return the bytes of a security identifier."""
    _, revision, authority, *parts = text.split("-")
    head = bytes([int(revision), len(parts)]) + int(authority).to_bytes(6, "big")
    return head + struct.pack(f"<{len(parts)}I", *map(int, parts))


def descriptor(owner: str, *entries: tuple[int, int, int, str], control: int = DACL_PRESENT) -> bytes:
    """Return a security descriptor; each entry is (type, flags, rights, account)."""
    aces = b""
    for kind, flags, mask, account in entries:
        extra = struct.pack("<I", 0) if kind == ALLOW_OBJECT else b""
        body = struct.pack("<I", mask) + extra + sid(account)
        aces += struct.pack("<BBH", kind, flags, 4 + len(body)) + body
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(aces), len(entries), 0) + aces
    head = struct.pack("<BBHIIII", 1, 0, control | SELF_RELATIVE, 20, 0, 0, 20 + len(sid(owner)))
    return head + sid(owner) + acl


def test_a_private_file() -> None:
    """The user, the system and administrators, as in the folder of a user."""
    access = parse_security(
        descriptor(USER, *((ALLOW, 0, FULL, account) for account in (SYSTEM, ADMINISTRATORS, USER)))
    )
    assert access.owner == USER
    assert access.others(WRITES | READS, USER) == []
    assert access.others(WRITES, GUEST) == [USER]


@pytest.mark.parametrize("kind", [ALLOW, ALLOW_OBJECT])
def test_others_who_can_read_or_write(kind: int) -> None:
    """A right to read is not one to write; a denial is not subtracted."""
    entries = ((kind, 0, READ, EVERYONE), (kind, 0, FULL, GUEST), (DENY, 0, FULL, GUEST))
    access = parse_security(descriptor(USER, *entries))
    assert access.others(WRITES, USER) == [GUEST]
    assert access.others(READS, USER) == sorted([EVERYONE, GUEST])


def test_rights_for_new_files_in_a_folder_do_not_count() -> None:
    """They are not rights to the folder itself."""
    assert parse_security(descriptor(USER, (ALLOW, INHERIT_ONLY, FULL, GUEST))).others(WRITES, USER) == []


def test_without_an_access_list_everybody_can_write() -> None:
    """Windows grants everything then."""
    assert parse_security(descriptor(USER, control=0)).others(WRITES, USER) == [EVERYONE]


@pytest.mark.parametrize("size", [0, 19, 40, 60])
def test_a_damaged_descriptor_is_an_error(size: int) -> None:
    """It must not look like a file that nobody else can write."""
    with pytest.raises(ValueError, match="damaged"):
        parse_security(descriptor(USER, (ALLOW, 0, FULL, GUEST))[:size])
