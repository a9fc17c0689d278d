"""Whether a response of the store confirms the encryption that was requested. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.dialects.dialect import HeaderNames
from obsup.model import Stored
from obsup.value import Value


class RequestedEncryption(Value):
    """The requested encryption: the values of the server-side-encryption headers, or a customer key (SSE-C).

    ``customer_key_md5`` is the MD5 of the key in Base64, as in the headers; it is empty without a customer key.
    """

    sse: str | None = None
    kms_key_id: str | None = None
    customer_key_md5: str = ""

    def __str__(self) -> str:
        if self.customer_key_md5:
            return "a customer key (SSE-C)"
        return f"--sse {self.sse}" + (f" with the key {self.kms_key_id}" if self.kms_key_id else "")

    def headers(self, names: HeaderNames) -> dict[str, str]:
        """Return the headers that request it with keys of the service; a customer key is added to each request."""
        pairs = ((names.sse, self.sse), (names.sse_kms_key_id, self.kms_key_id))
        return {name: value for name, value in pairs if name is not None and value is not None}

    def is_confirmed_by(self, stored: Stored) -> bool:
        """Return whether the response confirms it. A store may use a stronger algorithm than AES256."""
        if self.customer_key_md5:
            return (stored.sse_c or "").upper() == "AES256" and stored.sse_c_key_md5 == self.customer_key_md5
        shown, requested = (stored.sse_kms or "").upper(), (self.sse or "").upper()
        is_same_kind = bool(shown) and requested in (shown, "AES256")
        return is_same_kind and not self._has_other_kms_key(stored)

    def is_denied_by(self, stored: Stored) -> bool:
        """Return whether the response names another encryption, or another key."""
        is_named = bool(stored.sse_c_key_md5 if self.customer_key_md5 else stored.sse_kms)
        return (is_named and not self.is_confirmed_by(stored)) or self._has_other_kms_key(stored)

    def _has_other_kms_key(self, stored: Stored) -> bool:
        """Return whether the response names another KMS key. An alias is not compared."""
        pair = (self.kms_key_id or "", stored.sse_kms_key or "")
        is_comparable = all(pair) and not any("alias/" in one for one in pair)
        return is_comparable and not is_same_kms_key(*pair)


def is_same_kms_key(requested: str, shown: str) -> bool:
    """Return whether both name one KMS key: one of them may be its whole name, which ends in the other."""
    shorter, longer = sorted((requested.lower(), shown.lower()), key=len)
    return bool(shorter) and (shorter == longer or longer.endswith((f":{shorter}", f"/{shorter}")))


def hides_md5(sse: str | None) -> bool:
    """Return whether ETags are other values than MD5s with the encryption *sse* (None for none): all but AES256."""
    return (sse or "AES256").upper() != "AES256"


def requested_encryption(
    names: HeaderNames, headers: Mapping[str, str], *, customer_key_md5: str
) -> RequestedEncryption | None:
    """Return the encryption that the *headers* of Initiate or PutObject request, None for none."""
    if customer_key_md5:
        return RequestedEncryption(customer_key_md5=customer_key_md5)
    given = {name.lower(): value for name, value in headers.items()}
    sse = given.get((names.sse or "").lower())
    return (
        RequestedEncryption(sse, given.get((names.sse_kms_key_id or "").lower())) if sse is not None else None
    )
