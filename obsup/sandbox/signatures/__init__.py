"""Check signatures, written from the vendors' documents, independent of obsup's signers."""
