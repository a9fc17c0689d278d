"""What responses confirm, and do not confirm, of the requested encryption."""

from __future__ import annotations

import pytest

from obsup.engine.proof.encryption import RequestedEncryption
from obsup.model import Stored

KEY_MD5, OTHER_MD5 = "hRasmdxgYDKV3nvbahU1MA==", "AAAAAAAAAAAAAAAAAAAAAA=="
UUID = "11111111-2222-3333-4444-555555555555"
ARN = "arn:aws:kms:eu-west-1:123456789012:"


@pytest.mark.parametrize(
    ("requested", "returned", "is_confirmed"),
    [
        (UUID, UUID.upper(), True),
        (UUID, f"{ARN}key/{UUID}", True),
        (f"{ARN}key/{UUID}", UUID, True),
        (UUID, f"eu-de:{'0' * 32}:key/{UUID}", True),
        ("my-key", "arn:aws:kms:my-key", True),  # MinIO
        (UUID, None, True),  # not every store returns it
        ("alias/backup", f"{ARN}key/{UUID}", True),  # the store resolves the alias
        (f"{ARN}alias/backup", f"{ARN}key/{UUID}", True),
        (UUID, f"{ARN}key/{UUID.replace('1', '9')}", False),
        (UUID, UUID.replace("1", "9"), False),
        (f"{ARN}key/{UUID}", f"{ARN}key/{UUID.replace('1', '9')}", False),
    ],
)
def test_the_kms_key(requested: str, returned: str | None, is_confirmed: bool) -> None:
    """An id is the end of every longer form; an alias names no key."""
    encryption = RequestedEncryption("aws:kms", requested)
    stored = Stored(200, "", sse_kms="aws:kms", sse_kms_key=returned)
    assert encryption.is_confirmed_by(stored) is is_confirmed
    assert encryption.is_denied_by(stored) is not is_confirmed


def test_the_customer_key() -> None:
    """The MD5 in the response must be that of the key."""
    encryption = RequestedEncryption(customer_key_md5=KEY_MD5)
    ours, other = (Stored(200, "", sse_c="AES256", sse_c_key_md5=one) for one in (KEY_MD5, OTHER_MD5))
    assert (encryption.is_confirmed_by(ours), encryption.is_denied_by(ours)) == (True, False)
    assert (encryption.is_confirmed_by(other), encryption.is_denied_by(other)) == (False, True)
    silent = Stored(200, "")
    assert (encryption.is_confirmed_by(silent), encryption.is_denied_by(silent)) == (False, False)
