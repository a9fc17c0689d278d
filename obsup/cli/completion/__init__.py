"""Completion of a command line with TAB. It does not load Click, which alone takes longer than a whole answer."""
