"""Upload one file: ``uploader`` finds the starting point, sends the parts in ``send_loop``, completes and verifies."""
