"""Check signatures, written from the vendors' documents, independent of obsup's signers."""

from obsup.sandbox.signatures.check import Account, check_signature
from obsup.sandbox.signatures.claim import Claim, read_claim

__all__ = ["Account", "Claim", "check_signature", "read_claim"]
