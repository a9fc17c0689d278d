"""The configuration file, and the credentials from the environment, files, programs and metadata services."""
