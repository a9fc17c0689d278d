"""Checking signatures, from the vendors' documents and from nothing of obsup's own signers."""

from obsup.sandbox.signatures.check import Account, check_signature
from obsup.sandbox.signatures.claim import Claim, read_claim

__all__ = ["Account", "Claim", "check_signature", "read_claim"]
