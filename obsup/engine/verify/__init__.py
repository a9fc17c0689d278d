"""Decide whether the object in the store is the source: by its digests, by a receipt, or by who made it.

Of a user's question: ``file_check`` → ``comparison``. Of an earlier run or another machine: ``earlier_object`` →
``comparison``. Of the request that made the object: ``object_probe`` → ``existing_object``, then ``option_check``.
Whether ETags are digests at all: ``etag_trial``.
"""
