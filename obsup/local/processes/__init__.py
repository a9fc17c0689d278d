"""Python processes on this machine that run functions of obsup for it."""
