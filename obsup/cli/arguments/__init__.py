"""The command line as Click sees it: options from the table, their types, help, and settings."""
