"""The database of a team: Postgres, for several workers and several hosts."""

from wharfinger.ledger.postgres.database import PostgresDatabase

__all__ = ["PostgresDatabase"]
