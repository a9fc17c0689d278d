"""HTTP without any knowledge of stores: from a request to a response, or to a NetworkError.

A request passes transport → connection → sockets, and the response the same way back. Through a proxy,
urllib3 opens the connections (library_internals).
"""
