"""The object store over HTTP.

A request passes retrying → client → signed_exchange → http; ``answers`` converts the response to a value or a failure.
"""
