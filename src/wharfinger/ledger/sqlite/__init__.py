"""The embedded database: one SQLite file, WAL, synchronous FULL."""

from wharfinger.ledger.sqlite.database import SqliteDatabase

__all__ = ["SqliteDatabase"]
