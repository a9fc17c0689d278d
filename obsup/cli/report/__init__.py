"""What a command prints at its end: the result or the error with the next command, as text or as JSON."""
