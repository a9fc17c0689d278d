"""HTTP requests, bodies and responses of the sandbox."""
