"""Whether a response of the store confirms the encryption that was requested. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.dialects.dialect import HeaderNames
from obsup.model import Stored
from obsup.value import Value


class RequestedEncryption(Value):
    """The requested encryption: the value of the server-side-encryption header, or a customer key (SSE-C)."""

    sse: str | None = None
    customer_key: bool = False

    def __str__(self) -> str:
        return "a customer key (SSE-C)" if self.customer_key else f"--sse {self.sse}"

    def is_confirmed_by(self, stored: Stored) -> bool:
        """Return whether the response confirms it. A store may use a stronger algorithm than AES256."""
        if self.customer_key:
            return (stored.sse_c or "").upper() == "AES256" and bool(stored.sse_c_key_md5)
        shown, requested = (stored.sse_kms or "").upper(), (self.sse or "").upper()
        return bool(shown) and requested in (shown, "AES256")


def encryption_headers(names: HeaderNames, headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of *headers* that request encryption with keys of the service."""
    wanted = {(name or "").lower() for name in (names.sse, names.sse_kms_key_id)}
    return {name: value for name, value in headers.items() if name.lower() in wanted}


def requested_encryption(
    names: HeaderNames, headers: Mapping[str, str], *, customer_key: bool
) -> RequestedEncryption | None:
    """Return the encryption that the *headers* of Initiate or PutObject request, None for none."""
    if customer_key:
        return RequestedEncryption(customer_key=True)
    wanted = (names.sse or "").lower()
    sse = next((value for name, value in headers.items() if name.lower() == wanted), None)
    return RequestedEncryption(sse) if sse is not None else None
