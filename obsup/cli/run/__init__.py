"""How every command runs: parsed options become typed values, and one session runs the work and reports the result."""
