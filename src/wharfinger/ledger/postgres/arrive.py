"""A file's arrival: its row, its run, its first event and its place in the customers' tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wharfinger.ledger import row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import RUN, Turn, as_row, names
from wharfinger.ledger.postgres import figure, group, history, purge, rank, tree
from wharfinger.ledger.postgres.connection import Transaction, columns, rows
from wharfinger.ledger.purge import Past, past
from wharfinger.ledger.run import UPLOADED
from wharfinger.model import Arrival

_TYPES = ["text"] * 4 + ["bigint", "bytea", "text", "bigint"] + ["text"] * 4 + ["bigint"] * 2

_FILE = f"""
INSERT INTO file(file_id, {row.ARRIVAL}) SELECT * FROM unnest({", ".join(f"%s::{each}[]" for each in _TYPES)})
ON CONFLICT DO NOTHING RETURNING file_id
"""

_RUN = f"""
INSERT INTO {RUN}
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::text[],
  %s::integer[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::boolean[])
"""

_KNOWN = "SELECT file_id, sha256 FROM file WHERE file_id = ANY(%s::text[])"

_DOUBT = f"""
INSERT INTO file(file_id, {row.ARRIVAL})
SELECT id, '', '', '', 0, '', '', 0, '', '', '', '', 0, NULL FROM unnest(%s::text[]) AS doubted(id)
ON CONFLICT DO NOTHING RETURNING file_id
"""


def arrive(tx: Transaction, arrivals: Sequence[Arrival], bucket: str, now_us: int) -> set[str]:
    """Record those that are not known; the ones in `bucket` appear in the tree. The ids of the new files."""
    given = {a.file_id: a for a in arrivals}
    group.lock(tx, names(arrivals))
    tree.share(tx, [a.key for a in arrivals if a.bucket == bucket])
    files = {id: row.from_arrival(given[id]) for id in sorted(given)}
    new = {id for (id,) in rows(tx, _FILE, *columns([*files.values()]))}
    if new:
        fresh = {a.file_id: a for a in arrivals if a.file_id in new}
        _record(tx, [*fresh.values()], [files[id] for id in fresh], now_us)
        tree.place(tx, [a for a in fresh.values() if a.bucket == bucket and not a.purge], now_us)
    return new


def known(db: Transaction, files: Sequence[str]) -> dict[str, str]:
    """Those of these ids that are recorded, and the SHA-256 of each, in hex."""
    return {id: digest.hex() for id, digest in rows(db, _KNOWN, [*files])}


def unknown(tx: Transaction, files: Sequence[str]) -> set[str]:
    """
    Those of these ids that are not recorded, and that no transaction under way is about to record: a row is put where theirs would
    be, for which one waits until such a transaction has ended. To be undone.
    """
    return {id for (id,) in rows(tx, _DOUBT, sorted({*files}))}


def _record(tx: Transaction, arrivals: Sequence[Arrival], files: Sequence[tuple[Any, ...]], now_us: int) -> None:
    tally = Tally()
    history.begin(tx, files)
    pasts = {a.file_id: past(a) for a in arrivals}
    standing = [*zip(arrivals, group.enter(tx, arrivals, now_us))]
    _enqueue(tx, [(a, turn) for a, turn in standing if pasts[a.file_id] is None], tally)
    for a, turn in standing:
        if known := pasts[a.file_id]:
            _restore(tx, a, turn, known, tally)
    figure.write(tx, tally)


def _enqueue(tx: Transaction, arrivals: Sequence[tuple[Arrival, Turn]], tally: Tally) -> None:
    if not arrivals:
        return
    ready = [a for a, turn in arrivals if turn.place == UPLOADED]
    work = [(a.customer, row.micros(a.cost)) for a in ready]
    ranks = dict(zip([a.file_id for a in ready], rank.enter(tx, work))) if work else {}
    runs = [as_row(a, turn, ranks.get(a.file_id, 0), (*map(str, turn.place), 0, None)) for a, turn in arrivals]
    tx.execute(_RUN, columns(runs))
    for a, turn in arrivals:
        tally.born(turn.place, a.size)


def _restore(tx: Transaction, a: Arrival, turn: Turn, known: Past, tally: Tally) -> None:
    """A file that had ended before the ledger was lost."""
    tx.execute(_RUN, columns([as_row(a, turn, 0, (*map(str, known.place), 1, known.transferred))]))
    tx.execute("UPDATE run SET error = %s WHERE id = %s", (known.error, a.file_id))
    history.tell(tx, known.at, [known.told])
    tally.born(known.place, a.size)
    if a.purge:
        purge.restore(tx, a, a.purge, tally)
    else:
        tally.incomplete(known.is_incomplete)
