"""Decide whether the object in the store is the source: by its digests, by a receipt, or by who made it."""
