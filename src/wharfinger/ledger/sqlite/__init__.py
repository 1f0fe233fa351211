"""The embedded database: one SQLite file, WAL, synchronous FULL."""
