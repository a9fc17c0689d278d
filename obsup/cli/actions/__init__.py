"""What each command does: typed options in, engine calls, results out through a session."""
