"""Wharfinger takes custody of files: it receives, remembers, processes and delivers them, and can prove every step."""

__version__ = "0.1.0"
