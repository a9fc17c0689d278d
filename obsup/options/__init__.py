"""The one table of options: what the command line, the environment, the configuration file and the headers share.

``kinds`` describes values, ``row`` one option, the ``*_rows`` modules hold the rows, and ``table`` looks them up.
"""
