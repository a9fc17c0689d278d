"""Send bytes to the store and return receipts: whole objects, or parts by local threads or remote workers.

A whole object: ``sender`` → ``whole_object`` → ``content`` → store. A part: ``sender`` → ``workers`` → ``dispatcher`` →
``part`` → ``content`` → store; with remote workers ``remote_workers`` → ``backends`` → ``remote_task`` → ``part``.

A module is imported inside a function only where a request branches to code that most uploads do not need:
``sender`` imports ``workers`` to send parts, ``workers`` imports ``remote_workers``, ``backends`` imports Dask and MPI.
"""
