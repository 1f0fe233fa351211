"""The URL of a database: what libpq is told, and what people are."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from wharfinger.errors import ConfigError

ALIVE = {
    "connect_timeout": 5,  # s, for each address
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}
"""A server that is gone without a word is noticed within half a minute (postgresql.org/docs/current/libpq-connect.html)."""


def read(url: str) -> dict[str, Any]:
    """The parameters of libpq that `url` gives. Raises ConfigError where it cannot be read or has a password, which it never repeats."""
    found = _parsed(url)
    if found is None:
        raise ConfigError(
            "ledger: this is no URL of a Postgres database", fix="write it as postgresql://user@host/database"
        )
    if found.pop("password", None):
        raise ConfigError(
            f"ledger: the URL of {name(found)} has a password in it",
            fix="take it out, and set PGPASSWORD, or name a file: ?passfile=/etc/wharf/pgpass",
        )
    return ALIVE | found


def name(found: dict[str, Any]) -> str:
    """What messages call the database."""
    user = f"{found['user']}@" if found.get("user") else ""
    port = f":{found['port']}" if found.get("port") else ""
    return f"postgresql://{user}{found.get('host', '')}{port}/{found.get('dbname', '')}"


def _parsed(url: str) -> dict[str, Any] | None:
    """None where it cannot be read; libpq's own words repeat all of it."""
    try:
        return {**conninfo_to_dict(url)}
    except psycopg.Error:
        return None
