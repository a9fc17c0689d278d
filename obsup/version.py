"""The version of obsup."""

__version__ = "0.1.0"
