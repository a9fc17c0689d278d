"""The single steps of an upload (part, complete, abort): find the upload in ``lookup``, then do one step of it."""
