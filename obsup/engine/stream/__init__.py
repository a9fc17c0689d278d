"""Upload a stream: standard input, the output of a command, or a file object.

``uploader`` → ``resume`` → ``pipeline`` (``reader_thread`` reads parts, ``engine/send/part`` sends them) → ``replay``,
which skips stored parts → ``engine/upload/complete``.
"""
