"""What an upload is: the request, the connected store, the context of both, how it is stopped, and its result."""
