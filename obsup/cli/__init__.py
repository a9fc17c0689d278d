"""The command line: commands declare options, actions do the work in a run.Session, report prints the result."""
