"""HTTP without any knowledge of stores: from a request to a response, or to a NetworkError.

A request passes transport → request_writer → library_internals → sockets.
"""
